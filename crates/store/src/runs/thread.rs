//! Reading a thread from either end: what each of its runs was asked, and what it has added to that.

use std::collections::HashMap;

use domain::ids::{Id as _, RunId};
use domain::items::Item;
use domain::run::{Input, Plan};

use super::append::place;
use super::{JOURNAL, REQUEST, RESULT, RunRequest, RunResult};
use crate::conversations::Order;
use crate::db::{Row, params};
use crate::filter::Filter;
use crate::smiths::SmithRecord;
use crate::{Error, ProjectStore};

/// What a run has to do with its thread.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadRun {
    pub id: RunId,
    /// The run's place on the thread.
    pub turn: u64,
    /// What it was asked.
    pub asked: Vec<Item>,
    /// What it has added to that, up to its last rest.
    pub added: Vec<Item>,
    /// How each of the calls that it has added was to be carried out, by the call's id.
    pub plans: HashMap<String, Plan>,
}

impl ProjectStore {
    /// Reads runs of a thread, from the one at `from` on if given. Returns up to `limit` of them.
    ///
    /// Of a run that cannot be read there is nothing: its thread is shown without it.
    pub async fn thread_runs(
        &self,
        smith: &SmithRecord,
        thread_id: &str,
        order: Order,
        from: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ThreadRun>, Error> {
        let mut filter = Filter::new("runs.project_id = ?", self.project);
        filter.add_value("runs.smith_id = ?", smith.id);
        filter.add_text("runs.thread_id = ?", thread_id);
        if let Some(from) = from {
            filter.add_value(&format!("runs.turn {}= ?", order.behind()), from);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let direction = order.sql();
        let sql = format!(
            "select runs.id, runs.turn, run_requests.request, run_results.body from runs \
             left join run_requests on run_requests.run_id = runs.id left join run_results on run_results.run_id = runs.id \
             where {conditions} order by runs.turn {direction} limit {limit}"
        );
        let rows = self.store.db().read(&sql, values).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, turn): (RunId, u64) = (row.get(0)?, row.get(1)?);
            let mut run = ThreadRun { id, turn, asked: Vec::new(), added: Vec::new(), plans: HashMap::new() };
            match self.fill(&mut run, row, smith).await {
                Ok(()) => {}
                Err(error) if error.is_damage() => {
                    tracing::error!(run.id = %id, error = %error, "A turn of a thread cannot be read; the thread is shown without it.");
                }
                Err(error) => return Err(error),
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// Finds the runs of a thread whose ids lie in a range, with their turns. Returns up to `limit` of them.
    pub async fn thread_runs_between(
        &self,
        smith: &SmithRecord,
        thread_id: &str,
        range: (RunId, RunId),
        limit: usize,
    ) -> Result<Vec<(RunId, u64)>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        filter.add_value("smith_id = ?", smith.id);
        filter.add_text("thread_id = ?", thread_id);
        filter.add_value("id >= ?", range.0);
        filter.add_value("id <= ?", range.1);
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql = format!("select id, turn from runs where {conditions} order by id limit {limit}");
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }

    async fn fill(&self, run: &mut ThreadRun, row: &Row, smith: &SmithRecord) -> Result<(), Error> {
        let place = run.id.as_bytes();
        let (request, result): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
        let Some(request) = request else { return Ok(()) };
        let request: RunRequest = smith.seal.open(REQUEST, &place, &request)?;
        run.asked = request.items().collect();
        let Some(result) = result else { return Ok(()) };
        let result: RunResult = smith.seal.open(RESULT, &place, &result)?;
        if result.transcript.iter().any(|item| matches!(item, Item::ToolCall(_))) {
            run.plans = self.plans(run.id, smith).await?;
        }
        run.added = result.transcript;
        Ok(())
    }

    /// Reads from a run's journal who carries its calls out.
    async fn plans(&self, run: RunId, smith: &SmithRecord) -> Result<HashMap<String, Plan>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select position, body from run_journal where run_id = $1 and kind = 'replied' order by position",
                params![run],
            )
            .await?;
        let mut plans = HashMap::new();
        for row in &rows {
            let (position, body): (u64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if let Input::Replied { reply } = smith.seal.open(JOURNAL, &place(run, position), &body)? {
                plans.extend(reply.tool_calls.into_iter().map(|call| call.id).zip(reply.plans));
            }
        }
        Ok(plans)
    }
}
