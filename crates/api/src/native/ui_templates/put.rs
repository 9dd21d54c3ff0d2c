//! `POST /v1/agents/{aid}/ui`

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use domain::ui_templates::{METADATA_BYTES, MOST_TEMPLATES, UiTemplate};
use domain::{Code, Problem};
use http::StatusCode;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::ui_templates::{PutTemplateError, UiContent};
use utoipa::ToSchema;

use super::Templates;
use super::render::UiResource;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Form, Idempotency, PathParams};

/// A page and what is said about it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose parts are read one by one")]
struct Upload {
    /// The HTML, in UTF-8.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// JSON text of an object: `name`, and optionally `csp`, `permissions`, `prefers_border`, `domain`, `tool`.
    metadata: String,
}

/// Stores a UI template in an agent's draft, in the place of one of the same name.
#[utoipa::path(
    post,
    path = "/v1/agents/{aid}/ui",
    operation_id = "agents.ui.put",
    tag = "Agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    request_body(content = inline(Upload), content_type = "multipart/form-data"),
    responses((status = 200, description = "The template as it is stored.", body = UiResource))
)]
pub(crate) async fn put(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    idempotency: Idempotency,
    request: Request,
) -> Result<Response, ApiError> {
    let templates = Templates::find(&app, &caller, &path).await?;
    let limit = app.options.max_ui_template_bytes;
    let form = Form::read(request, &app, limit.saturating_add(METADATA_BYTES)).await?;
    let once = idempotency.once(&app, &caller, form.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let html = html(&form, limit)?;
    let metadata = std::str::from_utf8(form.one("metadata")?);
    let template = UiTemplate::parse(metadata.map_err(|_| no_text("metadata"))?)?;
    let hash = hex(&Sha256::digest(html));
    let content = UiContent { hash: &hash, html };
    let remember = once.remembering(&answer);
    let remember = remember.as_ref().map(|remember| remember as _);
    match templates.project.put_ui_template(templates.agent, &template, content, remember).await {
        Ok(record) => Ok(answer(&record).into_response()),
        Err(PutTemplateError::NoAgent) => Err(Problem::not_found("agent").into()),
        Err(PutTemplateError::TooMany) => {
            let message = format!(
                "An agent may have {MOST_TEMPLATES} templates. Delete one, or replace one by its name."
            );
            Err(Problem::invalid_input("metadata.name", message).into())
        }
        Err(PutTemplateError::Store(error)) => once.lost(error).await,
    }
}

fn answer(record: &Value) -> Answer {
    Answer::json(StatusCode::OK, record)
}

fn html(form: &Form, limit: usize) -> Result<&[u8], Problem> {
    let html = form.one("file")?;
    if html.len() > limit {
        let message = format!("The HTML is larger than {limit} bytes. Send less.");
        return Err(Problem::new(Code::PayloadTooLarge, message).at("file"));
    }
    if html.is_empty() || std::str::from_utf8(html).is_err() {
        return Err(no_text("file"));
    }
    Ok(html)
}

fn no_text(part: &str) -> Problem {
    Problem::invalid_input(part, format!("The part `{part}` must be text in UTF-8."))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
