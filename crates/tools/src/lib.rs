//! How a call is carried out: hosted tools, webhooks of a project, MCP servers. Knows nothing of runs.
//!
//! Everything here takes a [`Call`] and gives an [`Outcome`]. A tool that cannot be reached, is too slow or talks nonsense is no
//! error of the caller: it is an answer with `is_error`, which the model reads.

mod call;
pub mod mcp;

pub use call::{Answer, Attachment, Call, Elicitation, Outcome, Person, Reply, Resumption};
