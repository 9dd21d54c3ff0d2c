//! MCP servers as a project has registered them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ApprovalRule, CallError, Gate, Manifest, ManifestTool};
use crate::clock::Timestamp;
use crate::ids::McpServerId;

/// How a server is to know who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    None,
    /// With a secret of the project.
    Bearer,
    /// With a connection of the smith that acts.
    Oauth,
}

impl AuthKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer => "bearer",
            Self::Oauth => "oauth",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Bearer, Self::Oauth].into_iter().find(|known| known.as_str() == text)
    }
}

/// Whose OAuth client a connection is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMode {
    /// That of the provider as the project has set it up.
    #[default]
    Tenant,
    /// The server's own.
    Platform,
}

impl ClientMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Platform => "platform",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tenant, Self::Platform].into_iter().find(|known| known.as_str() == text)
    }
}

/// How a server is called, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpAuth {
    pub kind: AuthKind,
    /// Whose connections are used. Only with OAuth.
    pub provider: Option<String>,
    #[serde(default)]
    pub client_mode: ClientMode,
}

/// An MCP server of a project, with what it was last found to offer.
#[derive(Clone, Debug, PartialEq)]
pub struct McpServer {
    pub id: McpServerId,
    pub name: String,
    pub url: String,
    pub auth: McpAuth,
    /// The preset that it was registered from.
    pub catalog_slug: Option<String>,
    /// The tools that may be used. None: all.
    pub allowlist: Option<Vec<String>>,
    /// The first rule that matches counts.
    pub approval_policy: Vec<ApprovalRule>,
    /// None until its tools were listed once. Shared, because it may be large.
    pub manifest: Option<Arc<Manifest>>,
    /// Rises whenever another manifest is kept, so that one that was read can be kept at hand by it.
    pub manifest_version: u64,
    /// When the manifest was fetched.
    pub refreshed_at: Option<Timestamp>,
    /// Why the last attempt to list its tools failed. None: it did not.
    pub discovery_error: Option<String>,
    pub last_call_error: Option<CallError>,
    /// Rises with every registration under the name.
    pub version: u64,
    pub created_at: Timestamp,
}

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpStatus {
    /// Its tools are known.
    Active,
    /// Its tools could not be listed the last time.
    Degraded,
    /// Its tools were not listed yet, because nobody has a connection to do so with.
    Pending,
}

impl McpStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::Pending => "pending",
        }
    }
}

impl McpServer {
    pub const fn status(&self) -> McpStatus {
        match (&self.discovery_error, &self.manifest) {
            (Some(_), _) => McpStatus::Degraded,
            (None, Some(_)) => McpStatus::Active,
            (None, None) => McpStatus::Pending,
        }
    }

    /// Returns the tools that the server was last found to offer, those that may not be used included.
    pub fn tools(&self) -> &[ManifestTool] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.tools)
    }

    /// Tells whether the tool may be used.
    pub fn is_enabled(&self, tool: &str) -> bool {
        self.allowlist.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == tool))
    }

    /// Returns what stands before a call of the tool: what the first matching rule says, and for a tool that says itself that
    /// it may destroy something a human's consent in any case.
    pub fn gate(&self, tool: &ManifestTool) -> Option<Gate> {
        let rule = self.approval_policy.iter().find(|rule| rule.matches(&tool.name));
        rule.map(ApprovalRule::gate).or_else(|| tool.annotations.destructive.then(Gate::default))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::Id as _;
    use crate::tools::{Annotations, OnReject};

    fn server() -> McpServer {
        let policy = json!([
            {"match": "read_*", "on_reject": "continue"},
            {"match": "*", "expires_in_seconds": 60},
        ]);
        McpServer {
            id: McpServerId::from_bytes([1; 16]),
            name: "shop".into(),
            url: "https://mcp.example/mcp".into(),
            auth: McpAuth { kind: AuthKind::None, provider: None, client_mode: ClientMode::Tenant },
            catalog_slug: None,
            allowlist: None,
            approval_policy: ApprovalRule::parse_all(&policy, "approval_policy").unwrap(),
            manifest: None,
            manifest_version: 0,
            refreshed_at: None,
            discovery_error: None,
            last_call_error: None,
            version: 1,
            created_at: Timestamp::default(),
        }
    }

    fn tool(name: &str, destructive: bool) -> ManifestTool {
        let annotations = Annotations { destructive, ..Annotations::default() };
        ManifestTool { name: name.into(), description: None, input_schema: json!({}), annotations }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut server = server();
        let gate = |on_reject, expires_in_seconds| Some(Gate { on_reject, expires_in_seconds });
        assert_eq!(server.gate(&tool("read_orders", false)), gate(OnReject::Continue, 86_400));
        assert_eq!(server.gate(&tool("void", true)), gate(OnReject::End, 60));
        server.approval_policy.clear();
        assert_eq!(server.gate(&tool("void", false)), None);
        assert_eq!(server.gate(&tool("void", true)), Some(Gate::default()));
    }

    #[test]
    fn a_list_of_tools_shuts_all_others_out() {
        let mut server = server();
        assert!(server.is_enabled("void"));
        server.allowlist = Some(vec!["list".into()]);
        assert!(server.is_enabled("list") && !server.is_enabled("void"));
        server.allowlist = Some(vec![]);
        assert!(!server.is_enabled("list"));
    }

    #[test]
    fn a_server_that_answered_once_and_fails_now_keeps_its_tools_and_says_so() {
        let mut server = server();
        assert_eq!(server.status(), McpStatus::Pending);
        let manifest = Manifest { tools: vec![tool("list", false)], ..Manifest::default() };
        server.manifest = Some(Arc::new(manifest));
        assert_eq!(server.status(), McpStatus::Active);
        server.discovery_error = Some("It did not answer.".into());
        assert_eq!((server.status(), server.tools().len()), (McpStatus::Degraded, 1));
    }
}
