//! `GET /v1/smiths/{pid}/runs/{rid}/events`

use axum::extract::State;
use axum::response::Response;
use domain::principals::Permission;
use domain::{Code, Problem};
use engine::Mode;
use http::HeaderMap;
use utoipa::ToSchema;

use super::{get, reply, stream};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams, Query};

/// The payload of a frame: `v`, `run_id` and the fields of its event side by side.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the frames in the OpenAPI document; the domain renders them")]
pub(super) struct RunStreamFrame {
    /// Always 1.
    v: u32,
    run_id: String,
}

/// A frame as a reader takes it apart: the `id:` line, the `event:` line, and the payload of the `data:` line.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the frames in the OpenAPI document; the domain renders them")]
pub(super) struct RunEventOut {
    #[schema(minimum = 0)]
    seq: u64,
    #[schema(rename = "type")]
    kind: String,
    /// The payload: `v`, `run_id` and the fields of the event.
    #[schema(value_type = Object)]
    data: RunStreamFrame,
    /// Not on the wire: null unless the reader notes when it came.
    #[schema(required)]
    created_at: Option<String>,
}

/// Follows a run's frames while they are recorded, or continues behind the one that was seen last.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/runs/{rid}/events",
    operation_id = "smiths.runs.events",
    tag = "Runs",
    params(
        ("pid" = String, Path, description = "The smith"),
        ("rid" = String, Path, description = "The run"),
        ("last-event-id" = Option<String>, Header, description = "The seq to continue behind"),
        ("after" = Option<u64>, Query, description = "The same, for clients that cannot set the header"),
        ("follow" = Option<bool>, Query, description = "False: end after what is stored"),
    ),
    responses((status = 200, description = "The frames.", content_type = "text/event-stream", body = RunEventOut))
)]
pub(crate) async fn events(
    caller: Caller,
    path: PathParams,
    query: Query,
    headers: HeaderMap,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let get::Found { project, record, seal } = get::find(&app, &caller, &path, Permission::RunsRead).await?;
    // An event source that has seen nothing yet sends an empty one.
    let header = headers.get("last-event-id").filter(|value| !value.is_empty());
    let header = header.map(|value| value.to_str().unwrap_or("-"));
    let seen = [position("Last-Event-ID", header)?, position("after", query.text("after"))?];
    // A reader that reconnects to an address with `?after=` must not go back.
    let from = seen.into_iter().flatten().max().map_or(0, |seen| seen.saturating_add(1));
    let mode = if query.flag("follow")? == Some(false) { Mode::Stored } else { Mode::Follow };
    let seal = seal.ok_or_else(unreadable)?;
    let seat = app.engine.seat()?;
    let mut response = stream::follow(app.engine.follow(seat, project, seal, record.id, from, mode));
    reply::name_run(&mut response, record.id, &record.thread_id);
    Ok(response)
}

/// Nothing of the run's frames can be read, because the key of its smith cannot.
pub(super) fn unreadable() -> Problem {
    let message = "What is stored of this run cannot be read: the data key of its smith is damaged. GET …/runs/{rid} shows what \
                   is left. Restore the smith's row from a backup of the database, or erase the smith.";
    Problem::new(Code::ResumeFailed, message)
}

/// Reads the number of what was seen last of a stream: a frame, or an event of a response.
pub(crate) fn position(name: &str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Beyond what any run reaches, a number is as good as the largest.
    if is_digits {
        return Ok(Some(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let message = format!("`{name}` must be the whole number of what was seen last, 0 or more.");
    Err(Problem::new(Code::InvalidCursor, message).at(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seq_is_a_whole_number() {
        assert_eq!(position("after", None).unwrap(), None);
        assert_eq!(position("after", Some("17")).unwrap(), Some(17));
        assert!(position("after", Some("99999999999999999999999")).unwrap().is_some());
        for text in ["", "-1", "1.5", "x", "+1", " 1"] {
            assert_eq!(position("after", Some(text)).unwrap_err().code, Code::InvalidCursor, "{text}");
        }
    }
}
