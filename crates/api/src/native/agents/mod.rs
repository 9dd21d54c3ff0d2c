//! Agents: designs that smiths share.

mod attach;
mod body;
mod create;
mod delete;
mod get;
mod import;
mod list;
mod publish;
mod render;
mod rollout;
#[cfg(test)]
mod tests;
mod update;
mod versions;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) use render::AgentOut;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(import::import))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(versions::list, publish::publish))
        .routes(routes!(rollout::rollout))
        .routes(routes!(attach::attach))
}
