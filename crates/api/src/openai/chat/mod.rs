//! Chat completions: a turn of a conversation in OpenAI's older form.

mod chunks;
mod completion;
mod create;
mod messages;
mod reply;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// Collects the routes of chat completions.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create::create))
}
