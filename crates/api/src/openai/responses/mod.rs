//! Responses: runs as OpenAI's Responses API shows them.

mod body;
mod cancel;
mod create;
mod echo;
mod facts;
mod get;
mod input;
mod items;
mod object;
mod projection;
mod reading;
mod references;
mod servers;
mod stream;
mod thread;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(get::get))
        .routes(routes!(cancel::cancel))
}
