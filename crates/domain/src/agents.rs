//! Agents: designs that smiths share, and how a smith finds its version.

mod draft;
mod slug;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{AgentId, ProjectId, SmithId};
use crate::problems::{Code, Problem};
use crate::smiths::Config;

pub use slug::Slug;

/// A design: a draft, immutable versions, and which version is live.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub id: AgentId,
    pub project: ProjectId,
    /// None for the default agent.
    pub slug: Option<String>,
    pub name: String,
    pub is_default: bool,
    pub draft: Config,
    pub live: Live,
}

/// Which versions an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Live {
    pub active_version: Option<u32>,
    pub rollout_version: Option<u32>,
    pub rollout_percent: u32,
}

impl Live {
    /// Picks a smith's version: its pin, else the version that is being rolled out to it, else the active one.
    pub fn version_for(&self, agent: AgentId, smith: SmithId, pin: Option<u32>) -> Option<u32> {
        pin.or_else(|| self.rollout_version.filter(|_| bucket(agent, smith) < self.rollout_percent))
            .or(self.active_version)
    }

    /// Says for how many of the smiths a version is to run: 100 percent make it the active one, fewer roll it out beside the
    /// active one, none end whatever is being rolled out.
    ///
    /// An older version is rolled out in the same way, which is how one rolls back. What is so already stays as it is.
    #[must_use]
    pub fn rolled_out(self, version: u32, share: Percent) -> Self {
        match share.0 {
            0 => Self { rollout_version: None, rollout_percent: 0, ..self },
            1..=99 => Self { rollout_version: Some(version), rollout_percent: share.0, ..self },
            _ => Self { active_version: Some(version), rollout_version: None, rollout_percent: 0 },
        }
    }

    /// Takes note of a version that was published: the first one goes live by itself, later ones by a rollout.
    #[must_use]
    pub fn published(self, version: u32) -> Self {
        Self { active_version: self.active_version.or(Some(version)), ..self }
    }
}

/// A share of an agent's smiths, from 0 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    pub const ALL: Self = Self(100);

    pub fn new(percent: u32) -> Result<Self, Problem> {
        if percent <= Self::ALL.0 {
            return Ok(Self(percent));
        }
        let message = "`percent` must be a whole number from 0 to 100.";
        Err(Problem::new(Code::InvalidPercent, message).at("percent"))
    }
}

/// Places a smith into one of 100 buckets of its agent, for good: raising a percentage only adds smiths.
pub fn bucket(agent: AgentId, smith: SmithId) -> u32 {
    let digest = Sha256::digest(format!("{agent}:{smith}").as_bytes());
    let head = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    head % 100
}

#[cfg(test)]
mod tests;
