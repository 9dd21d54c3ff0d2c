//! End-to-end tests: the real program, over HTTP, on both databases.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is a test, its helpers too"
)]

mod conventions;
mod crash;
mod damage;
mod document;
mod idempotency;
mod isolation;
mod kills;
mod model_keys;
mod organization;
mod outage;
mod quickstart;
mod raw;
mod replicas;
mod runs;
mod scopes;
mod shutdown;
mod smiths;
mod streams;
mod support;
mod tokens;
