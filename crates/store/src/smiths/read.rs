//! Reading smiths, each with the version of its agent, in one query.

use domain::agents::Live;
use domain::ids::{AgentId, CustomerId, Id as _, SmithId};
use domain::smiths::Config;

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

/// A picked smith beside each version that it could run: at most three rows, of which one is meant.
fn with_versions(picked: &str) -> String {
    format!(
        "select picked.id, picked.project_id, picked.agent_id, picked.external_id, picked.customer_id, picked.pin, \
         picked.data_key, picked.profile, picked.version, picked.created_at, picked.updated_at, \
         agents.active_version, agents.rollout_version, agents.rollout_percent, agent_versions.version, agent_versions.snapshot \
         from ({picked}) as picked join agents on agents.id = picked.agent_id \
         left join agent_versions on agent_versions.agent_id = picked.agent_id \
         and agent_versions.version in (picked.pin, agents.active_version, agents.rollout_version) \
         order by picked.id desc"
    )
}

impl ProjectStore {
    /// Finds a live smith of the project.
    pub async fn smith(&self, smith: SmithId) -> Result<Option<SmithRecord>, Error> {
        let picked =
            format!("select {OWN} from smiths where id = $1 and project_id = $2 and archived_at is null");
        Ok(self.read_smiths(&picked, params![smith, self.project]).await?.into_iter().next())
    }

    /// Finds the live smith of an external id and an agent.
    pub async fn smith_of(&self, external_id: &str, agent: AgentId) -> Result<Option<SmithRecord>, Error> {
        let picked = format!(
            "select {OWN} from smiths where project_id = $1 and agent_id = $2 and external_id = $3 and archived_at is null"
        );
        Ok(self.read_smiths(&picked, params![self.project, agent, external_id]).await?.into_iter().next())
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

    async fn read_smiths(&self, picked: &str, values: Vec<Value>) -> Result<Vec<SmithRecord>, Error> {
        let rows = self.store.db().read(&with_versions(picked), values).await?;
        let mut smiths: Vec<SmithRecord> = Vec::new();
        for row in &rows {
            let id: SmithId = row.get(0)?;
            let last = match smiths.last_mut() {
                Some(last) if last.id == id => last,
                _ => {
                    smiths.push(self.read_smith(row)?);
                    let Some(last) = smiths.last_mut() else { continue };
                    last
                }
            };
            let version: Option<u32> = row.get(14)?;
            if version.is_some() && version == last.agent_version {
                let snapshot: String = row.get(15)?;
                last.base = serde_json::from_str(&snapshot)?;
            }
        }
        Ok(smiths)
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
            base: Config::default(),
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
