//! The life of a run: a pure machine that is driven by outcomes.

mod calls;
mod input;
mod machine;
mod phase;
mod status;
#[cfg(test)]
mod tests;

pub use calls::{Call, Carrier, Elicitation, Gated, OUTCOME_UNKNOWN, Plan, Question, Resumption, Step};
pub use input::{Choice, Input, Reply, Settlement, Verdict};
pub use machine::Run;
pub use phase::{Action, Ending, Limits, Phase, Refusal};
pub use status::{Status, StopReason};
