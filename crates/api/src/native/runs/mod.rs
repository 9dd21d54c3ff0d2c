//! Runs: starting, reading, following, moving on, replaying.

mod create;
pub(crate) mod events;
mod get;
mod list;
mod list_all;
mod record;
mod replay;
pub(crate) mod reply;
mod said;
pub(crate) mod stream;
mod submit;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(list_all::list_all))
        .routes(routes!(get::get))
        .routes(routes!(events::events))
        .routes(routes!(submit::submit))
        .routes(routes!(replay::replay))
}
