//! Publishing: the draft becomes the next version, for good.

use domain::ids::AgentId;
use domain::{Problem, variables};

use super::{AgentRecord, RACES, REVISION, VersionRecord, too_many_races};
use crate::db::params;
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

/// What is kept beside a version.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    pub note: Option<String>,
    /// The id of the token that publishes.
    pub created_by: Option<String>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the project has no such agent")]
    NoAgent,
    /// The draft cannot be run as it stands.
    #[error(transparent)]
    Refused(Problem),
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Freezes the draft as the agent's next version. The first one goes live by itself.
    pub async fn publish_agent(
        &self,
        agent: AgentId,
        publication: &Publication,
        remember: Remembering<'_, VersionRecord>,
    ) -> Result<VersionRecord, PublishError> {
        for _ in 0..RACES {
            let mut record = self.agent_record(agent).await?.ok_or(PublishError::NoAgent)?;
            let draft = &record.agent.draft;
            variables::check_template(draft.instructions.as_deref().unwrap_or_default(), &draft.variables)
                .map_err(PublishError::Refused)?;
            // Read after the agent: a version that came in between has changed the agent's revision.
            let version = self.next_version(&record).await?;
            let now = self.store.ids().now();
            record.agent.live = record.agent.live.published(version);
            record.updated_at = now;
            let mut batch = Batch::new();
            self.set_live(&mut batch, &record);
            let published = VersionRecord {
                version,
                snapshot: record.agent.draft,
                created_by: publication.created_by.clone(),
                note: publication.note.clone(),
                created_at: now,
            };
            add_version(&mut batch, agent, &published)?;
            if let Some(remember) = remember {
                remember(&published)?.add_to(&mut batch, &self.store);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(published),
                Err(error) if error.is_guard(REVISION) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_races().into())
    }

    async fn next_version(&self, record: &AgentRecord) -> Result<u32, Error> {
        let sql = "select coalesce(max(version), 0) + 1 from agent_versions where agent_id = $1";
        let row = self.store.db().read_one(sql, params![record.agent.id]).await?;
        Ok(row.map_or(Ok(1), |row| row.get(0))?)
    }
}

/// Adds a version to a batch.
pub(super) fn add_version(batch: &mut Batch, agent: AgentId, version: &VersionRecord) -> Result<(), Error> {
    batch.exec(
        "insert into agent_versions (agent_id, version, snapshot, created_by, note, created_at) \
         values ($1, $2, $3, $4, $5, $6)",
        params![
            agent,
            version.version,
            serde_json::to_string(&version.snapshot)?,
            version.created_by.as_deref(),
            version.note.as_deref(),
            version.created_at
        ],
    );
    Ok(())
}
