//! A row of a run, shown as far as it can be read: one damaged run must not hide the others.

use domain::Code;
use domain::frames::Warning;
use domain::ids::{Id as _, ProjectId, RunId, SmithId};
use domain::items::Item;
use domain::run::Status;
use domain::usage::Tokens;
use serde::de::DeserializeOwned;

use super::{REQUEST, RESULT, RunError, RunRecord, RunRequest, RunResult};
use crate::codec::read_json;
use crate::codec::{Place, SmithSeal};
use crate::db::Row;
use crate::{DbError, Error, ProjectStore};

/// The columns that [`ProjectStore::shown`] reads, in their order.
pub(super) const COLUMNS: &str = "runs.id, runs.project_id, runs.smith_id, runs.agent_id, runs.agent_version, runs.thread_id, runs.status, \
     runs.channel, runs.model, runs.owner, runs.fence, runs.crashes, runs.next_seq, runs.stop_reason, runs.input_tokens, \
     runs.output_tokens, runs.cache_read_tokens, runs.cache_write_tokens, runs.reasoning_tokens, runs.actor, runs.created_at, \
     runs.updated_at, smiths.data_key, run_requests.request, run_results.body, run_requests.config, runs.error_code";

pub(super) const TABLES: &str = "runs join smiths on smiths.id = runs.smith_id and smiths.erased_at is null \
     left join run_requests on run_requests.run_id = runs.id left join run_results on run_results.run_id = runs.id";

impl ProjectStore {
    /// Reads what a row shows of a run.
    pub(super) fn shown(&self, row: &Row) -> Result<Shown, Error> {
        let id: RunId = row.get(0)?;
        let smith: SmithId = row.get(2)?;
        let owner: Option<Vec<u8>> = row.get(9)?;
        let project: ProjectId = row.get(1)?;
        let mut damage = None;
        let seal = row.get::<Vec<u8>>(22).map_err(Error::from);
        let seal = readable(seal.and_then(|wrapped| self.store.seal_of(smith, &wrapped)), &mut damage);
        let status = readable(status(row, 6).map_err(Error::from), &mut damage).unwrap_or(UNKNOWN);
        let request = seal.as_ref().map(|seal| opened(row, 23, seal, REQUEST, id));
        let request = request.and_then(|request| readable(request, &mut damage));
        let has_result = row.get::<Option<Vec<u8>>>(24).map_or(true, |result| result.is_some());
        let result = seal.as_ref().filter(|_| has_result).map(|seal| opened(row, 24, seal, RESULT, id));
        let mut result = result.and_then(|result| readable(result, &mut damage));
        let actor = row.get::<String>(19).map_err(Error::from);
        let actor = readable(actor.and_then(|actor| Ok(read_json(&actor)?)), &mut damage);
        if status.is_final() && !has_result {
            damage.get_or_insert(DbError::Corrupt("a run that has ended has no result").into());
        }
        if let Some(damage) = &damage {
            tracing::error!(run.id = %id, error = %damage, "What is stored of a run cannot be read.");
            result = Some(with_damage(result, status, row.get(26).ok().flatten()));
        }
        let record = RunRecord {
            id,
            project,
            smith,
            agent: row.get(3)?,
            agent_version: row.get(4)?,
            thread_id: row.get(5)?,
            status,
            channel: row.get(7)?,
            model: row.get(8)?,
            owner: owner.and_then(|owner| owner.try_into().ok()),
            fence: row.get(10)?,
            crashes: row.get(11)?,
            next_seq: row.get(12)?,
            stop_reason: row.get(13)?,
            tokens: tokens(row)?,
            actor,
            request: request.unwrap_or_default(),
            result,
            created_at: row.get(20)?,
            updated_at: row.get(21)?,
        };
        Ok(Shown { record, seal, damage })
    }
}

/// What can be shown of a run.
pub(super) struct Shown {
    pub(super) record: RunRecord,
    pub(super) seal: Option<SmithSeal>,
    /// Why the rest cannot.
    damage: Option<Error>,
}

impl Shown {
    /// Returns the run when all of it could be read, else why not.
    pub(super) fn whole(self) -> Result<(RunRecord, SmithSeal), Error> {
        match (self.damage, self.seal) {
            (None, Some(seal)) => Ok((self.record, seal)),
            (Some(damage), _) => Err(damage),
            (None, None) => Err(DbError::Corrupt("a smith has no data key").into()),
        }
    }
}

/// Notes why something cannot be read, and does without it.
fn readable<T>(read: Result<T, Error>, damage: &mut Option<Error>) -> Option<T> {
    read.map_err(|error| damage.get_or_insert(error)).ok()
}

fn opened<T: DeserializeOwned>(
    row: &Row,
    column: usize,
    seal: &SmithSeal,
    place: Place,
    run: RunId,
) -> Result<T, Error> {
    seal.open(place, &run.as_bytes(), &row.get::<Vec<u8>>(column)?)
}

/// Says in a run's result that part of the run cannot be read, and of a failed one what is known from the clear.
fn with_damage(result: Option<RunResult>, status: Status, error_code: Option<String>) -> RunResult {
    let mut result = result.unwrap_or_default();
    let message = "Part of what was stored of this run cannot be read.".to_owned();
    if status == Status::Failed && result.error.is_none() {
        let code = error_code.and_then(|code| Code::parse(&code)).unwrap_or(Code::InternalError);
        result.error = Some(RunError { code, message: message.clone(), transient: false });
    }
    result.warnings.push(Warning { code: "content_unreadable".to_owned(), message });
    result
}

/// Reads what a run added to its thread: its input, and what came of it.
pub(super) fn turn(row: &Row, run: RunId, seal: &SmithSeal) -> Result<Vec<Item>, Error> {
    let request: RunRequest = opened(row, 1, seal, REQUEST, run)?;
    let result: RunResult = opened(row, 2, seal, RESULT, run)?;
    Ok(request.items().chain(result.transcript).collect())
}

/// Where a run stands for its readers whose status is not one: it will not go on.
pub(super) const UNKNOWN: Status = Status::Failed;

pub(super) fn status(row: &Row, column: usize) -> Result<Status, DbError> {
    let text: String = row.get(column)?;
    Status::parse(&text).ok_or(DbError::Corrupt("a run has an unknown status"))
}

fn tokens(row: &Row) -> Result<Option<Tokens>, DbError> {
    let Some(input) = row.get(14)? else { return Ok(None) };
    let count = |column| row.get::<Option<u64>>(column).map(Option::unwrap_or_default);
    Ok(Some(Tokens {
        input,
        output: count(15)?,
        cache_read: count(16)?,
        cache_write: count(17)?,
        reasoning: count(18)?,
    }))
}
