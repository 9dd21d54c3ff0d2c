//! Models, in the form of OpenAI's.

mod get;
mod list;

use domain::Problem;
use domain::catalog::MODELS;
use domain::models::{Provider, Route, route};
use domain::principals::Permission;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::{ActingSmith, Caller};

/// When a model was made is for its provider to say: all of them show the date of this API's version, in Unix seconds.
const CREATED: i64 = 1_777_593_600;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(get::get))
        // Clients that do not encode the slash of a model's id send two segments.
        .route("/v1/models/{provider}/{*rest}", axum::routing::get(get::get))
}

/// A model that the caller can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenAIModelOut)]
pub(crate) struct ModelOut {
    id: String,
    #[schema(inline)]
    object: ModelObject,
    /// The same for all models: nobody says when one was made.
    created: i64,
    /// The provider.
    owned_by: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModelObject {
    Model,
}

impl ModelOut {
    fn new(id: String, provider: Provider) -> Self {
        Self { id, object: ModelObject::Model, created: CREATED, owned_by: provider.as_str() }
    }

    /// Tells whether a name leads to this model: its id, or `provider/model`.
    fn is_meant_by(&self, name: &str) -> bool {
        self.id == name || leads_to(name).is_some_and(|route| leads_to(&self.id) == Some(route))
    }
}

fn leads_to(name: &str) -> Option<Route> {
    route(name, || false).ok()
}

/// Lists the known models whose provider the caller has a key for, and the scripted ones, which need none.
///
/// A smith may have keys of its own; what a tenant-admin token is asked for without a smith is what the project can run.
async fn usable(app: &App, caller: &Caller, acting: &ActingSmith) -> Result<Vec<ModelOut>, Problem> {
    let project = caller.permitted(app, Permission::RunsRead)?;
    let smith = acting.find(caller, &project).await?;
    let available = app.engine.keys().available(&project, smith).await?;
    let known = MODELS.iter().filter(|model| available.contains_key(&model.provider));
    let known = known.map(|model| ModelOut::new(model.id.to_owned(), model.provider));
    let scripted = app
        .engine
        .models()
        .scripts()
        .names()
        .map(|name| ModelOut::new(format!("{}/{name}", Provider::Scripted.as_str()), Provider::Scripted));
    Ok(known.chain(scripted).collect())
}
