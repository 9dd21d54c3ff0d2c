//! Reading runs: records, lists, journals, frames, and what a thread has said so far.

use domain::frames::Frame;
use domain::ids::{AgentId, Id as _, RunId, SmithId};
use domain::items::Item;
use domain::run::{Input, Status};

use super::append::place;
use super::shown::{COLUMNS, TABLES, UNKNOWN, status, turn};
use super::{CONFIG, FRAMES, JOURNAL, JournalEntry, RunConfig, RunRecord};
use crate::codec::SmithSeal;
use crate::db::{Row, Value, params};
use crate::{Error, ProjectStore};

/// Frames that one commit added.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub from: u64,
    /// The seq behind the last of them.
    pub next: u64,
    /// None of them where what is stored cannot be read and the reader does without it.
    pub frames: Vec<Frame>,
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub smith: Option<SmithId>,
    pub agent: Option<AgentId>,
    pub status: Option<String>,
    pub external_id_prefix: Option<String>,
}

/// Everything that a driver needs to go on with a run.
pub struct Saved {
    pub record: RunRecord,
    pub config: RunConfig,
    pub journal: Vec<JournalEntry>,
    pub seal: SmithSeal,
}

impl ProjectStore {
    /// Finds a run of this project. What of it cannot be read is left out, with a warning in its result.
    pub async fn run(&self, run: RunId) -> Result<Option<RunRecord>, Error> {
        Ok(self.run_and_seal(run).await?.map(|(record, _)| record))
    }

    /// Finds a run of this project, with the seal of its smith unless that cannot be opened.
    pub async fn run_and_seal(&self, run: RunId) -> Result<Option<(RunRecord, Option<SmithSeal>)>, Error> {
        let Some(row) = self.run_row(run).await? else { return Ok(None) };
        let shown = self.shown(&row)?;
        Ok(Some((shown.record, shown.seal)))
    }

    /// Loads a run with its journal, to go on with it. All of it, or the error tells what is damaged.
    pub async fn saved_run(&self, run: RunId) -> Result<Option<Saved>, Error> {
        let Some(row) = self.run_row(run).await? else { return Ok(None) };
        let (record, seal) = self.shown(&row)?.whole()?;
        let sealed: Vec<u8> = row.get(25)?;
        let config = seal.open(CONFIG, &run.as_bytes(), &sealed)?;
        let rows = self
            .store
            .db()
            .read(
                "select position, next_seq, body from run_journal where run_id = $1 order by position",
                params![run],
            )
            .await?;
        let mut journal = Vec::with_capacity(rows.len());
        for row in rows {
            let (position, body): (u64, Vec<u8>) = (row.get(0)?, row.get(2)?);
            let input: Input = seal.open(JOURNAL, &place(run, position), &body)?;
            journal.push(JournalEntry { input, next_seq: row.get(1)? });
        }
        Ok(Some(Saved { record, config, journal, seal }))
    }

    /// Reads the configuration that a run kept to, unless anything of the run is damaged.
    pub async fn run_config(&self, run: RunId) -> Result<Option<RunConfig>, Error> {
        let Some(row) = self.run_row(run).await? else { return Ok(None) };
        let (_, seal) = self.shown(&row)?.whole()?;
        let sealed: Vec<u8> = row.get(25)?;
        Ok(Some(seal.open(CONFIG, &run.as_bytes(), &sealed)?))
    }

    async fn run_row(&self, run: RunId) -> Result<Option<Row>, Error> {
        let sql = format!("select {COLUMNS} from {TABLES} where runs.id = $1 and runs.project_id = $2");
        Ok(self.store.db().read_one(&sql, params![run, self.project]).await?)
    }

