//! How UI templates are described where a design lists them. What is stored is shown as it is.

use serde_json::Value;
use utoipa::ToSchema;

/// A UI template of a design.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct UiResource {
    name: String,
    /// SHA-256 of the template's bytes, in lower-case hexadecimal.
    content_hash: String,
    csp: Option<UiCsp>,
    #[schema(value_type = Option<Object>)]
    permissions: Option<Value>,
    prefers_border: Option<bool>,
    domain: Option<String>,
    tool: Option<UiResourceTool>,
}

/// From where a template may load what.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct UiCsp {
    #[schema(value_type = Vec<String>, required = false)]
    connect_domains: Option<Vec<String>>,
    #[schema(value_type = Vec<String>, required = false)]
    resource_domains: Option<Vec<String>>,
    #[schema(value_type = Vec<String>, required = false)]
    frame_domains: Option<Vec<String>>,
    #[schema(value_type = Vec<String>, required = false)]
    base_uri_domains: Option<Vec<String>>,
}

/// The tool with which a model shows a template.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct UiResourceTool {
    description: String,
    #[schema(value_type = Object, required = false)]
    input_schema: Option<Value>,
    instruction: Option<String>,
    /// Whether a person has to approve what it does.
    #[schema(value_type = bool, required = false)]
    mutating: Option<bool>,
    /// Who may call it: `model`, `app`.
    #[schema(value_type = Vec<String>, required = false)]
    visibility: Option<Vec<String>>,
}
