//! Tokens that an organization mints for its projects.

pub(crate) mod create;
pub(crate) mod delete;
