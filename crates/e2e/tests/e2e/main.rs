//! End-to-end tests: the real program, over HTTP, on both databases.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is a test, its helpers too"
)]

mod agents;
mod attachments;
mod chat;
mod clients;
mod conventions;
mod conversations;
mod crash;
mod damage;
mod database_work;
mod document;
mod embeddings;
mod erase;
mod hosted_tools;
mod idempotency;
mod isolation;
mod kills;
mod limits;
mod mcp_registrations;
mod model_keys;
mod organization;
mod outage;
mod quickstart;
mod raw;
mod replicas;
mod responses;
mod revisions;
mod runs;
mod scopes;
mod shutdown;
mod smiths;
mod storing;
mod streams;
mod support;
mod tokens;
mod tool_registrations;
mod tools;
mod turns;
mod ui_templates;
mod variables;