    /// Lists runs, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, Error> {
        // The databases cannot hold the character NUL, so nothing matches it.
        let texts = [&filter.status, &filter.external_id_prefix];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Ok(Vec::new());
        }
        let mut conditions = vec!["runs.project_id = $1".to_owned()];
        let mut values = params![self.project];
        let mut standing = None;
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("${}", values.len())));
        };
        if let Some(smith) = filter.smith {
            add("runs.smith_id = ?", smith.into());
        }
        if let Some(agent) = filter.agent {
            add("runs.agent_id = ?", agent.into());
        }
        if let Some(status) = &filter.status {
            add("runs.status = ?", status.into());
            // Said in words that the databases recognise: there is an index of runs that run, and one of all others.
            match (Status::parse(status), filter.agent) {
                (Some(Status::Running), _) => standing = Some("runs.status = 'running'"),
                // Those of an agent are found by the agent.
                (_, None) => standing = Some("runs.status <> 'running'"),
                (_, Some(_)) => {}
            }
        }
        if let Some(prefix) = &filter.external_id_prefix {
            add("smiths.external_id >= ?", prefix.into());
            if let Some(end) = after_prefix(prefix) {
                add("smiths.external_id < ?", end.into());
            }
        }
        if let Some(before) = before {
            add("runs.id < ?", before.into());
        }
        add("?", limit.into());
        let limit = conditions.pop().unwrap_or_default();
        conditions.extend(standing.map(str::to_owned));
        let conditions = conditions.join(" and ");
        let sql =
            format!("select {COLUMNS} from {TABLES} where {conditions} order by runs.id desc limit {limit}");
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| self.shown(row).map(|shown| shown.record)).collect()
    }

    /// Reads the frames of a run from a seq on, as they were committed, at most `limit` blocks.
    pub async fn frames(
        &self,
        run: RunId,
        seal: &SmithSeal,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Block>, Error> {
        self.blocks(run, seal, from, limit, Err).await
    }

    /// Reads frames like [`ProjectStore::frames`], without those that are damaged: a reader gets what is left of a run.
    pub async fn readable_frames(
        &self,
        run: RunId,
        seal: &SmithSeal,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Block>, Error> {
        let without = |error: Error| {
            tracing::error!(run.id = %run, error = %error, "Frames of a run cannot be read; its readers do without them.");
            Ok(Vec::new())
        };
        self.blocks(run, seal, from, limit, without).await
    }

    async fn blocks(
        &self,
        run: RunId,
        seal: &SmithSeal,
        from: u64,
        limit: usize,
        damaged: impl Fn(Error) -> Result<Vec<Frame>, Error>,
    ) -> Result<Vec<Block>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select seq_from, seq_to, body from run_frames where run_id = $1 and seq_to >= $2 order by seq_from limit $3",
                params![run, from, limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let (from, last): (u64, u64) = (row.get(0)?, row.get(1)?);
                let body = row.get::<Vec<u8>>(2).map_err(Error::from);
                let frames = body.and_then(|body| seal.open(FRAMES, &place(run, from), &body));
                Ok(Block { from, next: last.saturating_add(1), frames: frames.or_else(&damaged)? })
            })
            .collect()
    }

    /// Finds where a run stands, without its content: status and next free seq.
    pub async fn run_position(&self, run: RunId) -> Result<Option<(Status, u64)>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select status, next_seq from runs where id = $1 and project_id = $2",
                params![run, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((status(&row, 0).unwrap_or(UNKNOWN), row.get(1)?)))
    }

    /// Returns the latest turns of a thread before a run, newest first: each run that ended with its input and transcript.
    /// A turn that cannot be read is empty: the thread goes on without it.
    pub async fn turns_before(
        &self,
        run: RunId,
        smith: SmithId,
        thread_id: &str,
        seal: &SmithSeal,
        limit: usize,
    ) -> Result<Vec<(RunId, Vec<Item>)>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select runs.id, run_requests.request, run_results.body from runs \
                 join run_requests on run_requests.run_id = runs.id join run_results on run_results.run_id = runs.id \
                 where runs.smith_id = $1 and runs.thread_id = $2 and runs.project_id = $4 \
                 and runs.turn < (select this.turn from runs as this where this.id = $3) \
                 order by runs.turn desc limit $5",
                params![smith, thread_id, run, self.project, limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let id: RunId = row.get(0)?;
                let turn = turn(row, id, seal).unwrap_or_else(|error| {
                    tracing::error!(run.id = %id, error = %error, "A turn of a thread cannot be read; the thread goes on without it.");
                    Vec::new()
                });
                Ok((id, turn))
            })
            .collect()
    }

    /// Tells whether a thread has any run.
    pub async fn thread_exists(&self, smith: SmithId, thread_id: &str) -> Result<bool, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select 1 from runs where smith_id = $1 and thread_id = $2 and project_id = $3 limit 1",
                params![smith, thread_id, self.project],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Tells whether a thread has gone on behind a run.
    pub async fn has_later_runs(&self, run: RunId, smith: SmithId, thread_id: &str) -> Result<bool, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select 1 from runs where smith_id = $1 and thread_id = $2 and project_id = $4 \
                 and turn > (select this.turn from runs as this where this.id = $3) limit 1",
                params![smith, thread_id, run, self.project],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Lists the runs of a smith that have not ended, to cancel them when the smith goes.
    pub async fn open_runs(&self, smith: SmithId) -> Result<Vec<RunId>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select id from runs where smith_id = $1 and project_id = $2 \
                 and status not in ('completed', 'failed', 'cancelled') order by id",
                params![smith, self.project],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?)
    }
}

/// Returns the least text that is greater than all texts with this prefix, if there is one.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = char::from_u32(u32::from(last).saturating_add(1))
            .or_else(|| (last == '\u{D7FF}').then_some('\u{E000}'));
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}
