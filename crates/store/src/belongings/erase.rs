//! Erasing a smith: the key first, then everything that belongs to it, in parts that a crash may come between.
//!
//! An erasure is written down before anything else happens ([`ProjectStore::begin_erasing`]): from then on it is finished,
//! whoever dies. Destroying the key ([`ProjectStore::destroy_key`]) is one batch, and final: what was sealed with it cannot be
//! opened from here on, and no driver can append to a run. The rest ([`ProjectStore::erase_some`]) is deleted some rows at
//! a time, so that a smith with ten thousand runs holds nobody up.

use domain::Timestamp;
use domain::ids::{ProjectId, RunId, SmithId};

use super::registry::{ANONYMOUS_USAGE, BELONGINGS};
use super::{Belonging, Erase, Export, Found};
use crate::db::{Scrubbed, params};
use crate::runs::TAKEN;
use crate::{Batch, Error, ProjectStore, ServerStore};

/// Begins an announcement that the key of a smith was destroyed.
pub const ERASED: &str = "erased ";

const DESTROYED: &str = "erasure_destroyed";
const STEP: &str = "erasure_step";

/// How many runs are deleted at once.
const RUNS: usize = 50;
/// How many rows of a table are deleted at once.
const ROWS: usize = 2_000;
/// The same where rows hold whole files.
const FILES: usize = 8;

/// That a smith was erased. It is the same however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub smith: SmithId,
    /// When the data key was destroyed.
    pub erased_at: Timestamp,
    /// What is kept, by name.
    pub kept: Vec<&'static str>,
}

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Some was deleted; there may be more.
    More,
    /// Somebody else did the same part: it goes on, elsewhere too.
    Elsewhere,
    /// Somebody wrote something meanwhile: look again.
    Raced,
    /// All is deleted, but a reader keeps the old content in the files of the database. To be tried again later.
    Blocked,
    Done,
}

impl ProjectStore {
    /// Writes down that a smith, live or archived, is to be erased, and archives it.
    ///
    /// Returns its runs that have not ended, or None when the project has no such smith and never erased one.
    pub async fn begin_erasing(&self, smith: SmithId) -> Result<Option<Vec<RunId>>, Error> {
        let mut batch = Batch::new();
        batch.exec(
            "insert into erasures (smith_id, project_id, step, requested_at) \
             select id, project_id, 0, $1 from smiths where id = $2 and project_id = $3 \
             on conflict (smith_id) do nothing",
            params![self.store.ids().now(), smith, self.project],
        );
        batch.exec(
            "select 1 from erasures where smith_id = $1 and project_id = $2",
            params![smith, self.project],
        );
        if self.store.db().commit(batch).await?.rows(1).is_empty() {
            return Ok(None);
        }
        match self.archive_smith(smith).await? {
            Some(open_runs) => Ok(Some(open_runs)),
            None => Ok(Some(self.open_runs(smith).await?)),
        }
    }

    /// Destroys the data key of a smith whose erasure has begun, and takes what is still open of its runs from their drivers.
    ///
    /// Returns those runs. Nothing happens when the key was destroyed before.
    pub async fn destroy_key(&self, smith: SmithId) -> Result<Vec<RunId>, Error> {
        let now = self.store.ids().now();
        let mut batch = Batch::new();
        batch
            .exec(
                "update erasures set erased_at = $1, step = step + 1 \
                 where smith_id = $2 and project_id = $3 and erased_at is null",
                params![now, smith, self.project],
            )
            .must_change_one_row(DESTROYED);
        batch.exec(
            "update smiths set data_key = $1, profile = $1, external_id = null, customer_id = null, pin = null, \
             erased_at = $2, version = version + 1 where id = $3 and project_id = $4",
            params![Vec::new(), now, smith, self.project],
        );
        batch.exec(
            "update runs set status = 'cancelled', owner = null, fence = fence + 1 where smith_id = $1 and project_id = $2 \
             and status not in ('completed', 'failed', 'cancelled') returning id",
            params![smith, self.project],
        );
        batch.announce(format!("{ERASED}{smith}"));
        let taken: Vec<RunId> = match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(outcome) => outcome.rows(2).iter().map(|row| row.get(0)).collect::<Result<_, _>>()?,
            Err(error) if error.is_guard(DESTROYED) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.store.forget_key(smith);
        if !taken.is_empty() {
            // A driver elsewhere would find out at its next commit; until then it had the conversation in its memory.
            let mut news = Batch::new();
            taken.iter().for_each(|run| news.announce(format!("{TAKEN}{run}")));
            self.store.db().commit(news).await?;
        }
        Ok(taken)
    }

