//! A model call as the rest of the server sees it: a request, a stream of events, a failure.

use std::sync::Arc;

use bytes::Bytes;
use domain::items::{ToolCall, ToolResult};
use domain::models::Provider;
pub use domain::overlay::{Effort, FunctionTool as Tool, Summary, ToolChoice};
use domain::response_format::ResponseFormat;
use domain::run::StopReason;
use domain::usage::Tokens;
use serde_json::{Map, Value};

/// What a model is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The model's id as its provider knows it.
    pub model: String,
    pub instructions: String,
    /// The conversation, oldest first, ending with what is to be answered.
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub response_format: Option<ResponseFormat>,
    pub reasoning_effort: Option<Effort>,
    /// What is to be seen of the thinking. OpenAI has to be asked for it; the others show what they show.
    pub reasoning_summary: Option<Summary>,
    pub max_output_tokens: Option<u64>,
    /// Sampling parameters in OpenAI's names (`temperature`, `top_p`, …); an adapter passes on what its provider knows.
    pub sampling: Map<String, Value>,
    /// Groups calls that share a prompt prefix, for providers that route by it. Opaque.
    pub cache_key: Option<String>,
}

/// One step of the conversation. Neighbours of the same side are merged where a provider wants that.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    User { text: String, attachments: Vec<Attachment> },
    Assistant { text: String },
    ToolCall(ToolCall),
    ToolResult(ToolResult),
}

/// An image or a file in a user's turn, after any upload has been read from storage.
#[derive(Clone, Debug, PartialEq)]
pub enum Attachment {
    ImageUrl(String),
    Image { media_type: String, bytes: Bytes },
    FileUrl { url: String, filename: Option<String> },
    File { media_type: String, filename: String, bytes: Bytes },
}

/// With what a provider is called. Never logged: `Debug` shows the provider and nothing else.
#[derive(Clone)]
pub struct Credentials {
    pub provider: Provider,
    pub api_key: Arc<str>,
    /// None: the provider's own address.
    pub base_url: Option<Arc<str>>,
    /// Whether the address was given by a tenant and so has to pass the egress guard. Server-wide keys are the operator's.
    pub origin: Origin,
}

/// Who gave an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Tenant,
    Operator,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Something that a model's stream told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The provider took the call and will hand back the answer under this name (OpenAI Responses).
    Accepted {
        reference: String,
    },
    Text(String),
    /// A summary of the model's thinking, where the provider gives one.
    Reasoning(String),
    /// A complete call. Fragments are joined by the adapter.
    ToolCall(ToolCall),
    /// The last event of a stream that ended as it should; none follows.
    Finished {
        stop: StopReason,
        tokens: Tokens,
    },
}

/// Why a call gave no complete answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// For the caller of the API: which provider, what went wrong, what to do. Never holds a key or the prompt.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The provider will not take this call as it is: unknown model, bad parameter, wrong key.
    Refused,
    /// The provider is down, slow, throttling or talking nonsense; the same call may succeed later.
    Unavailable,
    /// The address may not be reached from this server.
    Forbidden,
}
