//! `GET /v1/smiths`

use axum::Json;
use axum::extract::State;
use domain::ids::SmithId;
use store::smiths::SmithFilter;
use utoipa::ToSchema;

use super::SmithOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::{List, Page};

/// A page of smiths.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct SmithListOut {
    data: Vec<SmithOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists the project's live smiths, newest first.
#[utoipa::path(
    get,
    path = "/v1/smiths",
    operation_id = "smiths.list",
    tag = "Smiths",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
        ("external_id" = Option<String>, Query, description = "Only smiths of exactly this external id."),
        ("external_id_prefix" = Option<String>, Query, description = "Only smiths whose external id begins with this."),
        ("customer_id" = Option<String>, Query, description = "Only smiths of this customer."),
        ("agent_id" = Option<String>, Query, description = "Only smiths of this agent.")
    ),
    responses((status = 200, description = "A page of smiths.", body = SmithListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<SmithOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page: Page<SmithId> = query.page("smiths", project.id())?;
    // A text that is no id matches nothing.
    let smiths = match filter(&query) {
        Some(filter) => project.smiths(&filter, page.before, page.fetch()).await?,
        None => Vec::new(),
    };
    let now = app.ids.now();
    Ok(Json(page.list(smiths, |smith| smith.id, |smith| SmithOut::of(smith, now))))
}

fn filter(query: &Query) -> Option<SmithFilter> {
    let text = |name| query.filter(name);
    Some(SmithFilter {
        external_id: text("external_id").map(str::to_owned),
        external_id_prefix: text("external_id_prefix").map(str::to_owned),
        customer: text("customer_id").map(str::parse).transpose().ok()?,
        agent: text("agent_id").map(str::parse).transpose().ok()?,
    })
}
