//! Smiths.

mod body;
mod create;
mod delete;
mod erase;
mod export;
mod get;
mod list;
mod render;
mod revisions;
mod update;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) use body::SkillRef;
pub(crate) use render::SmithOut;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(export::export))
        .routes(routes!(erase::erase))
        .merge(revisions::routes())
}
