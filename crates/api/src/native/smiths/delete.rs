//! `DELETE /v1/smiths/{pid}`

use axum::extract::State;
use domain::ids::SmithId;
use domain::{Code, Problem};
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Why the runs of an archived smith end, as their frames tell it.
const REASON: &str = "The smith was archived.";

/// Archives a smith: its pair is free again, its tokens are revoked, and its open runs are cancelled.
#[utoipa::path(
    delete,
    path = "/v1/smiths/{pid}",
    operation_id = "smiths.delete",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 204, description = "The smith is archived."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    let open_runs = project.archive_smith(smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    for run in open_runs {
        match app.engine.cancel(&project, run, Some(REASON)).await {
            Ok(()) => {}
            // It ended by itself meanwhile.
            Err(problem) if problem.code == Code::RunNotPaused => {}
            // The smith is archived all the same, so the caller is not told to come again.
            Err(problem) => {
                tracing::warn!(run.id = %run, code = %problem.code, "A run of an archived smith could not be cancelled.");
            }
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
