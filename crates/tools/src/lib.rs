//! How a call is carried out: hosted tools, webhooks of a project, MCP servers. Knows nothing of runs.
//!
//! Everything here takes a [`Call`] and gives an [`Outcome`] or the [`Answer`] in it. A tool that cannot be reached, is too
//! slow or talks nonsense is no error of the caller: it is an answer with `is_error`, which the model reads.

mod body;
mod call;
pub mod hosted;
pub mod mcp;
mod options;
#[cfg(test)]
mod testing;
pub mod webhook;

pub use call::{Answer, Attachment, Call, Elicitation, Outcome, Person, Reply, Resumption};
pub use hosted::HostedTools;
pub use mcp::Mcp;
pub use options::{ApiKey, Options, Search, SearchProvider};
pub use webhook::Webhooks;

/// Everything that carries calls out. Cheap to clone.
#[derive(Clone)]
pub struct Tools {
    pub hosted: HostedTools,
    pub webhooks: Webhooks,
    pub mcp: Mcp,
}
