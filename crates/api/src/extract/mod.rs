//! What handlers take apart a request with. Each refuses with the contract's status and code.

mod acting;
mod bearer;
mod body;
mod caller;
mod fields;
mod form;
mod idempotency;
mod path;
mod query;

pub(crate) use acting::ActingSmith;
pub(crate) use bearer::bearer;
pub(crate) use body::JsonBody;
pub(crate) use caller::Caller;
pub(crate) use fields::{Fields, Given};
pub(crate) use form::Form;
pub(crate) use idempotency::{Answer, Earlier, Idempotency, Once, mark_as_replayed};
pub(crate) use path::{PathId, PathParams};
pub(crate) use query::Query;
