//! `GET /v1/smiths/{pid}/export`

mod archive;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use domain::ids::SmithId;
use domain::{Code, Problem};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Exports what is kept of a smith, live or archived: a zip archive of JSON lines and files, written while it is read.
///
/// An archive that is complete ends with its directory, and `manifest.json` is its last file. A connection that breaks off
/// leaves one that no program opens.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/export",
    operation_id = "smiths.export",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 200, description = "The archive (`application/zip`)."))
)]
pub(crate) async fn export(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let archive = project.archive_of(smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    let place = app.shared.exports.clone().try_acquire_owned().map_err(|_| {
        let message = "The server makes as many archives as it can at once. Retry when one of them is done.";
        Problem::new(Code::ServiceOverloaded, message)
    })?;
    let mut response = Response::new(Body::from_stream(archive::zipped(archive.pieces(), place)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let disposition = format!("attachment; filename=\"{smith}.zip\"");
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
