//! Changing an agent's name and draft. What its smiths run stays as it is until a version is published and rolled out.

use domain::Problem;
use domain::ids::AgentId;
use domain::smiths::Config;

use super::{AgentRecord, RACES, REVISION, too_many_races};
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

/// The parts of an agent that can be changed.
#[derive(Clone, Debug)]
pub struct AgentEdit {
    pub name: String,
    pub draft: Config,
}

/// Why an agent was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the project has no such agent")]
    NoAgent,
    /// The change itself is not right.
    #[error(transparent)]
    Refused(Problem),
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Changes an agent. `edit` is asked again with what is there then when another change was faster.
    pub async fn change_agent(
        &self,
        agent: AgentId,
        edit: impl Fn(&mut AgentEdit) -> Result<(), Problem> + Send + Sync,
    ) -> Result<AgentRecord, ChangeError> {
        for _ in 0..RACES {
            let mut record = self.agent_record(agent).await?.ok_or(ChangeError::NoAgent)?;
            let mut after = AgentEdit { name: record.agent.name.clone(), draft: record.agent.draft.clone() };
            edit(&mut after).map_err(ChangeError::Refused)?;
            record.agent.name = after.name;
            record.agent.draft = after.draft;
            record.updated_at = self.store.ids().now();
            match self.store.db().commit(self.change_agent_batch(&record)?).await.map_err(Error::from) {
                Ok(_) => {
                    record.revision = record.revision.saturating_add(1);
                    return Ok(record);
                }
                Err(error) if error.is_guard(REVISION) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_races().into())
    }

    fn change_agent_batch(&self, record: &AgentRecord) -> Result<Batch, Error> {
        let mut batch = Batch::new();
        batch
            .exec(
                "update agents set name = $1, draft = $2, updated_at = $3, revision = revision + 1 \
                 where id = $4 and project_id = $5 and revision = $6 and archived_at is null",
                params![
                    record.agent.name.as_str(),
                    serde_json::to_string(&record.agent.draft)?,
                    record.updated_at,
                    record.agent.id,
                    self.project,
                    record.revision
                ],
            )
            .must_change_one_row(REVISION);
        Ok(batch)
    }
}
