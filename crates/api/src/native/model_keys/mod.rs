//! Keys of model providers, of a project and of a smith.

mod delete;
mod list;
mod put;

use domain::ids::SmithId;
use domain::models::Provider;
use domain::principals::Permission;
use domain::{Code, Problem};
use store::ProjectStore;
use store::model_keys::KeyOwner;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::{Caller, PathParams};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::project))
        .routes(routes!(put::project, delete::project))
        .routes(routes!(list::smith))
        .routes(routes!(put::smith, delete::smith))
}

/// Checks that the caller may do this with the keys of the smith in the path, and that there is such a smith.
async fn of_smith(
    app: &App,
    caller: &Caller,
    path: &PathParams,
    permission: Permission,
) -> Result<(ProjectStore, KeyOwner), Problem> {
    // What the token is good for comes before what the path names.
    caller.allow(permission)?;
    let smith: SmithId = path.id("pid")?;
    let project = app.store.project(caller.allow_on(smith, permission)?);
    if !project.has_smith(smith).await? {
        return Err(Problem::not_found("smith"));
    }
    Ok((project, KeyOwner::Smith(smith)))
}

/// Reads the provider in the path; one that takes no key is refused like one that nobody knows.
fn provider(path: &PathParams) -> Result<Provider, Problem> {
    Provider::parse(path.text("provider")).filter(|provider| provider.needs_key()).ok_or_else(|| {
        let known: Vec<_> = Provider::ALL
            .iter()
            .filter(|provider| provider.needs_key())
            .map(|provider| provider.as_str())
            .collect();
        let message =
            format!("No such provider takes a key. The providers that do are: {}.", known.join(", "));
        Problem::new(Code::UnknownProvider, message).at("provider")
    })
}
