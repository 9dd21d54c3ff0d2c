//! Attaching smiths that exist already: they move to the agent and keep what they override.

use std::collections::{BTreeMap, HashSet};

use domain::ids::{AgentId, Id as _, SmithId};

use super::{RACES, counts, too_many_races};
use crate::db::{Row, Value, params};
use crate::idempotency::Remembering;
use crate::smiths::{PROFILE, Sealed};
use crate::{Batch, Error, ProjectStore};

/// How many smiths one call moves at most: they move all at once, and nobody else writes to SQLite meanwhile.
pub const MOST_ATTACHED: usize = 1_000;
/// How many smiths one query looks up.
const LOOK: usize = 100;
/// The guard that fails when a smith was archived, or moved elsewhere, since it was read.
const MOVED: &str = "smith_moved";

const COLUMNS: &str = "id, agent_id, external_id, data_key, profile, \
    exists (select 1 from smiths as rivals where rivals.project_id = smiths.project_id and rivals.agent_id = $2 \
    and rivals.external_id = smiths.external_id and rivals.archived_at is null)";

/// Which smiths are to move.
#[derive(Clone, Debug)]
pub enum Attach {
    /// All of the project, as many at a time as one call moves.
    All,
    /// These, [`MOST_ATTACHED`] at most.
    Smiths(Vec<SmithId>),
}

/// A smith that has moved, and the fields in which it departs from its new agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedSmith {
    pub smith: SmithId,
    pub override_keys: Vec<String>,
}

/// What one call has moved. Smiths that the agent had already are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachedSmiths {
    pub smiths: Vec<AttachedSmith>,
    /// There are more, for the next call.
    pub has_more: bool,
}

/// Why no smith has moved.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the agent has no version to run")]
    Unpublished,
    #[error("the project has no such smith")]
    NoSmith(SmithId),
    /// The agent has, or would have, another smith of the same external id.
    #[error("the pair of external id and agent is taken")]
    PairTaken(SmithId),
    #[error(transparent)]
    Store(#[from] Error),
}

/// A smith as far as moving it needs to know.
struct Mover {
    smith: SmithId,
    from: AgentId,
    external_id: Option<String>,
    override_keys: Vec<String>,
    has_rival: bool,
}

