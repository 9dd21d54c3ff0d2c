//! How a tool is shown.

use domain::tools::{Annotations, Execution, OnReject, ProjectTool};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A tool as it is registered.
#[derive(Serialize, ToSchema)]
pub(super) struct ToolOut {
    name: String,
    description: String,
    #[schema(value_type = Object)]
    input_schema: Value,
    #[schema(inline)]
    execution: ExecutionMode,
    /// Null for external tools.
    #[schema(required)]
    url: Option<String>,
    #[schema(inline)]
    approval: ApprovalMode,
    #[schema(inline)]
    on_reject: RejectMode,
    annotations: ToolAnnotations,
    timeout_seconds: u32,
    /// What went wrong when it was called last.
    #[schema(required)]
    last_call_error: Option<String>,
    #[schema(required)]
    last_call_error_at: Option<String>,
    created_at: String,
    updated_at: String,
    /// What its calls are signed with, only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    secret: Option<String>,
}

/// Who carries a tool out.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExecutionMode {
    /// This server calls the tool's `url`.
    Webhook,
    /// Whoever calls the run.
    External,
}

/// Whether a human must agree to each call.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ApprovalMode {
    Never,
    Always,
}

/// What becomes of a run when a human rejects a call.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RejectMode {
    End,
    Continue,
}

/// What a tool says of itself: MCP's hints, with MCP's meaning.
#[derive(Serialize, ToSchema)]
pub(super) struct ToolAnnotations {
    /// It changes nothing.
    #[schema(required = false, default = false)]
    read_only: bool,
    /// Calling it again with the same arguments changes nothing more.
    #[schema(required = false, default = false)]
    idempotent: bool,
    /// It may destroy something: a human must agree to each call.
    #[schema(required = false, default = false)]
    destructive: bool,
}

impl ToolOut {
    /// Shows the secret that has just been made, beside the tool.
    pub(super) fn with_secret(mut self, secret: Option<String>) -> Self {
        self.secret = secret;
        self
    }
}

impl From<ProjectTool> for ToolOut {
    fn from(tool: ProjectTool) -> Self {
        let (last_call_error, last_call_error_at) =
            tool.last_call_error.map(|error| (error.message, error.at.to_string())).unzip();
        let Annotations { read_only, idempotent, destructive } = tool.annotations;
        Self {
            name: tool.name,
            description: tool.description,
            input_schema: tool.input_schema,
            execution: match tool.execution {
                Execution::Webhook => ExecutionMode::Webhook,
                Execution::External => ExecutionMode::External,
            },
            url: tool.url,
            approval: if tool.always_asks { ApprovalMode::Always } else { ApprovalMode::Never },
            on_reject: match tool.on_reject {
                OnReject::End => RejectMode::End,
                OnReject::Continue => RejectMode::Continue,
            },
            annotations: ToolAnnotations { read_only, idempotent, destructive },
            timeout_seconds: tool.timeout_seconds,
            last_call_error,
            last_call_error_at,
            created_at: tool.created_at.to_string(),
            updated_at: tool.updated_at.to_string(),
            secret: None,
        }
    }
}
