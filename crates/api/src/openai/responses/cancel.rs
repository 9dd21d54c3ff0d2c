//! `POST /v1/responses/{id}/cancel`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::Code;
use domain::ids::RunId;
use domain::principals::Permission;
use http::StatusCode;

use super::body::ResponsesOut;
use super::reading;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Answer, Caller, Idempotency, JsonBody, PathParams};
use crate::native::runs::reply::name_run;

/// Stops a response. One that has ended already comes back unchanged.
#[utoipa::path(
    post,
    path = "/v1/responses/{id}/cancel",
    operation_id = "responses.cancel",
    tag = "OpenAI-compatible",
    params(("id" = String, Path, description = "The response: its run")),
    responses((status = 200, description = "The response as it ended.", body = ResponsesOut))
)]
pub(crate) async fn cancel(
    caller: Caller,
    acting: ActingSmith,
    path: PathParams,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let run: RunId = path.id("id").map_err(|_| reading::unknown())?;
    let reading::Found { project, saved } =
        reading::find(&app, &caller, &acting, run, Permission::RunsWrite).await?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(mut response) = once.replay().await? {
        name_run(&mut response, run, &saved.record.thread_id);
        return Ok(response);
    }
    if !saved.record.status.is_final() {
        match app.engine.cancel(&project, run, None).await {
            // It ended by itself meanwhile.
            Err(problem) if problem.code == Code::RunNotPaused => {}
            other => other?,
        }
    }
    let saved = reading::saved(&project, run).await?;
    let shown = reading::show(&project, &saved, 0).await?;
    let answer = Answer::json(StatusCode::OK, &shown).about(Some(saved.record.smith));
    if let Err(error) = once.keep(&answer).await {
        tracing::warn!(run.id = %run, error = %error, "A cancellation's key could not be kept.");
    }
    let mut response =
        if once.key().is_some() { answer.into_response() } else { Json(shown).into_response() };
    name_run(&mut response, run, &saved.record.thread_id);
    Ok(response)
}
