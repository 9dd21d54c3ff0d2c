//! HTTP: routes, authentication, errors, the OpenAPI document.
//!
//! A handler parses, checks what the caller may do, calls the store or the engine, and renders. It decides nothing. One file
//! holds one operation: its OpenAPI attributes, its handler and its tests. [`router()`] puts them together.

mod app;
mod cursor;
mod errors;
mod extract;
mod lists;
mod middleware;
mod native;
mod open;
mod openai;
mod openapi;
mod options;
mod router;
mod stored;
#[cfg(test)]
mod testing;

pub use app::App;
pub use errors::ApiError;
pub use options::{Options, Secret};
pub use router::{document, router};

/// The only version of the API.
pub const API_VERSION: &str = "2026-05-01";
