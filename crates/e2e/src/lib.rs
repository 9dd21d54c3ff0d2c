//! The real server for tests: started, killed, restarted, on either database, and driven over HTTP.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test that called it"
)]

mod process;
mod server;
mod template;

pub use process::program;
pub use server::{Engine, Replica, Server, Setup, Smith, both};
