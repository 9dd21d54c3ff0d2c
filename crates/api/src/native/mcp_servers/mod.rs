//! MCP servers of a project.

mod body;
mod delete;
mod discovery;
mod get;
mod list;
mod put;
mod refresh;
mod render;
#[cfg(test)]
mod tests;

use domain::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(get::get, put::put, delete::delete))
        .routes(routes!(refresh::refresh))
}

fn no_server() -> Problem {
    Problem::not_found("MCP server")
}
