//! Creating agents, each with a slug that no other live one of the project has.

use domain::Timestamp;
use domain::agents::{Agent, Live, Slug};
use domain::smiths::Config;

use super::publish::add_version;
use super::{AgentRecord, RACES, VersionRecord, counts, too_many_races};
use crate::db::params;
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

/// The name of the agent that smiths get which ask for none.
const DEFAULT_NAME: &str = "Default";

/// What a new agent is to be.
#[derive(Clone, Debug)]
pub struct NewAgent {
    pub name: String,
    /// None: one is made from the name, with a number behind it where others have it already.
    pub slug: Option<Slug>,
    pub draft: Config,
}

/// Why there is no new agent.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A live agent of the project has the slug that was asked for.
    #[error("the slug is taken")]
    SlugTaken,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Creates an agent, without a version yet.
    pub async fn create_agent(
        &self,
        new: &NewAgent,
        remember: Remembering<'_, AgentRecord>,
    ) -> Result<AgentRecord, CreateError> {
        for _ in 0..RACES {
            let slug = match &new.slug {
                Some(slug) => slug.clone(),
                None => self.free_slug(&Slug::from_name(&new.name)).await?,
            };
            let record = self.new_record(new, &slug);
            let mut batch = Batch::new();
            // First of all, so that the same request sent twice is told from another one that wants the same slug.
            if let Some(remember) = remember {
                remember(&record)?.add_to(&mut batch, &self.store);
            }
            add_agent(&mut batch, &record)?;
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(record),
                Err(error) if error.is_conflict() && new.slug.is_some() => {
                    return Err(CreateError::SlugTaken);
                }
                // Another agent took the slug that was free a moment ago.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_races().into())
    }

    fn new_record(&self, new: &NewAgent, slug: &Slug) -> AgentRecord {
        let ids = self.store.ids();
        let now = ids.now();
        let agent = Agent {
            id: ids.mint(),
            project: self.project,
            slug: Some(slug.as_str().to_owned()),
            name: new.name.clone(),
            is_default: false,
            draft: new.draft.clone(),
            live: Live::default(),
        };
        fresh(agent, now)
    }

    /// Finds a number behind the slug that is free though the one before it is taken, in few looks however many there are.
    async fn free_slug(&self, wanted: &Slug) -> Result<Slug, Error> {
        if !self.has_slug(wanted).await? {
            return Ok(wanted.clone());
        }
        let (mut taken, mut free) = (1_u64, 2_u64);
        while self.has_slug(&wanted.numbered(free)).await? {
            taken = free;
            free = free.saturating_mul(2);
        }
        while free.saturating_sub(taken) > 1 {
            let middle = taken.midpoint(free);
            if self.has_slug(&wanted.numbered(middle)).await? {
                taken = middle;
            } else {
                free = middle;
            }
        }
        Ok(wanted.numbered(free))
    }

    async fn has_slug(&self, slug: &Slug) -> Result<bool, Error> {
        let sql = "select 1 from agents where project_id = $1 and slug = $2 and archived_at is null";
        Ok(self.store.db().read_one(sql, params![self.project, slug.as_str()]).await?.is_some())
    }

    /// Adds the default agent to a batch, which fails with a conflict when the project has one.
    pub(crate) fn add_default_agent(&self, batch: &mut Batch) -> Result<(), Error> {
        let ids = self.store.ids();
        let now = ids.now();
        let agent = Agent {
            id: ids.mint(),
            project: self.project,
            slug: None,
            name: DEFAULT_NAME.to_owned(),
            is_default: true,
            draft: Config::default(),
            live: Live::default().published(1),
        };
        let record = fresh(agent, now);
        add_agent(batch, &record)?;
        let first = VersionRecord {
            version: 1,
            snapshot: record.agent.draft,
            created_by: None,
            note: None,
            created_at: now,
        };
        add_version(batch, record.agent.id, &first)?;
        Ok(())
    }
}

fn fresh(agent: Agent, now: Timestamp) -> AgentRecord {
    AgentRecord {
        agent,
        smith_count: 0,
        last_activity_at: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    }
}

fn add_agent(batch: &mut Batch, record: &AgentRecord) -> Result<(), Error> {
    let agent = &record.agent;
    batch.exec(
        "insert into agents (id, project_id, slug, name, is_default, draft, active_version, rollout_version, \
         rollout_percent, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, null, 0, $8, $8)",
        params![
            agent.id,
            agent.project,
            agent.slug.as_deref(),
            agent.name.as_str(),
            agent.is_default,
            serde_json::to_string(&agent.draft)?,
            agent.live.active_version,
            record.created_at
        ],
    );
    counts::open(batch, agent.id);
    Ok(())
}
