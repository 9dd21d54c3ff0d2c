//! Reading agents with what is known around them, and their versions.

use domain::ids::AgentId;

use super::read::{COLUMNS, read};
use super::{AgentRecord, VersionRecord};
use crate::codec::read_json;
use crate::db::{Row, params};
use crate::filter::Filter;
use crate::{Error, ProjectStore};

/// How many columns of a record are those of the agent itself.
const OWN: usize = 9;

/// Returns the query of whole records. The count is the sum of a few rows, the newest run is the end of a stretch of an index.
///
/// The run is asked for by a range of one agent: PostgreSQL would meet an equality by walking through all runs of the project,
/// newest first, until one fits, and through all of them for an agent that has none.
pub(super) fn select(conditions: &str) -> String {
    format!(
        "select {COLUMNS}, created_at, updated_at, revision, \
         (select cast(coalesce(sum(agent_smith_counts.smith_count), 0) as BIGINT) from agent_smith_counts \
         where agent_smith_counts.agent_id = agents.id), \
         (select runs.created_at from runs where runs.project_id = agents.project_id \
         and runs.agent_id >= agents.id and runs.agent_id <= agents.id order by runs.agent_id desc, runs.id desc limit 1) \
         from agents where {conditions}"
    )
}

impl ProjectStore {
    /// Finds an agent that is not archived, with what is known around it.
    pub async fn agent_record(&self, agent: AgentId) -> Result<Option<AgentRecord>, Error> {
        let sql = select("id = $1 and project_id = $2 and archived_at is null");
        let row = self.store.db().read_one(&sql, params![agent, self.project]).await?;
        row.as_ref().map(read_record).transpose()
    }

    /// Lists live agents, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn agents(&self, before: Option<AgentId>, limit: usize) -> Result<Vec<AgentRecord>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        filter.add("archived_at is null");
        if let Some(before) = before {
            filter.add_value("id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql = select(&format!("{conditions} order by id desc limit {limit}"));
        self.store.db().read(&sql, values).await?.iter().map(read_record).collect()
    }

    /// Lists the versions of an agent, newest first, those before `before` if given. Returns up to `limit` of them, or None when
    /// there is no such agent.
    pub async fn agent_versions(
        &self,
        agent: AgentId,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Option<Vec<VersionRecord>>, Error> {
        if self.agent(agent).await?.is_none() {
            return Ok(None);
        }
        let mut filter = Filter::new("agent_id = ?", agent);
        if let Some(before) = before {
            filter.add_value("version < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Some(Vec::new())) };
        let sql = format!(
            "select version, snapshot, created_by, note, created_at from agent_versions where {conditions} \
             order by version desc limit {limit}"
        );
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(read_version).collect::<Result<_, _>>().map(Some)
    }
}

fn read_record(row: &Row) -> Result<AgentRecord, Error> {
    Ok(AgentRecord {
        agent: read(row)?,
        created_at: row.get(OWN)?,
        updated_at: row.get(OWN + 1)?,
        revision: row.get(OWN + 2)?,
        // Each row of the count may be below zero, their sum is not.
        smith_count: row.get::<i64>(OWN + 3)?.try_into().unwrap_or_default(),
        last_activity_at: row.get(OWN + 4)?,
    })
}

fn read_version(row: &Row) -> Result<VersionRecord, Error> {
    let snapshot: String = row.get(1)?;
    Ok(VersionRecord {
        version: row.get(0)?,
        snapshot: read_json(&snapshot)?,
        created_by: row.get(2)?,
        note: row.get(3)?,
        created_at: row.get(4)?,
    })
}
