//! The native surface: a folder a noun, a file an operation.

pub(crate) mod addresses;
mod agents;
mod approvals;
mod catalog;
mod hosted_tools;
mod mcp_servers;
mod model_keys;
mod models;
mod organization_keys;
mod project_tools;
mod projects;
pub(crate) mod runs;
mod smiths;
mod tokens;
mod ui_templates;

use domain::Problem;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::errors::ApiError;

/// Collects the routes. Every one of them wants a bearer and the version of the API.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(agents::routes())
        .merge(approvals::routes())
        .merge(catalog::routes())
        .merge(hosted_tools::routes())
        .merge(mcp_servers::routes())
        .merge(model_keys::routes())
        .merge(models::routes())
        .merge(organization_keys::routes())
        .merge(project_tools::routes())
        .merge(projects::routes())
        .merge(runs::routes())
        .merge(smiths::routes())
        .merge(tokens::routes())
        .merge(ui_templates::routes())
}

/// Answers a deletion: 204, or 404 where there was nothing of that kind and id.
fn deleted(was_there: bool, noun: &str) -> Result<StatusCode, ApiError> {
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found(noun).into()) }
}
