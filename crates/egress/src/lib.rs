//! The way out: the only place that builds clients for outgoing HTTP.
//!
//! A tenant may give addresses (a model server, a tool, a webhook), and none of them may lead the server to where the
//! tenant could not go itself. So every client carries a [`Guard`]. It checks hosts that are IP literals before a request
//! is built, and all others when a connection is opened, on the very addresses that are then connected to: a name that
//! changes its address between check and use gains nothing. Redirects are followed only where that is asked for, and each
//! address on the way passes the guard.

mod address;
mod client;
mod follow;
mod guard;
mod policy;
pub mod sse;
mod tls;

pub use address::AddressClass;
pub use client::{BuildError, Client, Egress, LookUpError, Timeouts};
pub use follow::FollowError;
pub use guard::Guard;
pub use policy::{Policy, Refusal, Setting, UnknownSetting};
pub use tls::tls_config;
// Who sends a request through a `Client` needs these, and no other crate needs reqwest for anything else.
pub use reqwest;
pub use url::Url;
