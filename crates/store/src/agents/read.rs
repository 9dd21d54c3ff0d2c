//! Agents: what smiths need of them.

use std::sync::Arc;

use domain::agents::{Agent, Live};
use domain::ids::AgentId;
use domain::smiths::Config;

use crate::codec::read_json;
use crate::db::{Row, params};
use crate::{Batch, Error, ProjectStore};

pub(super) const COLUMNS: &str =
    "id, project_id, slug, name, is_default, draft, active_version, rollout_version, rollout_percent";

impl ProjectStore {
    /// Finds the project's default agent; makes it on first need, with an empty version 1 that is live.
    pub async fn default_agent(&self) -> Result<Agent, Error> {
        if let Some(agent) = self.find_default_agent().await? {
            return Ok(agent);
        }
        let mut batch = Batch::new();
        self.add_default_agent(&mut batch)?;
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => {}
            // Somebody else was faster.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        let agent = self.find_default_agent().await?;
        agent.ok_or(Error::Db(crate::DbError::Corrupt("the default agent is missing")))
    }

    /// Finds an agent that is not archived.
    pub async fn agent(&self, agent: AgentId) -> Result<Option<Agent>, Error> {
        let sql =
            format!("select {COLUMNS} from agents where id = $1 and project_id = $2 and archived_at is null");
        self.store.db().read_one(&sql, params![agent, self.project]).await?.as_ref().map(read).transpose()
    }

    /// Reads what a version of an agent froze. It is kept at hand: a version never changes.
    pub async fn agent_version(&self, agent: AgentId, version: u32) -> Result<Option<Arc<Config>>, Error> {
        let key = (self.project, agent, version);
        if let Some(config) = self.store.inner.agent_versions.get(&key) {
            return Ok(Some(config));
        }
        let row = self
            .store
            .db()
            .read_one(
                "select agent_versions.snapshot from agent_versions join agents on agents.id = agent_versions.agent_id \
                 where agent_versions.agent_id = $1 and agent_versions.version = $2 and agents.project_id = $3",
                params![agent, version, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let snapshot: String = row.get(0)?;
        let config: Arc<Config> = Arc::new(read_json(&snapshot)?);
        self.store.inner.agent_versions.insert(key, Arc::clone(&config));
        Ok(Some(config))
    }

    async fn find_default_agent(&self) -> Result<Option<Agent>, Error> {
        let sql = format!("select {COLUMNS} from agents where project_id = $1 and is_default = 1");
        self.store.db().read_one(&sql, params![self.project]).await?.as_ref().map(read).transpose()
    }
}

pub(super) fn read(row: &Row) -> Result<Agent, Error> {
    let draft: String = row.get(5)?;
    Ok(Agent {
        id: row.get(0)?,
        project: row.get(1)?,
        slug: row.get(2)?,
        name: row.get(3)?,
        is_default: row.get(4)?,
        draft: read_json(&draft)?,
        live: Live {
            active_version: row.get(6)?,
            rollout_version: row.get(7)?,
            rollout_percent: row.get(8)?,
        },
    })
}
