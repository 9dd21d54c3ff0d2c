//! How templates are described. Their records are shown as they are stored.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A UI template. What was not said of it is not there.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct UiResource {
    name: String,
    /// The SHA-256 of the HTML, in lower-case hex.
    content_hash: String,
    csp: Option<UiCsp>,
    #[schema(value_type = Option<Object>)]
    permissions: Option<Value>,
    prefers_border: Option<bool>,
    domain: Option<String>,
    tool: Option<UiResourceTool>,
}

/// With which hosts the page may have to do.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes values that are kept as they came")]
struct UiCsp {
    #[schema(required = false)]
    connect_domains: Vec<String>,
    #[schema(required = false)]
    resource_domains: Vec<String>,
    #[schema(required = false)]
    frame_domains: Vec<String>,
    #[schema(required = false)]
    base_uri_domains: Vec<String>,
}

/// The tool that shows the page.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
struct UiResourceTool {
    description: String,
    #[schema(value_type = Object, required = false)]
    input_schema: Value,
    instruction: Option<String>,
    /// Whether a call changes something.
    #[schema(required = false)]
    mutating: bool,
    /// `model`, `app` or both.
    #[schema(required = false)]
    visibility: Vec<String>,
}

/// HTML as it was uploaded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is no JSON")]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Html(Vec<u8>);

/// All templates of a draft; there are no pages.
#[derive(Serialize, ToSchema)]
pub(crate) struct UiResourceListOut {
    #[schema(value_type = Vec<UiResource>)]
    pub(super) data: Vec<Value>,
}
