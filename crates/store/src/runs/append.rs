//! Appending to a run: frames, journal entries, and its end, in one guarded batch.

use domain::ids::{Id as _, RunId};
use domain::run::{Ending, Status};
use domain::usage::Tokens;
use domain::{Code, Timestamp};

use super::{FRAMES, JOURNAL, JournalEntry, NewFrames, NodeId, RESULT, RunResult};
use crate::approvals::ApprovalChanges;
use crate::codec::SmithSeal;
use crate::db::params;
use crate::idempotency::{self, Remember};
use crate::{Batch, Error, ServerStore};

/// The guard that keeps out whoever lost a run: a replica that slept through its lease, or a driver that was cancelled.
const FENCE: &str = "fence";

/// Begins an announcement that a run was taken from whoever runs it; without it, the run just has news.
pub const TAKEN: &str = "taken ";

/// What one commit adds to a run.
pub struct Append<'a> {
    pub run: RunId,
    pub seal: &'a SmithSeal,
    /// The number that the writer's right to the run rests on.
    pub fence: u64,
    /// The next free seq before this commit: nobody else may have written meanwhile.
    pub expected_seq: u64,
    /// Set when the writer takes the run away from whoever runs it.
    pub takes_over: bool,
    pub frames: NewFrames,
    /// Journal entries and the position of the first.
    pub journal: (u64, Vec<JournalEntry>),
    pub standing: Standing,
    pub approvals: ApprovalChanges,
    /// The key of the request that made the change.
    pub remember: Option<Remember>,
    /// Whether whoever appends has something else to do until it is kept.
    pub meanwhile: bool,
    /// Whether other processes are to be told.
    pub announce: bool,
    pub at: Timestamp,
}

/// How a run stands after an append.
pub enum Standing {
    /// It runs on where it ran.
    Runs,
    /// A paused run runs on, on this node.
    TakenUp(NodeId),
    Pauses(Pause),
    Ends(End),
}

/// How a run waits for somebody outside, for its record.
pub struct Pause {
    pub status: Status,
    pub tokens: Option<Tokens>,
    pub result: RunResult,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Kept,
    /// Nothing was kept: another request with the same idempotency key was faster.
    KeyTaken,
    /// It is kept, and the run's lane is free for one that waits.
    KeptAndAnotherWaits,
    /// Nothing was kept: the run is no longer the writer's.
    Lost,
}

impl Appended {
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::KeptAndAnotherWaits)
    }
}

/// How a run ended, for its record.
pub struct End {
    pub ending: Ending,
    pub tokens: Option<Tokens>,
    pub result: RunResult,
}

/// Names a row of a run's log for the seal.
pub(super) fn place(run: RunId, number: u64) -> [u8; 24] {
    let mut place = [0; 24];
    let (id, rest) = place.split_at_mut(16);
    id.copy_from_slice(&run.as_bytes());
    rest.copy_from_slice(&number.to_be_bytes());
    place
}

/// How many journal entries one statement stores at most. Each number of them makes another statement, which stays prepared.
const ENTRIES: usize = 4;

