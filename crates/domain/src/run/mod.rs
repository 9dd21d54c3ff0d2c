//! The life of a run: a pure machine that is driven by outcomes.

mod machine;
mod status;
#[cfg(test)]
mod tests;

pub use machine::{Action, Ending, Input, Limits, Phase, Refusal, Reply, Run, Verdict};
pub use status::{Status, StopReason};
