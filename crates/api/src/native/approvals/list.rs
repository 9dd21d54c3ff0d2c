//! `GET /v1/approvals`

use axum::Json;
use axum::extract::State;
use domain::principals::Permission;
use store::approvals::{Approval, ApprovalFilter};

use super::record::{ApprovalListOut, ApprovalOut};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Caller, Query};
use crate::lists::List;

/// Lists the approvals of the project, newest first; with a smith token, or with `IC-Smith-Id`, those of that smith.
#[utoipa::path(
    get,
    path = "/v1/approvals",
    operation_id = "approvals.list",
    tag = "Approvals",
    params(
        ("smith_id" = Option<String>, Query, description = "Only approvals of this smith"),
        ("status" = Option<String>, Query, description = "`pending`, `approved` or `rejected`"),
        ("limit" = Option<String>, Query, description = "1 to 200, 50 if absent"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of approvals.", body = ApprovalListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    acting: ActingSmith,
    query: Query,
    State(app): State<App>,
) -> Result<Json<List<ApprovalOut>>, ApiError> {
    let project = caller.permitted(&app, Permission::ApprovalsRead)?;
    let page = query.page("approvals", project.id())?;
    let acting = acting.find(&caller, &project).await?;
    let mut filter =
        ApprovalFilter { status: query.filter("status").map(str::to_owned), ..ApprovalFilter::default() };
    // A filter that names nothing matches nothing.
    let nothing = || Ok(Json(page.list(Vec::new(), |approval: &Approval| approval.id, ApprovalOut::from)));
    if let Some(smith) = query.filter("smith_id") {
        let Ok(smith) = smith.parse() else { return nothing() };
        filter.smith = Some(smith);
    }
    if let Some(acting) = acting {
        if filter.smith.is_some_and(|smith| smith != acting) {
            return nothing();
        }
        filter.smith = Some(acting);
    }
    let approvals = project.approvals(&filter, page.before, page.fetch()).await?;
    Ok(Json(page.list(approvals, |approval| approval.id, ApprovalOut::from)))
}
