//! `GET /v1/agents/{aid}/ui/{name}/content`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::Problem;
use domain::ui_templates::content_hash_of;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use super::Templates;
use super::render::Html;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Returns the HTML of a UI template. `If-None-Match` with its `ETag`, which is the hash of the HTML, is answered with 304.
#[utoipa::path(
    get,
    path = "/v1/agents/{aid}/ui/{name}/content",
    operation_id = "agents.ui.content",
    tag = "Agents",
    params(
        ("aid" = String, Path, description = "The agent's id."),
        ("name" = String, Path, description = "The template's name."),
        ("if-none-match" = Option<String>, Header, description = "What the caller has already.")
    ),
    responses(
        (status = 200, description = "The HTML.", body = inline(Html), content_type = "text/html"),
        (status = 304, description = "The caller has it already.")
    )
)]
pub(crate) async fn content(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let templates = Templates::find(&app, &caller, &path).await?;
    let hash = content_hash_of(templates.named(&path)?).unwrap_or_default();
    let tag = format!("\"{hash}\"");
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let Some(html) = templates.project.ui_content(hash).await? else {
            tracing::error!(content.hash = %hash, "The HTML of a template is missing.");
            return Err(Problem::internal().into());
        };
        let html_type = HeaderValue::from_static("text/html; charset=utf-8");
        ([(CONTENT_TYPE, html_type)], html).into_response()
    };
    let head = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        head.insert(ETAG, tag);
    }
    head.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    head.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // It is a tenant's page under the server's own origin: opened as it is, it must not act there.
    head.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

/// Tells whether the caller has what the tag names. Weak tags count: the bytes are the same or they are not.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_lists_in_weak_form_and_as_any() {
        let check = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(line));
            }
            is_known(&headers, "\"ab\"")
        };
        for known in
            [&["\"ab\""][..], &["W/\"ab\""], &["*"], &["\"x\", W/\"ab\" ,\"y\""], &["\"x\"", "\"ab\""]]
        {
            assert!(check(known), "{known:?}");
        }
        for other in [&[][..], &["ab"], &["\"AB\""], &["\"abc\""], &["w/\"ab\""], &[""], &["\"*\""]] {
            assert!(!check(other), "{other:?}");
        }
    }
}
