//! Rolling versions out and back: one row changes, however many smiths it concerns.

use domain::agents::Percent;
use domain::ids::AgentId;

use super::{AgentRecord, RACES, REVISION, too_many_races};
use crate::db::params;
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

/// Why nothing was rolled out.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the agent has no such version")]
    NoVersion,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Rolls a version out to a share of the agent's smiths. What is so already is not written again.
    pub async fn roll_out(
        &self,
        agent: AgentId,
        version: u32,
        share: Percent,
        remember: Remembering<'_, AgentRecord>,
    ) -> Result<AgentRecord, RolloutError> {
        for _ in 0..RACES {
            let mut record = self.agent_record(agent).await?.ok_or(RolloutError::NoAgent)?;
            if !self.has_version(agent, version).await? {
                return Err(RolloutError::NoVersion);
            }
            let live = record.agent.live.rolled_out(version, share);
            let mut batch = Batch::new();
            if live != record.agent.live {
                record.agent.live = live;
                record.updated_at = self.store.ids().now();
                self.set_live(&mut batch, &record);
                record.revision = record.revision.saturating_add(1);
            }
            if let Some(remember) = remember {
                remember(&record)?.add_to(&mut batch, &self.store);
            }
            if batch.is_empty() {
                return Ok(record);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(record),
                Err(error) if error.is_guard(REVISION) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_races().into())
    }

    /// Adds to a batch what is live now and when that was decided. The record still has the revision that it was read with.
    pub(super) fn set_live(&self, batch: &mut Batch, record: &AgentRecord) {
        let live = record.agent.live;
        batch
            .exec(
                "update agents set active_version = $1, rollout_version = $2, rollout_percent = $3, updated_at = $4, \
                 revision = revision + 1 where id = $5 and project_id = $6 and revision = $7 and archived_at is null",
                params![
                    live.active_version,
                    live.rollout_version,
                    live.rollout_percent,
                    record.updated_at,
                    record.agent.id,
                    self.project,
                    record.revision
                ],
            )
            .must_change_one_row(REVISION);
    }

    /// Tells whether an agent that was found has a version.
    async fn has_version(&self, agent: AgentId, version: u32) -> Result<bool, Error> {
        let sql = "select 1 from agent_versions where agent_id = $1 and version = $2";
        Ok(self.store.db().read_one(sql, params![agent, version]).await?.is_some())
    }
}
