//! Smiths: ensuring, reading, changing and archiving them.

mod change;
mod ensure;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::Timestamp;
use domain::ids::{AgentId, CustomerId, ProjectId, SmithId};
use domain::smiths::{Config, Overrides, Profile};
use serde::{Deserialize, Serialize};

pub use change::{ChangeError, SmithEdit};
pub use ensure::{EnsureError, Ensured, NewSmith};
pub use read::SmithFilter;

use crate::codec::{Place, SmithSeal};

pub(crate) const PROFILE: Place = Place::new("smiths", "profile");

/// How often a mutation is tried again that another one got in the way of.
const RACES: usize = 16;

/// A live smith with what it inherits.
#[derive(Clone)]
pub struct SmithRecord {
    pub id: SmithId,
    pub project: ProjectId,
    pub agent: AgentId,
    /// The version that the smith runs: its pin, else the one rolled out to it, else the active one.
    pub agent_version: Option<u32>,
    pub pin: Option<u32>,
    pub external_id: Option<String>,
    pub customer: Option<CustomerId>,
    pub profile: Profile,
    pub overrides: Overrides,
    /// What the agent's version says.
    pub base: Arc<Config>,
    /// Seals what belongs to the smith.
    pub seal: SmithSeal,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes of the row, so that none is lost.
    version: u64,
}

impl SmithRecord {
    /// Returns the configuration that a run of the smith takes.
    pub fn effective(&self) -> Config {
        self.base.with(&self.overrides)
    }
}

/// What is personal of a smith, sealed as one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) profile: Profile,
    pub(crate) overrides: Overrides,
}
