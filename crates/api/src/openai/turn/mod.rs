//! What chat completions and responses have in common: a turn of a conversation, read from a request, and the run that it
//! starts or moves on.

mod answers;
mod conversation;
mod disconnect;
mod failures;
mod settings;
mod start;
mod tools;

pub(crate) use answers::{Answer, Asking, Continued, Given, Resolved, composite, resolve};
pub(crate) use conversation::{Conversation, Entry};
pub(crate) use disconnect::CancelOnDrop;
pub(crate) use failures::failed;
pub(crate) use settings::{effort, sampling};
pub(crate) use start::{Turn, start};
pub(crate) use tools::{Chosen, functions, tool_choice};
