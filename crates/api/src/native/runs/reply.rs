//! What a request that started a run is answered with: the record at its rest, or its frames.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use domain::ids::RunId;
use domain::{Code, Problem};
use engine::{Mode, Seat, StartRun, StartedRun};
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
    let seat = app.engine.seat()?;
    match app.engine.start(project, start).await? {
        Some(StartedRun { id, thread_id, watch: _held, .. }) => {
            let told = Told { run: id, thread_id, from: 0 };
            answer(app, project, &seal, told, wanted, seat)
                .await
                .map_err(|problem| goes_on(problem, id).into())
        }
        // The same request was faster elsewhere. What it is answered with needs no place.
        None => repeated(project, &once, wanted).await?.ok_or_else(|| Problem::internal().into()),
    }
}

/// The run that a request was about, and from which seq on its caller is told of it.
pub(super) struct Told {
    pub(super) run: RunId,
    pub(super) thread_id: String,
    pub(super) from: u64,
}

/// Answers with the run at its next rest, or with its frames.
pub(super) async fn answer(
    app: &App,
    project: &ProjectStore,
    seal: &SmithSeal,
    told: Told,
    wanted: Wanted,
    seat: Seat,
) -> Result<Response, Problem> {
    let Told { run, thread_id, from } = told;
    let mut response = match wanted {
        Wanted::Frames => {
            stream::follow(app.engine.follow(seat, project.clone(), seal.clone(), run, from, Mode::Follow))
        }
        Wanted::Record => {
            let record = app.engine.rested(seat, project, seal, run).await?;
            Json(RunOut::from(record)).into_response()
        }
    };
    name_run(&mut response, run, &thread_id);
    Ok(response)
}

/// Answers with the run as it stands.
pub(super) async fn current(project: &ProjectStore, run: RunId) -> Result<Response, ApiError> {
    let record = project.run(run).await?.ok_or_else(|| Problem::not_found("run"))?;
    let thread_id = record.thread_id.clone();
    let mut response = Json(RunOut::from(record)).into_response();
    name_run(&mut response, run, &thread_id);
    Ok(response)
}

/// Says of a run that was started that it goes on, though its caller cannot be told how.
pub(crate) fn goes_on(problem: Problem, run: RunId) -> Problem {
    let mut problem = problem.after_work();
    problem.message = format!(
        "The run {run} was started and goes on, but this answer cannot wait for it. Read it with GET …/runs/{run}; do not \
         send the request again without an `Idempotency-Key`."
    );
    problem
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
pub(crate) fn name_run(response: &mut Response, run: RunId, thread_id: &str) {
    let headers = response.headers_mut();
    if let Ok(run) = HeaderValue::from_str(&run.to_string()) {
        headers.insert("ic-run-id", run);
    }
    if let Ok(thread) = HeaderValue::from_str(&in_head(thread_id)) {
        headers.insert("ic-thread-id", thread);
    }
}

/// Reads a thread's name from a head, as [`in_head`] writes it. None where it is none that a thread can have.
pub(crate) fn from_head(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut left = written.bytes();
    while let Some(byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(left.next())?, digit(left.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_name = (1..=255).contains(&name.chars().count()) && !name.contains('\0');
    is_name.then_some(name)
}

/// Writes a thread's name for a head. It may be any text; what is not visible ASCII is percent-encoded, and so is `%`.
fn in_head(thread_id: &str) -> String {
    let mut written = String::with_capacity(thread_id.len());
    for byte in thread_id.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use domain::ids::Id as _;

    use super::*;

    #[test]
    fn a_name_of_a_thread_can_be_read_back_from_the_head() {
        assert_eq!(in_head("thr_1-a.b::c"), "thr_1-a.b::c");
        assert_eq!(in_head(" Grüße\n100%"), "%20Gr%C3%BC%C3%9Fe%0A100%25");
        for name in ["thr_1-a.b::c", " Grüße\n100%"] {
            assert_eq!(from_head(&in_head(name)).as_deref(), Some(name));
        }
        for wrong in ["", "%", "%2", "%zz", "%ff", "a%00", &"x".repeat(256)] {
            assert_eq!(from_head(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_run_that_goes_on_is_no_invitation_to_repeat_the_request() {
        let problem = goes_on(Problem::new(Code::ServiceOverloaded, ""), RunId::from_bytes([1; 16]));
        assert_eq!((problem.status, problem.retry_after, problem.after_work), (500, None, true));
        assert!(problem.message.contains("run_"));
    }
}
