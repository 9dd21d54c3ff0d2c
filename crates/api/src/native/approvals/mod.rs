//! Approvals: reading them. Decisions are submitted to the run.

mod get;
mod list;
mod record;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(get::get))
}
