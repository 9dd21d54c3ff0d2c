//! Agents: their drafts, versions and rollouts, and the smiths that they have.

mod archive;
mod attach;
mod change;
pub(crate) mod counts;
mod create;
mod publish;
mod read;
mod records;
mod rollout;
#[cfg(test)]
mod tests;

use domain::Timestamp;
use domain::agents::Agent;
use domain::smiths::Config;

pub use archive::ArchiveError;
pub use attach::{Attach, AttachError, AttachedSmith, AttachedSmiths, MOST_ATTACHED};
pub use change::{AgentEdit, ChangeError};
pub use create::{CreateError, NewAgent};
pub use publish::{Publication, PublishError};
pub use rollout::RolloutError;

use crate::{DbError, Error};

/// How often a mutation is tried again that another one got in the way of: each time, one of the others has succeeded.
const RACES: usize = 64;
/// The guard that fails when an agent was changed, or archived, since it was read.
const REVISION: &str = "agent_revision";

/// A live agent with what is known around it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    pub agent: Agent,
    /// How many live smiths it has.
    pub smith_count: u64,
    /// When its newest run was created.
    pub last_activity_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes of the row, so that none is lost.
    revision: u64,
}

/// A published version. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRecord {
    pub version: u32,
    pub snapshot: Config,
    /// The id of the token that published it. None for the first version of a default agent.
    pub created_by: Option<String>,
    pub note: Option<String>,
    pub created_at: Timestamp,
}

/// What is said when others were faster in every round. Nothing was done.
fn too_many_races() -> Error {
    Error::Db(DbError::Unavailable("too many change one agent at the same moment".to_owned()))
}
