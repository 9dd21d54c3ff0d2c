//! Tools of a project's own: called over HTTP, or handed to whoever calls the run.

mod body;
mod delete;
mod get;
mod list;
mod put;
mod render;
mod schema;
mod test;
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
        .routes(routes!(test::test))
}

fn no_tool() -> Problem {
    Problem::not_found("tool")
}
