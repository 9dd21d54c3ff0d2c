//! `GET /v1/smiths/{pid}/runs/{rid}`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::{RunId, SmithId};
use domain::principals::Permission;
use domain::run::Status;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use super::record::RunOut;
use super::said;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Reads one run.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/runs/{rid}",
    operation_id = "smiths.runs.get",
    tag = "Runs",
    params(("pid" = String, Path, description = "The smith"), ("rid" = String, Path, description = "The run")),
    responses((status = 200, description = "The run.", body = RunOut))
)]
pub(crate) async fn get(
    caller: Caller,
    path: PathParams,
    State(app): State<App>,
) -> Result<Json<RunOut>, ApiError> {
    let Found { project, mut record, seal } = find(&app, &caller, &path, Permission::RunsRead).await?;
    if let Some(seal) = seal.filter(|_| record.status == Status::Running) {
        let said = said::so_far(&project, &record, &seal).await?;
        let result = record.result.get_or_insert_default();
        // Where frames are damaged, what the record has of the last rest may be more.
        if said.len() > result.content.len() {
            result.content = said;
        }
    }
    Ok(Json(record.into()))
}

/// A run that a path names, and what its content is opened with.
pub(super) struct Found {
    pub(super) project: ProjectStore,
    pub(super) record: RunRecord,
    /// None where the smith's key cannot be read, so that nothing of its runs can.
    pub(super) seal: Option<SmithSeal>,
}

/// Finds the run that a path names, if the caller may do what it wants with it.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    path: &PathParams,
    permission: Permission,
) -> Result<Found, Problem> {
    let smith: SmithId = path.id("pid")?;
    let project = app.store.project(caller.allow_on(smith, permission)?);
    let run: RunId = path.id("rid")?;
    let found = project.run_and_seal(run).await?.filter(|(record, _)| record.smith == smith);
    let (record, seal) = found.ok_or_else(|| Problem::not_found("run"))?;
    Ok(Found { project, record, seal })
}
