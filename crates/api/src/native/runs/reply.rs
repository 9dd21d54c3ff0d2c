//! What a request that started a run is answered with: the record at its rest, or its frames.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use domain::ids::RunId;
use domain::{Code, Problem};
use engine::{Mode, StartRun, StartedRun};
use http::HeaderValue;
use serde_json::json;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use super::record::RunOut;
use super::stream;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Earlier, Once, mark_as_replayed};

/// How the caller wants to hear of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Record,
    Frames,
}

impl Wanted {
    pub(super) fn from_flag(stream: Option<bool>) -> Self {
        if stream == Some(true) { Self::Frames } else { Self::Record }
    }
}

/// Starts a run, once, and answers with what becomes of it.
pub(super) async fn start(
    app: &App,
    project: &ProjectStore,
    once: Once,
    start: StartRun,
    wanted: Wanted,
) -> Result<Response, ApiError> {
    let seal = start.seal.clone();
    match app.engine.start(project, start).await? {
        Some(started) => answer(app, project, &seal, started, wanted).await,
        // The same request was faster elsewhere.
        None => repeated(project, &once, wanted).await?.ok_or_else(|| Problem::internal().into()),
    }
}

async fn answer(
    app: &App,
    project: &ProjectStore,
    seal: &SmithSeal,
    started: StartedRun,
    wanted: Wanted,
) -> Result<Response, ApiError> {
    let StartedRun { id, thread_id, .. } = started;
    let mut response = match wanted {
        Wanted::Frames => {
            stream::follow(app.engine.follow(project.clone(), seal.clone(), id, 0, Mode::Follow)?)
        }
        Wanted::Record => {
            let record = app.engine.rested(project, seal, id).await.map_err(Problem::after_work)?;
            Json(RunOut::from(record)).into_response()
        }
    };
    name_run(&mut response, id, &thread_id);
    Ok(response)
}

/// Answers a request whose key was used before, if it was.
pub(super) async fn repeated(
    project: &ProjectStore,
    once: &Once,
    wanted: Wanted,
) -> Result<Option<Response>, ApiError> {
    let run = match once.earlier().await? {
        None => return Ok(None),
        Some(Earlier::Answer(response)) => return Ok(Some(response)),
        Some(Earlier::Run(run)) => run,
    };
    let record = project.run(run).await?.ok_or_else(|| Problem::not_found("run"))?;
    let (id, thread_id) = (record.id, record.thread_id.clone());
    let mut response = match wanted {
        Wanted::Frames => duplicate(&record),
        Wanted::Record if record.status.is_final() || record.status.is_paused() => {
            Json(RunOut::from(record)).into_response()
        }
        Wanted::Record => {
            let message =
                format!("The request with this key is still at work, as the run {id}. Ask again shortly.");
            return Err(Problem::new(Code::IdempotencyInProgress, message).at("Idempotency-Key").into());
        }
    };
    mark_as_replayed(&mut response);
    name_run(&mut response, id, &thread_id);
    Ok(Some(response))
}

/// The one frame that names the run which the key stands for.
fn duplicate(record: &RunRecord) -> Response {
    let payload = json!({
        "v": 1,
        "run_id": record.id,
        "smith_id": record.smith,
        "thread_id": record.thread_id,
        "status": record.status.as_str(),
    });
    stream::single("run.duplicate", &payload)
}

/// Names run and thread in the head, so that both are known while the run is still queued.
pub(super) fn name_run(response: &mut Response, run: RunId, thread_id: &str) {
    let headers = response.headers_mut();
    if let Ok(run) = HeaderValue::from_str(&run.to_string()) {
        headers.insert("ic-run-id", run);
    }
    // A thread may be called anything; what a head cannot hold is percent-encoded.
    let encoded = || url::form_urlencoded::byte_serialize(thread_id.as_bytes()).collect::<String>();
    if let Ok(thread) = HeaderValue::from_str(thread_id).or_else(|_| HeaderValue::from_str(&encoded())) {
        headers.insert("ic-thread-id", thread);
    }
}