    /// Deletes some of what a smith leaves whose key was destroyed.
    pub async fn erase_some(&self, smith: SmithId) -> Result<Progress, Error> {
        match self.erase_part(smith).await {
            // A run that was started before the smith was archived came to be stored after its chunk was looked at.
            Err(error) if error.is_reference() => Ok(Progress::Raced),
            Err(error) if error.is_guard(STEP) => Ok(Progress::Elsewhere),
            other => other,
        }
    }

    /// Returns the receipt of a smith whose key was destroyed.
    pub async fn receipt(&self, smith: SmithId) -> Result<Option<Receipt>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select erased_at from erasures where smith_id = $1 and project_id = $2 and erased_at is not null",
                params![smith, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let stays = |belonging: &Belonging| match belonging.erase {
            Erase::Keep(name) => Some(name),
            Erase::Delete | Erase::DeleteLast => None,
        };
        let kept = BELONGINGS.iter().filter_map(stays).chain([ANONYMOUS_USAGE]).collect();
        Ok(Some(Receipt { smith, erased_at: row.get(0)?, kept }))
    }

    async fn erase_part(&self, smith: SmithId) -> Result<Progress, Error> {
        let db = self.store.db();
        let row = db
            .read_one(
                "select step, finished_at from erasures where smith_id = $1 and project_id = $2 and erased_at is not null",
                params![smith, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(Progress::Raced) };
        let (step, finished_at): (u64, Option<Timestamp>) = (row.get(0)?, row.get(1)?);
        if finished_at.is_some() {
            return Ok(Progress::Done);
        }
        let has_runs = db.read_one("select 1 from runs where smith_id = $1 limit 1", params![smith]).await?;
        if has_runs.is_some() {
            return self.erase_runs(smith, step).await;
        }
        if self.delete(smith, step, |found| matches!(found, Found::BySmith(_))).await? {
            return Ok(Progress::More);
        }
        let mut last = self.step(smith, step.saturating_add(1));
        last.exec("delete from smiths where id = $1 and project_id = $2", params![smith, self.project]);
        db.commit(last).await?;
        // Not finished before that: a crash in between would leave the old content of pages in the log of writes.
        let now = self.store.ids().now();
        let scrubbed_at = match db.scrub().await? {
            Scrubbed::Blocked => return Ok(Progress::Blocked),
            Scrubbed::Now => Some(now),
            Scrubbed::Later => None,
        };
        let mut finished = self.step(smith, step.saturating_add(2));
        finished.exec(
            "update erasures set finished_at = $1, scrubbed_at = $2 where smith_id = $3",
            params![now, scrubbed_at, smith],
        );
        db.commit(finished).await?;
        Ok(Progress::Done)
    }

    /// Deletes the oldest runs with all that hangs on them, and adds what they used to the usage of nobody in particular.
    async fn erase_runs(&self, smith: SmithId, step: u64) -> Result<Progress, Error> {
        if self.delete(smith, step, |found| matches!(found, Found::ByRun(_))).await? {
            return Ok(Progress::More);
        }
        let mut batch = self.step(smith, step.saturating_add(1));
        batch.exec(USAGE, params![smith, RUNS]);
        batch.exec(
            "delete from runs where id in (select id from runs where smith_id = $1 order by id limit $2)",
            params![smith, RUNS],
        );
        self.store.db().commit(batch).await?;
        Ok(Progress::More)
    }

    /// Deletes rows of all tables that are found so. Returns whether there may be more.
    async fn delete(
        &self,
        smith: SmithId,
        step: u64,
        is_meant: impl Fn(Found) -> bool,
    ) -> Result<bool, Error> {
        let mut batch = self.step(smith, step);
        let mut limits = Vec::new();
        for belonging in BELONGINGS {
            if belonging.erase != Erase::Delete || !is_meant(belonging.found) {
                continue;
            }
            let Belonging { table, found, key, .. } = belonging;
            let limit = if holds_files(belonging) { FILES } else { ROWS };
            let column = found.column();
            let columns: Vec<_> = std::iter::once(column).chain(key.iter().copied()).collect();
            let columns = columns.join(", ");
            let (condition, mut values) = match found {
                Found::BySmith(_) => (format!("{column} = $1"), params![smith]),
                Found::ByRun(_) => (
                    format!("{column} in (select id from runs where smith_id = $1 order by id limit $2)"),
                    params![smith, RUNS],
                ),
            };
            values.push(limit.into());
            let place = values.len();
            let sql = format!(
                "delete from {table} where ({columns}) in (select {columns} from {table} where {condition} limit ${place}) \
                 returning 1"
            );
            batch.exec(sql, values);
            limits.push(limit);
        }
        let outcome = self.store.db().commit(batch).await?;
        Ok((1..).zip(limits).any(|(statement, limit)| outcome.rows(statement).len() >= limit))
    }

    /// Begins a batch that is kept only by whoever has seen the last one.
    fn step(&self, smith: SmithId, step: u64) -> Batch {
        let mut batch = Batch::new();
        batch
            .exec(
                "update erasures set step = step + 1 where smith_id = $1 and step = $2 and finished_at is null",
                params![smith, step],
            )
            .must_change_one_row(STEP);
        batch
    }
}

impl ServerStore {
    /// Lists erasures that were asked for and are not finished, oldest first.
    pub async fn unfinished_erasures(&self, limit: usize) -> Result<Vec<(ProjectId, SmithId)>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select project_id, smith_id from erasures where finished_at is null order by requested_at limit $1",
                params![limit],
            )
            .await?;
        Ok(rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_, crate::DbError>>()?)
    }

    /// Tells whether finished erasures have left something in the files of the database that can be cleared now.
    pub async fn has_traces(&self) -> Result<bool, Error> {
        let sql = format!("{TO_SCRUB} limit 1");
        Ok(self.store.db().read_one(&sql, params![]).await?.is_some())
    }

    /// Clears the files of the database of what finished erasures have deleted. It may take long.
    ///
    /// Returns how many erasures that were.
    pub async fn clear_traces(&self) -> Result<usize, Error> {
        let db = self.store.db();
        // Known before, because what is deleted meanwhile may be missed.
        let erasures = db.read(&format!("{TO_SCRUB} limit $1"), params![ROWS]).await?;
        let erased: Vec<SmithId> = erasures.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
        if erased.is_empty() {
            return Ok(0);
        }
        let deleted = BELONGINGS.iter().filter(|belonging| !matches!(belonging.erase, Erase::Keep(_)));
        db.vacuum(&deleted.map(|belonging| belonging.table).collect::<Vec<_>>()).await?;
        let now = self.store.ids().now();
        let mut batch = Batch::new();
        for smith in &erased {
            batch.exec("update erasures set scrubbed_at = $1 where smith_id = $2", params![now, *smith]);
        }
        db.commit(batch).await?;
        Ok(erased.len())
    }
}

