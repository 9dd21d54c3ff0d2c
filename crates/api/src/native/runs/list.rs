//! `GET /v1/smiths/{pid}/runs`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::SmithId;
use domain::principals::Permission;
use store::runs::RunFilter;

use super::record::{RunListOut, RunOut};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId, Query};
use crate::lists::List;

/// Lists the runs of one smith, newest first.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/runs",
    operation_id = "smiths.runs.list",
    tag = "Runs",
    params(
        ("pid" = String, Path, description = "The smith"),
        ("status" = Option<String>, Query, description = "Only runs that stand there"),
        ("limit" = Option<String>, Query, description = "1 to 200, 50 if absent"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of runs.", body = RunListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    PathId(smith): PathId<SmithId>,
    query: Query,
    State(app): State<App>,
) -> Result<Json<List<RunOut>>, ApiError> {
    let project = app.store.project(caller.allow_on(smith, Permission::RunsRead)?);
    let page = query.page("smith_runs", smith)?;
    if !project.has_smith(smith).await? {
        return Err(Problem::not_found("smith").into());
    }
    let filter = RunFilter {
        smith: Some(smith),
        status: query.filter("status").map(str::to_owned),
        ..RunFilter::default()
    };
    let runs = project.runs(&filter, page.before, page.fetch()).await?;
    Ok(Json(page.list(runs, |run| run.id, RunOut::from)))
}
