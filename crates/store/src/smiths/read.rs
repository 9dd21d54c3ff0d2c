//! Reading smiths, each with what the version of its agent says.

use std::sync::Arc;

use domain::agents::Live;
use domain::ids::{AgentId, CustomerId, Id as _, SmithId};

use super::{PROFILE, Sealed, SmithRecord};
use crate::db::{Row, Value, params};
use crate::filter::Filter;
use crate::{DbError, Error, ProjectStore};

/// Which smiths a list shows.
#[derive(Clone, Debug, Default)]
pub struct SmithFilter {
    pub external_id: Option<String>,
    pub external_id_prefix: Option<String>,
    pub customer: Option<CustomerId>,
    pub agent: Option<AgentId>,
}

/// The columns of a smith itself, for queries that pick smiths.
const OWN: &str = "id, project_id, agent_id, external_id, customer_id, pin, data_key, profile, version, created_at, updated_at";

/// Picked smiths, each beside what its agent runs.
fn with_agents(picked: &str) -> String {
    format!(
        "select picked.id, picked.project_id, picked.agent_id, picked.external_id, picked.customer_id, picked.pin, \
         picked.data_key, picked.profile, picked.version, picked.created_at, picked.updated_at, \
         agents.active_version, agents.rollout_version, agents.rollout_percent \
         from ({picked}) as picked join agents on agents.id = picked.agent_id order by picked.id desc"
    )
}

impl ProjectStore {
    /// Finds a live smith of the project.
    pub async fn smith(&self, smith: SmithId) -> Result<Option<SmithRecord>, Error> {
        let picked =
            format!("select {OWN} from smiths where id = $1 and project_id = $2 and archived_at is null");
        self.one_smith(&picked, params![smith, self.project]).await
    }

    /// Finds the live smith of an external id and an agent, without one: the project's default agent.
    pub async fn smith_of(
        &self,
        external_id: &str,
        agent: Option<AgentId>,
    ) -> Result<Option<SmithRecord>, Error> {
        let (which, agent) = match agent {
            None => ("is_default = 1", None),
            Some(agent) => ("archived_at is null and id = $3", Some(agent.into())),
        };
        let picked = format!(
            "select {OWN} from smiths where project_id = $1 and external_id = $2 and archived_at is null \
             and agent_id = (select id from agents where project_id = $1 and {which})"
        );
        let mut values = params![self.project, external_id];
        values.extend(agent);
        self.one_smith(&picked, values).await
    }

    /// Tells whether the project has a live smith of this id.
    pub async fn has_smith(&self, smith: SmithId) -> Result<bool, Error> {
        let sql = "select 1 from smiths where id = $1 and project_id = $2 and archived_at is null";
        Ok(self.store.db().read_one(sql, params![smith, self.project]).await?.is_some())
    }

    /// Lists live smiths, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn smiths(
        &self,
        wanted: &SmithFilter,
        before: Option<SmithId>,
        limit: usize,
    ) -> Result<Vec<SmithRecord>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        filter.add("archived_at is null");
        if let Some(external_id) = &wanted.external_id {
            filter.add_text("external_id = ?", external_id);
        }
        if let Some(prefix) = &wanted.external_id_prefix {
            filter.add_text("external_id >= ?", prefix);
            if let Some(end) = crate::runs::after_prefix(prefix) {
                filter.add_text("external_id < ?", &end);
            }
        }
        if let Some(customer) = wanted.customer {
            filter.add_value("customer_id = ?", customer.as_bytes());
        }
        if let Some(agent) = wanted.agent {
            filter.add_value("agent_id = ?", agent);
        }
        if let Some(before) = before {
            filter.add_value("id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let picked = format!("select {OWN} from smiths where {conditions} order by id desc limit {limit}");
        self.read_smiths(&picked, values).await
    }

    async fn one_smith(&self, picked: &str, values: Vec<Value>) -> Result<Option<SmithRecord>, Error> {
        let rows = self.store.db().recall(&with_agents(picked), values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut smith = self.read_smith(row)?;
        self.add_base(&mut smith).await?;
        Ok(Some(smith))
    }

    async fn read_smiths(&self, picked: &str, values: Vec<Value>) -> Result<Vec<SmithRecord>, Error> {
        let rows = self.store.db().read(&with_agents(picked), values).await?;
        let mut smiths = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut smith = self.read_smith(row)?;
            self.add_base(&mut smith).await?;
            smiths.push(smith);
        }
        Ok(smiths)
    }

    /// Adds what the version of the smith's agent says. A page of smiths runs few versions, and those are at hand.
    async fn add_base(&self, smith: &mut SmithRecord) -> Result<(), Error> {
        let Some(version) = smith.agent_version else { return Ok(()) };
        if let Some(base) = self.agent_version(smith.agent, version).await? {
            smith.base = base;
        }
        Ok(())
    }

    fn read_smith(&self, row: &Row) -> Result<SmithRecord, Error> {
        let (id, agent): (SmithId, AgentId) = (row.get(0)?, row.get(2)?);
        let pin: Option<u32> = row.get(5)?;
        let (wrapped, sealed): (Vec<u8>, Vec<u8>) = (row.get(6)?, row.get(7)?);
        let seal = self.store.seal_of(id, &wrapped)?;
        let Sealed { profile, overrides } = seal.open(PROFILE, &id.as_bytes(), &sealed)?;
        let live = Live {
            active_version: row.get(11)?,
            rollout_version: row.get(12)?,
            rollout_percent: row.get(13)?,
        };
        Ok(SmithRecord {
            id,
            project: row.get(1)?,
            agent,
            agent_version: live.version_for(agent, id, pin),
            pin,
            external_id: row.get(3)?,
            customer: customer(row, 4)?,
            profile,
            overrides,
            base: Arc::default(),
            seal,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
            version: row.get(8)?,
        })
    }
}

fn customer(row: &Row, column: usize) -> Result<Option<CustomerId>, DbError> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    bytes
        .map(|bytes| bytes.as_slice().try_into().map(CustomerId::from_bytes))
        .transpose()
        .map_err(|_| DbError::Corrupt("an id has 16 bytes"))
}
