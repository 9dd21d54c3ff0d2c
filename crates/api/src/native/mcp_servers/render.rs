//! How a server is shown.

use domain::ids::McpServerId;
use domain::tools::{ApprovalRule, McpAuth, McpServer, OnReject};
use serde::Serialize;
use utoipa::ToSchema;

/// A server as it is registered, with the tools that it was last found to offer.
#[derive(Serialize, ToSchema)]
pub(super) struct McpServerOut {
    #[schema(value_type = String)]
    id: McpServerId,
    name: String,
    url: String,
    auth: McpAuthOut,
    /// `catalog` for one that was registered from a preset, else `custom`.
    origin: &'static str,
    #[schema(required)]
    catalog_slug: Option<String>,
    /// Null: all tools may be used.
    #[schema(required)]
    tool_allowlist: Option<Vec<String>>,
    approval_policy: Vec<ApprovalRuleOut>,
    tools: Vec<McpToolOut>,
    tools_discovered: usize,
    /// When the tools were listed.
    #[schema(required)]
    tools_refreshed_at: Option<String>,
    /// `active`; `degraded` where its tools could not be listed the last time; `pending` where they were not listed yet, because
    /// that needs a connection.
    status: &'static str,
    /// Why its tools could not be listed the last time.
    #[schema(required)]
    discovery_error: Option<String>,
    /// What went wrong when a tool of it was called last.
    #[schema(required)]
    last_call_error: Option<String>,
    #[schema(required)]
    last_call_error_at: Option<String>,
    #[schema(required)]
    created_at: Option<String>,
}

/// How the server is called. The secret is never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = McpAuth)]
struct McpAuthOut {
    kind: &'static str,
    /// Whose connections are used; null without OAuth.
    #[schema(required)]
    provider: Option<String>,
    client_mode: &'static str,
}

/// That calls of the tools with matching names need a human's consent. The first rule that matches counts.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalRule)]
pub(super) struct ApprovalRuleOut {
    /// A glob on the name of the tool: `*` stands for any characters, `?` for one.
    #[serde(rename = "match")]
    pattern: String,
    /// Always `approval`.
    #[schema(required = false)]
    require: &'static str,
    /// What becomes of the run when the human does not agree.
    #[schema(inline, required = false)]
    on_reject: RejectMode,
    /// How long the human may take.
    #[schema(required = false, minimum = 60, maximum = 2592000, default = 86400)]
    expires_in_seconds: u32,
}

/// What becomes of a run when a human rejects a call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RejectMode {
    End,
    Continue,
}

/// A tool of a server.
#[derive(Serialize, ToSchema)]
#[schema(as = McpTool)]
struct McpToolOut {
    name: String,
    #[schema(required)]
    description: Option<String>,
    requires_approval: bool,
    /// Whether it may be used at all.
    enabled: bool,
}

impl From<McpServer> for McpServerOut {
    fn from(server: McpServer) -> Self {
        let show = |tool: &domain::tools::ManifestTool| McpToolOut {
            requires_approval: server.gate(tool).is_some(),
            enabled: server.is_enabled(&tool.name),
            name: tool.name.clone(),
            description: tool.description.clone(),
        };
        let tools: Vec<_> = server.tools().iter().map(show).collect();
        let status = server.status().as_str();
        let (last_call_error, last_call_error_at) =
            server.last_call_error.map(|error| (error.message, error.at.to_string())).unzip();
        Self {
            id: server.id,
            name: server.name,
            url: server.url,
            auth: server.auth.into(),
            origin: if server.catalog_slug.is_some() { "catalog" } else { "custom" },
            catalog_slug: server.catalog_slug,
            tool_allowlist: server.allowlist,
            approval_policy: server.approval_policy.into_iter().map(ApprovalRuleOut::from).collect(),
            tools_discovered: tools.len(),
            tools,
            tools_refreshed_at: server.refreshed_at.map(|at| at.to_string()),
            status,
            discovery_error: server.discovery_error,
            last_call_error,
            last_call_error_at,
            created_at: Some(server.created_at.to_string()),
        }
    }
}

impl From<McpAuth> for McpAuthOut {
    fn from(auth: McpAuth) -> Self {
        Self { kind: auth.kind.as_str(), provider: auth.provider, client_mode: auth.client_mode.as_str() }
    }
}

impl From<ApprovalRule> for ApprovalRuleOut {
    fn from(rule: ApprovalRule) -> Self {
        let on_reject = match rule.on_reject {
            OnReject::End => RejectMode::End,
            OnReject::Continue => RejectMode::Continue,
        };
        let ApprovalRule { pattern, expires_in_seconds, .. } = rule;
        Self { pattern, require: ApprovalRule::REQUIRE, on_reject, expires_in_seconds }
    }
}
