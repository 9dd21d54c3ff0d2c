//! UI templates of an agent's draft.

mod content;
mod delete;
mod get;
mod list;
mod put;
mod render;
#[cfg(test)]
mod tests;

use domain::Problem;
use domain::ids::AgentId;
use serde_json::Value;
use store::ProjectStore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use render::UiResource;

use crate::app::App;
use crate::extract::{Caller, PathParams};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, put::put))
        .routes(routes!(get::get, delete::delete))
        .routes(routes!(content::content))
}

/// The templates of the agent in the path.
struct Templates {
    project: ProjectStore,
    agent: AgentId,
    records: Vec<Value>,
}

impl Templates {
    /// Finds them, if the caller administers the project and the project has the agent.
    async fn find(app: &App, caller: &Caller, path: &PathParams) -> Result<Self, Problem> {
        let project = caller.administered(app)?;
        let agent: AgentId = path.id("aid")?;
        let records = project.ui_templates(agent).await?.ok_or_else(|| Problem::not_found("agent"))?;
        Ok(Self { project, agent, records })
    }

    /// Returns the record of the template in the path.
    fn named(&self, path: &PathParams) -> Result<&Value, Problem> {
        domain::ui_templates::find(&self.records, path.text("name")).ok_or_else(no_template)
    }
}

fn no_template() -> Problem {
    Problem::not_found("template")
}
