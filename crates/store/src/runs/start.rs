//! Starting a run: it is stored, takes its place on its thread's lane, and begins at once where the lane is free.

use domain::Timestamp;
use domain::ids::{AgentId, RunId, SmithId};
use domain::principals::Actor;
use domain::run::Status;

use super::{
    CONFIG, FRAMES, JOURNAL, JournalEntry, NewFrames, NodeId, REQUEST, RunConfig, RunRequest, turns,
};
use crate::codec::SmithSeal;
use crate::db::params;
use crate::files::StoredFile;
use crate::idempotency::Remember;
use crate::{Batch, Error, ProjectStore};

/// A run that is to be stored, and how it begins should its lane be free.
#[derive(Clone)]
pub struct NewRun {
    pub id: RunId,
    pub smith: SmithId,
    pub agent: AgentId,
    pub agent_version: Option<u32>,
    pub thread_id: String,
    pub channel: String,
    pub model: String,
    pub actor: Actor,
    pub request: RunRequest,
    pub config: RunConfig,
    pub node: NodeId,
    /// The journal's first entry and the frames that tell it.
    pub beginning: (JournalEntry, NewFrames),
    /// How many runs may wait on a thread.
    pub waiting: usize,
    /// How many runs of the project may be running for this one to begin at once; otherwise it waits. None: any number.
    pub at_once: Option<usize>,
    /// Files that came inline with the input.
    pub files: Vec<StoredFile>,
    pub remember: Option<Remember>,
    /// Whether whoever starts it has something else to do while it is being stored.
    pub meanwhile: bool,
    pub at: Timestamp,
}

/// The run is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Running,
    Queued,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The thread's current run waits for somebody.
    #[error("the thread is locked by a paused run")]
    Locked(RunId),
    /// The smith was archived meanwhile.
    #[error("the smith is gone")]
    SmithGone,
    #[error("too many runs wait on the thread")]
    Full,
    /// The idempotency key was used by a request that was faster.
    #[error("the idempotency key is taken")]
    KeyTaken,
    #[error(transparent)]
    Store(#[from] Error),
}

const LANE: &str = "lane";
/// How often a start is tried again when another one on the same thread was faster, beyond those that may wait there: each
/// lost race is a run that the thread has more.
const RACES: usize = 16;

