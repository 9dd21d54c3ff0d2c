//! `GET /v1/approvals/{aprId}`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::ApprovalId;
use domain::principals::{Permission, Principal};

use super::record::ApprovalOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Reads one approval.
#[utoipa::path(
    get,
    path = "/v1/approvals/{aprId}",
    operation_id = "approvals.get",
    tag = "Approvals",
    params(("aprId" = String, Path, description = "The approval")),
    responses((status = 200, description = "The approval.", body = ApprovalOut))
)]
pub(crate) async fn get(
    caller: Caller,
    PathId(approval): PathId<ApprovalId>,
    State(app): State<App>,
) -> Result<Json<ApprovalOut>, ApiError> {
    let project = caller.permitted(&app, Permission::ApprovalsRead)?;
    let found = project.approval(approval).await?.ok_or_else(|| Problem::not_found("approval"))?;
    // What belongs to another smith is not there for a smith's token.
    if matches!(&caller.0, Principal::Smith { smith, .. } if *smith != found.smith) {
        return Err(Problem::not_found("approval").into());
    }
    Ok(Json(found.into()))
}
