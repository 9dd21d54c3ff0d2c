//! Tools for tests that know nothing of the product: a private PostgreSQL, the contract checker, a strict reader of
//! event streams, fake model providers, a fake MCP server, a proxy that fails on demand, and an HTTP client that checks every answer.
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test that called it"
)]

pub mod contract;
pub mod http;
pub(crate) mod json;
pub mod mcp;
pub mod postgres;
pub mod proxy;
pub mod receiver;
pub mod sse;
pub mod upstream;
