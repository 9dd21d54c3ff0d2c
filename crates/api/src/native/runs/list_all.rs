//! `GET /v1/runs`

use axum::Json;
use axum::extract::State;
use domain::principals::Permission;
use store::runs::RunFilter;

use super::record::{RunListOut, RunOut};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Caller, Query};
use crate::lists::List;

/// Lists the runs of the project, newest first; with a smith token, or with `IC-Smith-Id`, those of that smith.
#[utoipa::path(
    get,
    path = "/v1/runs",
    operation_id = "runs.list",
    tag = "Runs",
    params(
        ("status" = Option<String>, Query, description = "Only runs that stand there"),
        ("external_id_prefix" = Option<String>, Query, description = "Only runs of smiths whose external id begins so"),
        ("smith_id" = Option<String>, Query, description = "Only runs of this smith"),
        ("agent_id" = Option<String>, Query, description = "Only runs of this agent"),
        ("limit" = Option<String>, Query, description = "1 to 200, 50 if absent"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of runs.", body = RunListOut))
)]
pub(crate) async fn list_all(
    caller: Caller,
    acting: ActingSmith,
    query: Query,
    State(app): State<App>,
) -> Result<Json<List<RunOut>>, ApiError> {
    let project = caller.permitted(&app, Permission::RunsRead)?;
    let page = query.page("runs", project.id())?;
    let acting = acting.find(&caller, &project).await?;
    let text = |name| query.filter(name);
    let mut filter = RunFilter {
        status: text("status").map(str::to_owned),
        external_id_prefix: text("external_id_prefix").map(str::to_owned),
        ..RunFilter::default()
    };
    // A filter that names nothing matches nothing.
    let nothing = || Ok(Json(page.list(Vec::new(), |run: &store::runs::RunRecord| run.id, RunOut::from)));
    if let Some(smith) = text("smith_id") {
        let Ok(smith) = smith.parse() else { return nothing() };
        filter.smith = Some(smith);
    }
    if let Some(agent) = text("agent_id") {
        let Ok(agent) = agent.parse() else { return nothing() };
        filter.agent = Some(agent);
    }
    if let Some(acting) = acting {
        if filter.smith.is_some_and(|smith| smith != acting) {
            return nothing();
        }
        filter.smith = Some(acting);
    }
    let runs = project.runs(&filter, page.before, page.fetch()).await?;
    Ok(Json(page.list(runs, |run| run.id, RunOut::from)))
}
