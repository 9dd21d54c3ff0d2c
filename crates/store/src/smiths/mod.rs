//! Smiths: ensuring, reading, changing and archiving them.

mod change;
mod ensure;
mod read;
mod revisions;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use domain::ids::{AgentId, CustomerId, ProjectId, SmithId};
use domain::smiths::{Config, Overrides, Profile};
use domain::variables::{self, Person};
use domain::{Problem, Timestamp};
use serde::{Deserialize, Serialize};

pub use change::{ChangeError, SmithEdit};
pub use ensure::{EnsureError, Ensured, NewSmith};
pub use read::SmithFilter;
pub use revisions::{RestoreError, Revision};

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

    /// Fills in the variables of the instructions in `config` for the smith's person. Borrows where there is nothing to fill in.
    pub fn render<'a>(&self, config: &'a Config, now: Timestamp) -> Result<Cow<'a, str>, Problem> {
        let person = Person { external_id: self.external_id.as_deref(), profile: &self.profile };
        let template = config.instructions.as_deref().unwrap_or_default();
        variables::render(template, &config.variables, &person, now)
    }
}

/// What is personal of a smith, sealed as one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) profile: Profile,
    pub(crate) overrides: Overrides,
}
