//! `GET /v1/responses/{id}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::ids::RunId;
use domain::principals::Permission;

use super::body::{ResponsesEvent, ResponsesOut};
use super::stream::{self, From, Opened};
use super::{object, reading};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Caller, PathParams, Query};
use crate::native::runs::events::position;
use crate::native::runs::reply::name_run;

/// Reads a response, whichever surface its run was started on, or streams its events behind one that was seen.
#[utoipa::path(
    get,
    path = "/v1/responses/{id}",
    operation_id = "responses.get",
    tag = "OpenAI-compatible",
    params(
        ("id" = String, Path, description = "The response: its run"),
        ("stream" = Option<bool>, Query, description = "True: its events, until the run rests"),
        ("starting_after" = Option<u64>, Query, description = "The `sequence_number` to continue behind"),
    ),
    responses((status = 200, description = "The response, or its events.", content(
        (ResponsesOut = "application/json"),
        (ResponsesEvent = "text/event-stream"),
    )))
)]
pub(crate) async fn get(
    caller: Caller,
    acting: ActingSmith,
    path: PathParams,
    query: Query,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let run: RunId = path.id("id").map_err(|_| reading::unknown())?;
    let reading::Found { project, saved } =
        reading::find(&app, &caller, &acting, run, Permission::RunsRead).await?;
    let thread_id = saved.record.thread_id.clone();
    let mut response = if query.flag("stream")? == Some(true) {
        let seen = position("starting_after", query.text("starting_after"))?;
        let (facts, shell) = (reading::facts(&project, &saved).await?, object::shell(&saved.record));
        let opened = Opened { run, seal: saved.seal, shell, facts };
        stream::follow(&app, project, opened, From::Number(seen), app.engine.seat()?)
    } else {
        Json(reading::show(&project, &saved, 0).await?).into_response()
    };
    name_run(&mut response, run, &thread_id);
    Ok(response)
}
