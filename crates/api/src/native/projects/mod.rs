//! Projects of an organization.

mod create;
mod delete;
mod get;
mod list;
mod tokens;

use domain::Problem;
use domain::ids::{OrganizationId, ProjectId};
use serde::Serialize;
use serde_json::{Map, Value};
use store::OrganizationStore;
use store::projects::Project;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, delete::delete))
        .routes(routes!(tokens::create::create))
        .routes(routes!(tokens::delete::delete))
}

/// A live project.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProjectOut {
    #[schema(value_type = String)]
    id: ProjectId,
    #[schema(value_type = String)]
    organization: OrganizationId,
    name: String,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[schema(required)]
    created_at: Option<String>,
    /// Always null: an archived project is not shown.
    #[schema(required)]
    archived_at: Option<String>,
}

impl From<Project> for ProjectOut {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            organization: project.organization,
            name: project.name,
            metadata: project.metadata,
            created_at: Some(project.created_at.to_string()),
            archived_at: None,
        }
    }
}

/// Finds a live project of the organization, or refuses.
async fn find(organization: &OrganizationStore, project: ProjectId) -> Result<Project, Problem> {
    organization.project(project).await?.ok_or_else(|| Problem::not_found("project"))
}
