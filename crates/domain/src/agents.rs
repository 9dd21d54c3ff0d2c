//! Agents: designs that smiths share, and how a smith finds its version.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{AgentId, ProjectId, SmithId};
use crate::smiths::Config;

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
}

/// Places a smith into one of 100 buckets of its agent, for good: raising a percentage only adds smiths.
pub fn bucket(agent: AgentId, smith: SmithId) -> u32 {
    let digest = Sha256::digest(format!("{agent}:{smith}").as_bytes());
    let head = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    head % 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Id as _;

    proptest! {
        #[test]
        fn a_smith_once_reached_by_a_rollout_stays_reached(agent: [u8; 16], smith: [u8; 16], low in 0_u32..100, more in 0_u32..100) {
            let (agent, smith) = (AgentId::from_bytes(agent), SmithId::from_bytes(smith));
            let live = |percent| Live { active_version: Some(1), rollout_version: Some(2), rollout_percent: percent };
            let high = (low + more).min(100);
            if live(low).version_for(agent, smith, None) == Some(2) {
                prop_assert_eq!(live(high).version_for(agent, smith, None), Some(2));
            }
            prop_assert_eq!(live(100).version_for(agent, smith, None), Some(2));
            prop_assert_eq!(live(0).version_for(agent, smith, None), Some(1));
            prop_assert_eq!(live(low).version_for(agent, smith, Some(7)), Some(7));
        }
    }
}
