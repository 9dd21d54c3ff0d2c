//! The native surface: a folder a noun, a file an operation.

mod runs;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Collects the routes. Every one of them wants a bearer and the version of the API.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(runs::routes())
}
