//! End-to-end tests: the real program, over HTTP, on both databases.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

mod crash;
mod isolation;
mod quickstart;
mod replicas;
mod runs;
mod scopes;
mod shutdown;
mod smiths;
mod streams;
mod support;
mod tokens;
