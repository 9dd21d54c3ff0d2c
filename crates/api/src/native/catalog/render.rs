//! How a preset is shown.

use domain::tools::ApprovalRule;
use domain::tools::presets::Preset;
use serde::Serialize;
use utoipa::ToSchema;

/// A preset of a public MCP server.
#[derive(Serialize, ToSchema)]
pub(super) struct CatalogEntryOut {
    slug: &'static str,
    display_name: &'static str,
    description: &'static str,
    mcp_url: &'static str,
    #[schema(inline)]
    auth: PresetAuth,
    /// What a connection has to be allowed to do.
    scopes: &'static [String],
    /// Null: all tools.
    #[schema(required)]
    default_allowlist: Option<&'static [String]>,
    #[schema(inline)]
    default_approval_policy: Vec<PresetRule>,
    #[schema(required)]
    logo_url: Option<&'static str>,
    #[schema(required)]
    docs_url: Option<&'static str>,
}

/// How the server is called.
#[derive(Serialize, ToSchema)]
struct PresetAuth {
    kind: &'static str,
    #[schema(required)]
    provider: Option<&'static str>,
    client_mode: &'static str,
}

/// That tools with matching names need a human's consent.
#[derive(Serialize, ToSchema)]
struct PresetRule {
    #[serde(rename = "match")]
    pattern: &'static str,
    #[schema(required = false)]
    require: &'static str,
}

impl From<&'static Preset> for CatalogEntryOut {
    fn from(preset: &'static Preset) -> Self {
        let show = |rule: &'static ApprovalRule| PresetRule {
            pattern: &rule.pattern,
            require: ApprovalRule::REQUIRE,
        };
        Self {
            slug: &preset.slug,
            display_name: &preset.display_name,
            description: &preset.description,
            mcp_url: &preset.mcp_url,
            auth: PresetAuth {
                kind: preset.auth.kind.as_str(),
                provider: preset.auth.provider.as_deref(),
                client_mode: preset.auth.client_mode.as_str(),
            },
            scopes: &preset.scopes,
            default_allowlist: preset.default_allowlist.as_deref(),
            default_approval_policy: preset.default_approval_policy.iter().map(show).collect(),
            logo_url: preset.logo_url.as_deref(),
            docs_url: preset.docs_url.as_deref(),
        }
    }
}
