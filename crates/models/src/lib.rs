//! Model providers: our request in their wire, their stream in our events.
//!
//! Each provider is a module of two pure functions, a request encoder and a stream decoder. Around them one driver opens
//! the connection, bounds every wait, retries before the first byte was passed on, and maps failures to messages that
//! never contain a key.

mod anthropic;
pub mod call;
mod client;
mod embeddings;
mod gemini;
mod openai;
mod openai_chat;
mod options;
pub mod parts;
#[cfg(test)]
mod samples;
pub mod scripted;
mod trouble;
mod wire;

pub use call::{
    Attachment, Credentials, Effort, Event, Failure, FailureKind, Origin, Request, Tool, ToolChoice, Turn,
};
pub use client::{Jitter, Models, base_url};
pub use embeddings::{EmbeddingInput, EmbeddingRequest, Embeddings};
pub use options::Options;
