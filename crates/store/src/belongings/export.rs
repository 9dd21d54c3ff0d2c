//! Everything that is kept of a smith, piece by piece: at no time more than a page of it is in memory.

use std::collections::VecDeque;

use async_stream::try_stream;
use domain::Timestamp;
use domain::ids::{RunId, SmithId};
use futures::Stream;
use serde_json::json;

use super::registry::BELONGINGS;
use super::row::{Columns, UNREADABLE};
use super::{Attachment, Belonging, Export, Found, Lines};
use crate::codec::SmithSeal;
use crate::db::{Row, Value, params};
use crate::{DbError, Error, ProjectStore};

/// The most rows that are read at once.
const ROWS: usize = 256;
/// How many sealed bytes are read at once, unless a single row has more.
const BYTES: u64 = 2 * 1024 * 1024;
/// How many ids of runs are read at once.
const RUNS: usize = 512;
/// The version of the form of an archive.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// Says in the log why an archive broke off.
const ERASED: &str = "smith_is_there";

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A file of this name begins.
    File(String),
    /// The present file goes on with this.
    Bytes(Vec<u8>),
}

/// What is kept of one smith, to be written down.
pub struct Archive {
    project: ProjectStore,
    smith: SmithId,
    /// None when the smith's key is damaged: then nothing that is sealed can be shown.
    seal: Option<SmithSeal>,
    begun_at: Timestamp,
}

impl ProjectStore {
    /// Prepares the archive of a smith, live or archived. Returns None when there is no such smith, or no more.
    pub async fn archive_of(&self, smith: SmithId) -> Result<Option<Archive>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select data_key from smiths where id = $1 and project_id = $2 and erased_at is null",
                params![smith, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let wrapped = row.get::<Vec<u8>>(0).map_err(Error::from);
        let seal = match wrapped.and_then(|wrapped| self.store.seal_of(smith, &wrapped)) {
            Err(error) if error.is_damage() => None,
            seal => Some(seal?),
        };
        Ok(Some(Archive { project: self.clone(), smith, seal, begun_at: self.store.ids().now() }))
    }
}

impl Archive {
    /// Reads the archive. It is complete when the stream ends without an error.
    ///
    /// What is written for the smith meanwhile may be in it or not. A smith that is erased meanwhile is an error. What is damaged
    /// is left out, and the archive says so: in the line that it is missing from, and as a number in the manifest.
    pub fn pieces(self) -> impl Stream<Item = Result<Piece, Error>> + Send {
        try_stream! {
            let (mut files, mut left_out, mut is_complete) = (Vec::new(), Vec::new(), true);
            for belonging in BELONGINGS {
                let lines = match &belonging.export {
                    Export::Lines(lines) => lines,
                    Export::LeftOut(reason) => {
                        left_out.push(json!({"name": belonging.table, "reason": reason}));
                        continue;
                    }
                };
                yield Piece::File(lines.file.to_owned());
                let (mut rows, mut damaged, mut missing) = (0_usize, 0_usize, 0_usize);
                let mut walk = Walk::over(&self, belonging, lines, None);
                while let Some(page) = walk.page().await? {
                    rows = rows.saturating_add(page.len());
                    yield Piece::Bytes(walk.written(&page, &mut damaged)?);
                }
                if let Some(attachment) = &lines.attachment {
                    let mut walk = Walk::over(&self, belonging, lines, Some(attachment));
                    while let Some(page) = walk.page().await? {
                        for row in &page {
                            let content = match walk.columns.attached(row, attachment, self.seal.as_ref()) {
                                Err(error) if error.is_damage() => {
                                    missing = missing.saturating_add(1);
                                    continue;
                                }
                                content => content?,
                            };
                            let line = walk.columns.line(row, lines, self.seal.as_ref())?;
                            yield Piece::File((attachment.path)(&line));
                            yield Piece::Bytes(content);
                        }
                    }
                }
                is_complete &= damaged == 0 && missing == 0;
                files.push(json!({
                    "name": lines.file,
                    "rows": rows,
                    "unreadable_rows": damaged,
                    "unreadable_files": missing,
                    "columns_left_out": lines.hidden,
                }));
            }
            self.is_there().await?;
            if !is_complete {
                tracing::error!("What is stored of a smith is damaged: its archive says what of it cannot be read.");
            }
            let manifest = json!({
                "format": FORMAT,
                "complete": is_complete,
                "smith_id": self.smith,
                "begun_at": self.begun_at.to_string(),
                "files": files,
                "left_out": left_out,
            });
            yield Piece::File(MANIFEST.to_owned());
            yield Piece::Bytes(serde_json::to_vec_pretty(&manifest)?);
        }
    }

    /// Fails when the smith was erased since: then rows were missing, and the archive must not look complete.
    async fn is_there(&self) -> Result<(), Error> {
        let sql = "select 1 from smiths where id = $1 and erased_at is null";
        let row = self.project.store.db().read_one(sql, params![self.smith]).await?;
        row.map(|_| ()).ok_or(Error::Db(DbError::Guard(ERASED)))
    }
}

/// A walk over a table's rows of a smith, page by page.
struct Walk<'a> {
    archive: &'a Archive,
    belonging: &'static Belonging,
    lines: &'static Lines,
    columns: Columns,
    /// The sealed columns, whose bytes are counted before they are read.
    sealed: Vec<&'static str>,
    owners: Owners,
    /// By whose id rows are looked for now, and the key of the last row that was seen.
    at: Option<(Value, Vec<Value>)>,
}

