//! The program: configuration, the composition root, and the commands.
//!
//! [`Config`] says what is wanted, [`Server::build`] makes it, [`Server::run`] keeps it going until it is told to stop.

pub mod cli;
mod commands;
pub mod config;
mod data;
mod logging;
mod server;

pub use commands::run;
pub use config::Config;
pub use server::Server;