const TO_SCRUB: &str = "select smith_id from erasures where finished_at is not null and scrubbed_at is null";

fn holds_files(belonging: &Belonging) -> bool {
    matches!(&belonging.export, Export::Lines(lines) if lines.attachment.is_some())
}

/// Adds up the runs that are about to be deleted, by day, agent and model. A day has 86,400,000,000 microseconds.
const USAGE: &str = "insert into anonymous_usage (project_id, day, agent_id, model, runs, input_tokens, output_tokens, \
     cache_read_tokens, cache_write_tokens, reasoning_tokens) \
     select project_id, created_at - created_at % 86400000000, agent_id, model, count(*), \
     cast(coalesce(sum(input_tokens), 0) as bigint), cast(coalesce(sum(output_tokens), 0) as bigint), \
     cast(coalesce(sum(cache_read_tokens), 0) as bigint), cast(coalesce(sum(cache_write_tokens), 0) as bigint), \
     cast(coalesce(sum(reasoning_tokens), 0) as bigint) \
     from runs where id in (select id from runs where smith_id = $1 order by id limit $2) \
     group by project_id, created_at - created_at % 86400000000, agent_id, model \
     on conflict (project_id, day, agent_id, model) do update set runs = anonymous_usage.runs + excluded.runs, \
     input_tokens = anonymous_usage.input_tokens + excluded.input_tokens, \
     output_tokens = anonymous_usage.output_tokens + excluded.output_tokens, \
     cache_read_tokens = anonymous_usage.cache_read_tokens + excluded.cache_read_tokens, \
     cache_write_tokens = anonymous_usage.cache_write_tokens + excluded.cache_write_tokens, \
     reasoning_tokens = anonymous_usage.reasoning_tokens + excluded.reasoning_tokens";