/// Whose rows are still to come.
enum Owners {
    Smith(Option<SmithId>),
    Runs { queue: VecDeque<RunId>, after: Option<RunId>, ended: bool },
}

impl<'a> Walk<'a> {
    fn over(
        archive: &'a Archive,
        belonging: &'static Belonging,
        lines: &'static Lines,
        attachment: Option<&'static Attachment>,
    ) -> Self {
        let sealed = lines.columns.iter().filter(|column| column.shown.seal().is_some());
        let sealed = sealed.map(|column| column.name);
        let owners = match belonging.found {
            Found::BySmith(_) => Owners::Smith(Some(archive.smith)),
            Found::ByRun(_) => Owners::Runs { queue: VecDeque::new(), after: None, ended: false },
        };
        Self {
            archive,
            belonging,
            lines,
            columns: Columns::of(belonging, lines, attachment),
            sealed: sealed.chain(attachment.map(|attachment| attachment.column)).collect(),
            owners,
            at: None,
        }
    }

    /// Writes rows as lines, and counts those of which something cannot be read.
    fn written(&self, page: &[Row], damaged: &mut usize) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        for row in page {
            let line = self.columns.line(row, self.lines, self.archive.seal.as_ref())?;
            *damaged = damaged.saturating_add(usize::from(line.contains_key(UNREADABLE)));
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        Ok(text)
    }

    /// Reads the rows that come next, at least one, or None at the end.
    async fn page(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            let (owner, after) = match self.at.take() {
                Some(at) => at,
                None => match self.next_owner().await? {
                    Some(owner) => (owner, Vec::new()),
                    None => return Ok(None),
                },
            };
            let (rows, goes_on) = self.rows_of(&owner, &after).await?;
            let Some(last) = rows.last() else { continue };
            if goes_on {
                let key = self.belonging.key.iter().map(|name| self.columns.value(last, name).cloned());
                self.at = Some((owner, key.collect::<Result<_, _>>()?));
            }
            return Ok(Some(rows));
        }
    }

    /// Reads as many rows as may be in memory at once, and tells whether there may be more.
    async fn rows_of(&self, owner: &Value, after: &[Value]) -> Result<(Vec<Row>, bool), Error> {
        let Belonging { table, key, found, .. } = self.belonging;
        let db = self.archive.project.store.db();
        let mut condition = format!("{} = $1", found.column());
        let mut values = vec![owner.clone()];
        if !after.is_empty() {
            let places: Vec<_> = (2..).take(after.len()).map(|place| format!("${place}")).collect();
            condition.push_str(&format!(" and ({}) > ({})", key.join(", "), places.join(", ")));
            values.extend_from_slice(after);
        }
        let columns = self.columns.list();
        if key.is_empty() {
            // There is one row at most.
            return Ok((
                db.read(&format!("select {columns} from {table} where {condition}"), values).await?,
                false,
            ));
        }
        let order = key.join(", ");
        let limit = values.len().saturating_add(1);
        let query = |columns: &str| {
            format!("select {columns} from {table} where {condition} order by {order} limit ${limit}")
        };
        let (mut count, mut goes_on) = (ROWS, true);
        if !self.sealed.is_empty() {
            let lengths: Vec<_> =
                self.sealed.iter().map(|name| format!("coalesce(length({name}), 0)")).collect();
            let mut measured = values.clone();
            measured.push(ROWS.into());
            let sizes =
                db.read(&query(&format!("cast({} as bigint)", lengths.join(" + "))), measured).await?;
            (count, goes_on) = within(&sizes, BYTES)?;
        }
        values.push(count.into());
        let rows = db.read(&query(&columns), values).await?;
        let goes_on = goes_on && rows.len() >= count;
        Ok((rows, goes_on))
    }

    async fn next_owner(&mut self) -> Result<Option<Value>, Error> {
        let Archive { project, smith, .. } = self.archive;
        match &mut self.owners {
            Owners::Smith(smith) => Ok(smith.take().map(Value::from)),
            Owners::Runs { queue, after, ended } => {
                if queue.is_empty() && !*ended {
                    let mut values = params![*smith, RUNS];
                    let condition = match after {
                        Some(after) => {
                            values.push((*after).into());
                            " and id > $3"
                        }
                        None => "",
                    };
                    let sql =
                        format!("select id from runs where smith_id = $1{condition} order by id limit $2");
                    let rows = project.store.db().read(&sql, values).await?;
                    for row in &rows {
                        queue.push_back(row.get(0)?);
                    }
                    *after = queue.back().copied().or(*after);
                    *ended = rows.len() < RUNS;
                }
                Ok(queue.pop_front().map(Value::from))
            }
        }
    }
}

/// Tells how many of these rows fit into `bytes` together, at least one, and whether more may follow.
fn within(sizes: &[Row], bytes: u64) -> Result<(usize, bool), DbError> {
    let mut total = 0_u64;
    for (index, row) in sizes.iter().enumerate() {
        total = total.saturating_add(row.get(0)?);
        if total > bytes {
            return Ok((index.max(1), true));
        }
    }
    Ok((sizes.len().max(1), sizes.len() >= ROWS))
}
