//! The OpenAI surface: what clients of OpenAI call after nothing but their base URL was changed.

mod identity;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Collects the routes. Every one of them wants a bearer; the version of the API may be left out.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
