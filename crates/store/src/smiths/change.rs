//! Changing and archiving a smith.

use domain::Problem;
use domain::ids::{AgentId, Id as _, RunId, SmithId};
use domain::principals::Actor;
use domain::smiths::{Overrides, Profile};

use super::{PROFILE, RACES, Sealed, SmithRecord, revisions};
use crate::agents::counts;
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

pub(super) const VERSION: &str = "smith_version";
const LIVE: &str = "smith_live";

/// The parts of a smith that can be changed.
#[derive(Clone, Debug)]
pub struct SmithEdit {
    pub agent: AgentId,
    pub pin: Option<u32>,
    pub profile: Profile,
    pub overrides: Overrides,
    /// Who makes the change, for the revision that it may become.
    pub author: Option<Actor>,
}

/// Why a smith was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the project has no such smith")]
    NoSmith,
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the agent has no version to run")]
    Unpublished,
    #[error("the agent has no such version")]
    NoVersion,
    /// The agent has a live smith of the same external id already.
    #[error("the pair of external id and agent is taken")]
    PairTaken,
    /// The change itself is not right.
    #[error(transparent)]
    Refused(Problem),
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Changes a smith. `edit` is asked again with what is there then when another change was faster.
    pub async fn change_smith(
        &self,
        smith: SmithId,
        edit: impl Fn(&mut SmithEdit) -> Result<(), Problem> + Send + Sync,
    ) -> Result<SmithRecord, ChangeError> {
        let mut races = 0;
        loop {
            let before = self.smith(smith).await?.ok_or(ChangeError::NoSmith)?;
            let mut after = SmithEdit {
                agent: before.agent,
                pin: before.pin,
                profile: before.profile.clone(),
                overrides: before.overrides.clone(),
                author: None,
            };
            edit(&mut after).map_err(ChangeError::Refused)?;
            let from = before.agent;
            // As text: the order of keys is kept, so it is a change.
            let is_new = serde_json::to_string(&before.overrides).map_err(Error::from)?
                != serde_json::to_string(&after.overrides).map_err(Error::from)?;
            let author = after.author.take();
            let changed = self.changed(before, after).await?;
            let mut batch = self.change_batch(&changed, from)?;
            if is_new {
                let number = self.next_revision(smith).await?;
                revisions::add(&mut batch, &changed, number, author, None)?;
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(changed),
                Err(error) if (error.is_guard(VERSION) || error.is_guard(counts::GONE)) && races < RACES => {
                    races += 1;
                }
                Err(error) if error.is_conflict() => return Err(ChangeError::PairTaken),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Works out the smith as it is after a change.
    async fn changed(&self, before: SmithRecord, after: SmithEdit) -> Result<SmithRecord, ChangeError> {
        let mut changed = before;
        if after.agent != changed.agent || after.pin != changed.pin {
            let agent = self.agent(after.agent).await?.ok_or(ChangeError::NoAgent)?;
            let version =
                agent.live.version_for(agent.id, changed.id, after.pin).ok_or(ChangeError::Unpublished)?;
            changed.base = self.agent_version(agent.id, version).await?.ok_or(ChangeError::NoVersion)?;
            changed.agent_version = Some(version);
        }
        changed.agent = after.agent;
        changed.pin = after.pin;
        changed.profile = after.profile;
        changed.overrides = after.overrides;
        changed.updated_at = self.store.ids().now();
        changed.version = changed.version.saturating_add(1);
        Ok(changed)
    }

    pub(super) fn change_batch(&self, smith: &SmithRecord, from: AgentId) -> Result<Batch, Error> {
        let sealed = Sealed { profile: smith.profile.clone(), overrides: smith.overrides.clone() };
        let mut batch = Batch::new();
        batch
            .exec(
                "update smiths set agent_id = $1, pin = $2, profile = $3, version = $4, updated_at = $5 \
                 where id = $6 and project_id = $7 and version = $8 and archived_at is null",
                params![
                    smith.agent,
                    smith.pin,
                    smith.seal.seal(PROFILE, &smith.id.as_bytes(), &sealed)?,
                    smith.version,
                    smith.updated_at,
                    smith.id,
                    self.project,
                    smith.version.saturating_sub(1)
                ],
            )
            .must_change_one_row(VERSION);
        if smith.agent != from {
            counts::move_one(&mut batch, from, smith.agent, smith.id);
        }
        Ok(batch)
    }

    /// Archives a smith: its pair is free again and its tokens are revoked.
    ///
    /// Returns the runs that have not ended, for the engine to cancel, or None when there is no such smith.
    pub async fn archive_smith(&self, smith: SmithId) -> Result<Option<Vec<RunId>>, Error> {
        let now = self.store.ids().now();
        let mut batch = Batch::new();
        batch
            .exec(
                "update smiths set archived_at = $1, updated_at = $1, version = version + 1 \
                 where id = $2 and project_id = $3 and archived_at is null",
                params![now, smith, self.project],
            )
            .must_change_one_row(LIVE);
        batch.exec(
            "update tokens set revoked_at = $1 where smith_id = $2 and project_id = $3 and revoked_at is null",
            params![now, smith, self.project],
        );
        batch.exec(
            "select id from runs where smith_id = $1 and project_id = $2 \
             and status not in ('completed', 'failed', 'cancelled') order by id",
            params![smith, self.project],
        );
        counts::remove(&mut batch, smith);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(outcome) => {
                let runs = outcome.rows(2).iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
                Ok(Some(runs))
            }
            Err(error) if error.is_guard(LIVE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