/// Returns the statement that stores so many journal entries.
fn insert_entries(count: usize) -> String {
    const COLUMNS: usize = 6;
    let row = |number: usize| {
        let first = number.saturating_mul(COLUMNS);
        let places: Vec<_> =
            (1..=COLUMNS).map(|column| format!("${}", first.saturating_add(column))).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    format!(
        "insert into run_journal (run_id, position, kind, next_seq, body, created_at) values {}",
        rows.join(", ")
    )
}

impl ServerStore {
    /// Appends to a run, all of it or nothing.
    pub async fn append_to_run(&self, append: &Append<'_>) -> Result<Appended, Error> {
        let mut batch = self.append_batch(append)?;
        if append.meanwhile {
            batch.aside();
        }
        let last = batch.len().saturating_sub(1);
        let ends = matches!(append.standing, Standing::Ends(_));
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(outcome) if ends && !outcome.rows(last).is_empty() => Ok(Appended::KeptAndAnotherWaits),
            Ok(_) => Ok(Appended::Kept),
            Err(error) if error.is_guard(FENCE) => Ok(Appended::Lost),
            Err(error) if error.is_guard(idempotency::GUARD) => Ok(Appended::KeyTaken),
            Err(error) => Err(error),
        }
    }

    fn append_batch(&self, append: &Append<'_>) -> Result<Batch, Error> {
        let now = append.at;
        let run = append.run;
        let count = u64::try_from(append.frames.frames.len()).unwrap_or(0);
        let next_seq = append.expected_seq.saturating_add(count);
        let mut batch = Batch::new();
        let (first, entries) = &append.journal;
        // A journaled outcome is progress: what brought the process down before was not this step.
        let progress = entries.iter().any(|entry| entry.input.is_progress());
        match &append.standing {
            Standing::Ends(end) => {
                let code = match &end.ending {
                    Ending::Failed { code, .. } => Some(code.as_str()),
                    _ => None,
                };
                let tokens = end.tokens;
                let count = |pick: fn(Tokens) -> u64| tokens.map(pick);
                batch
                    .exec(
                        "update runs set status = $1, stop_reason = $2, error_code = $3, input_tokens = $4, output_tokens = $5, \
                         cache_read_tokens = $6, cache_write_tokens = $7, reasoning_tokens = $8, next_seq = $9, updated_at = $10, \
                         owner = null, fence = fence + 1 \
                         where id = $11 and fence = $12 and next_seq = $13 and status not in ('completed', 'failed', 'cancelled')",
                        params![
                            end.ending.status().as_str(),
                            end.ending.stop_reason(),
                            code,
                            count(|tokens| tokens.input),
                            count(|tokens| tokens.output),
                            count(|tokens| tokens.cache_read),
                            count(|tokens| tokens.cache_write),
                            count(|tokens| tokens.reasoning),
                            next_seq,
                            now,
                            run,
                            append.fence,
                            append.expected_seq
                        ],
                    )
                    .must_change_one_row(FENCE);
                self.keep_result(&mut batch, append, &end.result)?;
            }
            Standing::Pauses(pause) => {
                let tokens = pause.tokens;
                let count = |pick: fn(Tokens) -> u64| tokens.map(pick);
                batch
                    .exec(
                        "update runs set status = $1, input_tokens = $2, output_tokens = $3, cache_read_tokens = $4, \
                         cache_write_tokens = $5, reasoning_tokens = $6, next_seq = $7, updated_at = $8, owner = null, \
                         crashes = 0, fence = fence + 1 where id = $9 and fence = $10 and next_seq = $11 \
                         and status in ('running', 'paused_for_approval', 'paused_for_tool')",
                        params![
                            pause.status.as_str(),
                            count(|tokens| tokens.input),
                            count(|tokens| tokens.output),
                            count(|tokens| tokens.cache_read),
                            count(|tokens| tokens.cache_write),
                            count(|tokens| tokens.reasoning),
                            next_seq,
                            now,
                            run,
                            append.fence,
                            append.expected_seq
                        ],
                    )
                    .must_change_one_row(FENCE);
                self.keep_result(&mut batch, append, &pause.result)?;
            }
            Standing::TakenUp(node) => {
                batch
                    .exec(
                        "update runs set status = 'running', owner = $1, next_seq = $2, fence = fence + 1, crashes = 0, \
                         updated_at = $3 where id = $4 and fence = $5 and next_seq = $6 \
                         and status in ('paused_for_approval', 'paused_for_tool')",
                        params![*node, next_seq, now, run, append.fence, append.expected_seq],
                    )
                    .must_change_one_row(FENCE);
            }
            Standing::Runs => {
                let taken = u64::from(append.takes_over);
                batch
                    .exec(
                        "update runs set next_seq = $1, fence = fence + $2, crashes = case when $3 = 1 then 0 else crashes end, \
                         updated_at = $4 where id = $5 and fence = $6 and next_seq = $7 and status = 'running'",
                        params![next_seq, taken, progress, now, run, append.fence, append.expected_seq],
                    )
                    .must_change_one_row(FENCE);
            }
        }
        append.approvals.add_to(&mut batch, append)?;
        if let Some(remember) = &append.remember {
            remember.add_to(&mut batch, &self.store);
        }
        if count > 0 {
            let from = append.frames.from;
            let frames = batch.exec(
                "insert into run_frames (run_id, seq_from, seq_to, body, created_at) values ($1, $2, $3, $4, $5)",
                params![
                    run,
                    from,
                    next_seq.saturating_sub(1),
                    append.seal.seal(FRAMES, &place(run, from), &append.frames.frames)?,
                    now
                ],
            );
            frames.independent();
        }
        let places: Vec<_> = (*first..).zip(entries).collect();
        for some in places.chunks(ENTRIES) {
            let mut values = Vec::new();
            for (position, entry) in some {
                let body = append.seal.seal(JOURNAL, &place(run, *position), &entry.input)?;
                values.extend(params![run, *position, entry.input.name(), entry.next_seq, body, now]);
            }
            batch.exec(insert_entries(some.len()), values).independent();
        }
        if matches!(append.standing, Standing::Ends(_)) {
            // Asked in the same breath: most lanes have nobody waiting, and then nothing more is to do.
            batch.exec(
                "select 1 from runs as ended join runs as waiting on waiting.smith_id = ended.smith_id \
                 and waiting.thread_id = ended.thread_id and waiting.status = 'queued' where ended.id = $1 limit 1",
                params![run],
            );
        }
        if append.announce {
            batch.announce(if append.takes_over { format!("{TAKEN}{run}") } else { run.to_string() });
        }
        Ok(batch)
    }

    fn keep_result(&self, batch: &mut Batch, append: &Append<'_>, result: &RunResult) -> Result<(), Error> {
        let kept = batch.exec(
            "insert into run_results (run_id, body) values ($1, $2) on conflict (run_id) do update set body = excluded.body",
            params![append.run, append.seal.seal(RESULT, &append.run.as_bytes(), result)?],
        );
        kept.independent();
        Ok(())
    }

    /// Gives a running run back, for whoever takes it next. A hand-over is no crash.
    pub async fn release_run(&self, run: RunId, node: NodeId, fence: u64) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "update runs set owner = null where id = $1 and owner = $2 and fence = $3 and status = 'running'",
            params![run, node, fence],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Lists runs that were sealed because they could not go on, newest first.
    pub async fn poisoned_runs(&self, limit: usize) -> Result<Vec<RunId>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select id from runs where error_code = 'resume_failed' and error_code = $1 order by id desc limit $2",
                params![Code::ResumeFailed.as_str(), limit],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?)
    }
}