impl ProjectStore {
    /// Stores a run; it runs from here on, or waits for its turn on the thread.
    pub async fn start_run(&self, seal: &SmithSeal, run: &NewRun) -> Result<Started, StartError> {
        let mut races = 0;
        loop {
            let batch = self.start_batch(seal, run)?;
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(outcome) => {
                    let row = outcome.rows(0).first();
                    let status: String =
                        row.map_or(Ok(String::new()), |row| row.get(0)).map_err(Error::from)?;
                    return Ok(if status == Status::Running.as_str() {
                        Started::Running
                    } else {
                        Started::Queued
                    });
                }
                Err(error) if error.is_guard(LANE) => {
                    return Err(match self.paused_on_thread(run.smith, &run.thread_id).await? {
                        Some(paused) => StartError::Locked(paused),
                        // With its project, it is gone too.
                        None if !self.has_smith(run.smith).await? || self.is_archived().await? => {
                            StartError::SmithGone
                        }
                        None => StartError::Full,
                    });
                }
                Err(error) if error.is_reference() => return Err(StartError::SmithGone),
                Err(error) if error.is_guard(crate::idempotency::GUARD) => return Err(StartError::KeyTaken),
                // Two runs took the same turn, or the free lane, at the same moment: the database let one in.
                Err(error) if error.is_conflict() && races < run.waiting.saturating_add(RACES) => races += 1,
                Err(error) if error.is_conflict() => return Err(StartError::Full),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn start_batch(&self, seal: &SmithSeal, run: &NewRun) -> Result<Batch, Error> {
        let now = run.at;
        let row = domain::ids::Id::as_bytes(run.id);
        let mut batch = Batch::new();
        let mut values = params![
            run.id,
            self.project,
            run.smith,
            run.agent,
            run.agent_version,
            run.thread_id.as_str(),
            run.channel.as_str(),
            run.model.as_str(),
            run.node,
            serde_json::to_string(&run.actor)?,
            now,
            run.waiting,
            run.beginning.0.next_seq,
        ];
        let mut has_to_wait = String::from(
            "exists (select 1 from runs where smith_id = $3 and thread_id = $6 and status in ('queued', 'running'))",
        );
        // The first of a lane that nobody is on waits for its project, not on its thread.
        let in_turn = "(case when exists (select 1 from runs where smith_id = $3 and thread_id = $6 and status = 'running') \
                       then 0 else 1 end)";
        if let Some(at_once) = run.at_once {
            let (is_full, somebody_waits) = (turns::is_full("$2", "$14"), turns::somebody_waits("$2"));
            has_to_wait.push_str(&format!(" or {is_full} or {somebody_waits}"));
            values.push(at_once.into());
        }
        batch
            .exec(
                format!("insert into runs (id, project_id, smith_id, agent_id, agent_version, thread_id, status, channel, model, \
                 owner, fence, crashes, next_seq, actor, created_at, updated_at, turn) \
                 select $1, $2, $3, $4, $5, $6, \
                 case when {has_to_wait} then 'queued' else 'running' end, \
                 $7, $8, $9, 1, 0, \
                 case when {has_to_wait} then 0 else $13 end, \
                 $10, $11, $11, \
                 (select coalesce(max(turn), 0) + 1 from runs where smith_id = $3 and thread_id = $6) \
                 where not exists (select 1 from runs where smith_id = $3 and thread_id = $6 \
                 and status in ('paused_for_approval', 'paused_for_tool')) \
                 and exists (select 1 from smiths where id = $3 and archived_at is null) \
                 and exists (select 1 from projects where id = $2 and archived_at is null) \
                 and (not exists (select 1 from runs where smith_id = $3 and thread_id = $6 and status in ('queued', 'running')) \
                 or (select count(*) from runs where smith_id = $3 and thread_id = $6 and status = 'queued') \
                 < $12 + {in_turn})"),
                values,
            )
            .must_change_one_row(LANE)
            .returning("status");
        let request = batch.exec(
            "insert into run_requests (run_id, request, config) values ($1, $2, $3)",
            params![run.id, seal.seal(REQUEST, &row, &run.request)?, seal.seal(CONFIG, &row, &run.config)?],
        );
        request.independent();
        // The beginning is kept only where the run begins: one that queues begins later.
        let (entry, frames) = &run.beginning;
        let last = entry.next_seq.saturating_sub(1);
        batch.exec(
            "insert into run_journal (run_id, position, kind, next_seq, body, created_at) \
             select $1, 0, $2, $3, $4, $5 from runs where id = $1 and status = 'running'",
            params![
                run.id,
                entry.input.name(),
                entry.next_seq,
                seal.seal(JOURNAL, &super::append::place(run.id, 0), &entry.input)?,
                now
            ],
        );
        batch.exec(
            "insert into run_frames (run_id, seq_from, seq_to, body, created_at) \
             select $1, $2, $3, $4, $5 from runs where id = $1 and status = 'running'",
            params![
                run.id,
                frames.from,
                last,
                seal.seal(FRAMES, &super::append::place(run.id, frames.from), &frames.frames)?,
                now
            ],
        );
        for file in &run.files {
            self.add_file(&mut batch, run.smith, seal, file)?;
        }
        if let Some(remember) = &run.remember {
            remember.add_to(&mut batch, &self.store);
        }
        if run.meanwhile {
            batch.aside();
        }
        Ok(batch)
    }

    async fn is_archived(&self) -> Result<bool, Error> {
        let sql = "select 1 from projects where id = $1 and archived_at is null";
        Ok(self.store.db().read_one(sql, params![self.project]).await?.is_none())
    }

    async fn paused_on_thread(&self, smith: SmithId, thread_id: &str) -> Result<Option<RunId>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select id from runs where smith_id = $1 and thread_id = $2 and project_id = $3 \
                 and status in ('paused_for_approval', 'paused_for_tool')",
                params![smith, thread_id, self.project],
            )
            .await?;
        Ok(row.map(|row| row.get(0)).transpose()?)
    }
}
