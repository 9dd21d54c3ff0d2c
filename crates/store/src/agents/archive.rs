//! Archiving an agent that no smith needs any more.

use domain::ids::AgentId;

use super::counts;
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

const UNUSED: &str = "agent_unused";

/// Why an agent was not archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the default agent stays")]
    Default,
    #[error("the agent has live smiths")]
    InUse,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Archives an agent: its slug is free again. Its versions stay for the runs that name them.
    pub async fn archive_agent(&self, agent: AgentId) -> Result<(), ArchiveError> {
        let found = self.agent(agent).await?.ok_or(ArchiveError::NoAgent)?;
        if found.is_default {
            return Err(ArchiveError::Default);
        }
        let mut batch = Batch::new();
        // Before anything is looked at: from here on no smith can come, and whoever was about to has come.
        counts::close(&mut batch, agent);
        batch
            .exec(
                "update agents set archived_at = $1, updated_at = $1, revision = revision + 1 \
                 where id = $2 and project_id = $3 and is_default = 0 and archived_at is null \
                 and not exists (select 1 from smiths where agent_id = $2 and archived_at is null)",
                params![self.store.ids().now(), agent, self.project],
            )
            .must_change_one_row(UNUSED);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(()),
            Err(error) if error.is_guard(UNUSED) => match self.agent(agent).await? {
                Some(_) => Err(ArchiveError::InUse),
                None => Err(ArchiveError::NoAgent),
            },
            Err(error) => Err(error.into()),
        }
    }
}
