//! End-to-end tests: the real program, over HTTP, on both databases.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

mod crash;
mod quickstart;
mod replicas;
mod runs;
mod shutdown;
mod streams;
