//! Ensuring a smith: the live one of an external id and an agent, or a new one.

use domain::ids::{AgentId, Id as _, SmithId};
use domain::principals::Actor;
use domain::smiths::{Overrides, Profile};

use super::{PROFILE, RACES, Sealed, SmithRecord, revisions};
use crate::agents::counts;
use crate::db::params;
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

const AGENT: &str = "smith_agent";

/// What a new smith is to be, should there be none.
#[derive(Clone, Debug, Default)]
pub struct NewSmith {
    /// None: always a new smith.
    pub external_id: Option<String>,
    /// None: the project's default agent.
    pub agent: Option<AgentId>,
    pub pin: Option<u32>,
    pub profile: Profile,
    pub overrides: Overrides,
    /// Who makes the smith, for its first revision.
    pub author: Option<Actor>,
}

/// The smith that is there now, and whether it was made for this request.
#[derive(Clone)]
pub struct Ensured {
    pub smith: SmithRecord,
    pub created: bool,
}

/// Why there is no smith.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the agent has no version to run")]
    Unpublished,
    #[error("the agent has no such version")]
    NoVersion,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Returns the live smith of this external id and agent, unchanged, or makes one.
    pub async fn ensure_smith(
        &self,
        new: &NewSmith,
        remember: Remembering<'_, Ensured>,
    ) -> Result<Ensured, EnsureError> {
        let mut races = 0;
        loop {
            let existing = match &new.external_id {
                Some(external_id) => self.smith_of(external_id, new.agent).await?,
                None => None,
            };
            let mut batch = Batch::new();
            let ensured = match existing {
                Some(smith) => Ensured { smith, created: false },
                None => Ensured { smith: self.add_smith(&mut batch, new).await?, created: true },
            };
            if let Some(remember) = remember {
                remember(&ensured)?.add_to(&mut batch, &self.store);
            }
            if batch.is_empty() {
                return Ok(ensured);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(ensured),
                // Another request made the smith, the smith was erased, or the agent went away: look again.
                Err(error)
                    if (error.is_conflict()
                        || error.is_reference()
                        || error.is_guard(AGENT)
                        || error.is_guard(counts::GONE))
                        && races < RACES =>
                {
                    races += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn add_smith(&self, batch: &mut Batch, new: &NewSmith) -> Result<SmithRecord, EnsureError> {
        let agent = match new.agent {
            None => self.default_agent().await?,
            Some(agent) => self.agent(agent).await?.ok_or(EnsureError::NoAgent)?,
        };
        let ids = self.store.ids();
        let (id, now): (SmithId, _) = (ids.mint(), ids.now());
        if agent.live.active_version.is_none() {
            return Err(EnsureError::Unpublished);
        }
        let agent_version = agent.live.version_for(agent.id, id, new.pin);
        let base = match agent_version {
            Some(version) => self.agent_version(agent.id, version).await?.ok_or(EnsureError::NoVersion)?,
            None => return Err(EnsureError::Unpublished),
        };
        let (seal, wrapped) = self.store.new_seal(id);
        let sealed = Sealed { profile: new.profile.clone(), overrides: new.overrides.clone() };
        batch
            .exec(
                "insert into smiths (id, project_id, agent_id, external_id, pin, data_key, profile, version, created_at, updated_at) \
                 select $1, $2, id, $3, $4, $5, $6, 1, $7, $7 from agents \
                 where id = $8 and project_id = $2 and archived_at is null and active_version is not null",
                params![
                    id,
                    self.project,
                    new.external_id.as_deref(),
                    new.pin,
                    wrapped,
                    seal.seal(PROFILE, &id.as_bytes(), &sealed)?,
                    now,
                    agent.id
                ],
            )
            .must_change_one_row(AGENT);
        counts::add(batch, agent.id, id);
        let smith = SmithRecord {
            id,
            project: self.project,
            agent: agent.id,
            agent_version,
            pin: new.pin,
            external_id: new.external_id.clone(),
            customer: None,
            profile: sealed.profile,
            overrides: sealed.overrides,
            base,
            seal,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        revisions::add(batch, &smith, 1, new.author.clone(), None)?;
        Ok(smith)
    }
}