impl ProjectStore {
    /// Moves smiths to an agent: all that the call is about, or none. They keep their overrides and lose their pins, because
    /// versions are numbered per agent.
    pub async fn attach_smiths(
        &self,
        agent: AgentId,
        which: &Attach,
        remember: Remembering<'_, AttachedSmiths>,
    ) -> Result<AttachedSmiths, AttachError> {
        for _ in 0..RACES {
            let found = self.agent(agent).await?.ok_or(AttachError::NoAgent)?;
            if found.live.active_version.is_none() {
                return Err(AttachError::Unpublished);
            }
            let (movers, has_more) = match which {
                Attach::All => self.smiths_of_others(agent).await?,
                Attach::Smiths(smiths) => (self.named_smiths(agent, smiths).await?, false),
            };
            check_pairs(&movers)?;
            let mut batch = self.attach_batch(agent, &movers);
            let into_attached =
                |mover: Mover| AttachedSmith { smith: mover.smith, override_keys: mover.override_keys };
            let attached =
                AttachedSmiths { smiths: movers.into_iter().map(into_attached).collect(), has_more };
            if let Some(remember) = remember {
                remember(&attached)?.add_to(&mut batch, &self.store);
            }
            if batch.is_empty() {
                return Ok(attached);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(attached),
                // A smith or the agent went away, or a smith of the same name came: look again.
                Err(error)
                    if error.is_guard(MOVED) || error.is_guard(counts::GONE) || error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_races().into())
    }

    /// Smiths first and in the order of their ids, then the counts in theirs: whoever else moves smiths waits, and locks nobody up.
    fn attach_batch(&self, agent: AgentId, movers: &[Mover]) -> Batch {
        let now = self.store.ids().now();
        let mut batch = Batch::new();
        let mut counted: BTreeMap<(AgentId, u8), i64> = BTreeMap::new();
        for mover in movers {
            batch
                .exec(
                    "update smiths set agent_id = $1, pin = null, version = version + 1, updated_at = $2 \
                     where id = $3 and project_id = $4 and agent_id = $5 and archived_at is null",
                    params![agent, now, mover.smith, self.project, mover.from],
                )
                .must_change_one_row(MOVED);
            let shard = counts::shard(mover.smith);
            for (agent, difference) in [(mover.from, -1), (agent, 1)] {
                let count = counted.entry((agent, shard)).or_default();
                *count = count.saturating_add(difference);
            }
        }
        for ((agent, shard), difference) in counted {
            counts::change(&mut batch, agent, shard, difference);
        }
        batch
    }

    /// Finds the smiths that are named, but for those that the agent has already.
    async fn named_smiths(&self, agent: AgentId, smiths: &[SmithId]) -> Result<Vec<Mover>, AttachError> {
        let places: Vec<String> = (3..3 + LOOK).map(|place| format!("${place}")).collect();
        let sql = format!(
            "select {COLUMNS} from smiths where project_id = $1 and id in ({}) and archived_at is null",
            places.join(", ")
        );
        let mut movers = Vec::new();
        for some in smiths.chunks(LOOK) {
            // One statement serves all lengths: what is missing at the end repeats the last.
            let padding = some.last().into_iter().cycle();
            let mut values = params![self.project, agent];
            values.extend(some.iter().chain(padding).take(LOOK).map(|smith| Value::from(*smith)));
            let rows = self.store.db().read(&sql, values).await.map_err(Error::from)?;
            movers.extend(self.movers(&rows)?);
        }
        movers.sort_unstable_by_key(|mover| mover.smith);
        movers.dedup_by_key(|mover| mover.smith);
        let known: HashSet<SmithId> = movers.iter().map(|mover| mover.smith).collect();
        if let Some(unknown) = smiths.iter().find(|smith| !known.contains(smith)) {
            return Err(AttachError::NoSmith(*unknown));
        }
        movers.retain(|mover| mover.from != agent);
        Ok(movers)
    }

    /// Finds smiths of other agents, and whether there are more than one call moves.
    async fn smiths_of_others(&self, agent: AgentId) -> Result<(Vec<Mover>, bool), Error> {
        const WANTED: usize = MOST_ATTACHED + 1;
        // By way of the counts, because most smiths may have moved already.
        let others = self
            .store
            .db()
            .read(
                "select agents.id from agents join agent_smith_counts on agent_smith_counts.agent_id = agents.id \
                 where agents.project_id = $1 and agents.id <> $2 and agents.archived_at is null \
                 group by agents.id having sum(agent_smith_counts.smith_count) > 0 order by agents.id limit $3",
                params![self.project, agent, WANTED],
            )
            .await?;
        let sql = format!(
            "select {COLUMNS} from smiths where project_id = $1 and agent_id = $3 and archived_at is null order by id limit $4"
        );
        let mut movers = Vec::new();
        for other in &others {
            let missing = WANTED.saturating_sub(movers.len());
            if missing == 0 {
                break;
            }
            let other: AgentId = other.get(0)?;
            let rows = self.store.db().read(&sql, params![self.project, agent, other, missing]).await?;
            movers.extend(self.movers(&rows)?);
        }
        let has_more = movers.len() > MOST_ATTACHED;
        movers.truncate(MOST_ATTACHED);
        movers.sort_unstable_by_key(|mover| mover.smith);
        Ok((movers, has_more))
    }

    fn movers(&self, rows: &[Row]) -> Result<Vec<Mover>, Error> {
        let read = |row: &Row| {
            let (smith, wrapped, sealed): (SmithId, Vec<u8>, Vec<u8>) =
                (row.get(0)?, row.get(3)?, row.get(4)?);
            let seal = self.store.seal_of(smith, &wrapped)?;
            let Sealed { overrides, .. } = seal.open(PROFILE, &smith.as_bytes(), &sealed)?;
            Ok(Mover {
                smith,
                from: row.get(1)?,
                external_id: row.get(2)?,
                override_keys: overrides.keys(),
                has_rival: row.get(5)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Refuses a smith whose external id the agent has already, or would have twice.
fn check_pairs(movers: &[Mover]) -> Result<(), AttachError> {
    let mut external_ids = HashSet::new();
    for mover in movers {
        let is_second =
            mover.external_id.as_ref().is_some_and(|external_id| !external_ids.insert(external_id));
        if mover.has_rival || is_second {
            return Err(AttachError::PairTaken(mover.smith));
        }
    }
    Ok(())
}
