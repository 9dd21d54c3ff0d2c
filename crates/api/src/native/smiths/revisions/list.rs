//! `GET /v1/smiths/{pid}/revisions`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::SmithId;
use utoipa::ToSchema;

use super::SmithRevisionOut;
use crate::app::App;
use crate::cursor::Number;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId, Query};
use crate::lists::{List, Page};

/// A page of revisions.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct RevisionListOut {
    data: Vec<SmithRevisionOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists how a smith's own configuration has changed, newest first. The newest 200 revisions are kept.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/revisions",
    operation_id = "smiths.revisions.list",
    tag = "Smiths",
    params(
        ("pid" = String, Path, description = "The smith's id."),
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of revisions.", body = RevisionListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
    query: Query,
) -> Result<Json<List<SmithRevisionOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let smith = project.smith(smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    let page: Page<Number> = query.page("revisions", smith.id)?;
    let before = page.before.map(|Number(number)| number);
    let revisions = project.smith_revisions(&smith, before, page.fetch()).await?;
    Ok(Json(page.list(revisions, |revision| Number(revision.number), SmithRevisionOut::from)))
}
