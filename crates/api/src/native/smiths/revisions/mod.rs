//! Revisions of a smith's own configuration.

mod list;
mod restore;

use domain::smiths::Overrides;
use serde::Serialize;
use store::smiths::Revision;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::SkillRef;
use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(restore::restore))
}

/// What a smith's own configuration was after a change.
#[derive(Serialize, ToSchema)]
pub(crate) struct SmithRevisionOut {
    /// Counts from 1, which is what the smith was made with.
    #[schema(minimum = 1)]
    version: u32,
    #[schema(value_type = Snapshot, inline)]
    snapshot: Overrides,
    /// Who made the change: an e-mail address where there is one, else the id of the token.
    #[schema(required)]
    created_by: Option<String>,
    #[schema(required)]
    note: Option<String>,
    #[schema(required)]
    created_at: Option<String>,
}

/// What the smith overrides. What is not in here is its agent's.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
struct Snapshot {
    instructions: Option<String>,
    model: Option<String>,
    #[schema(required = false)]
    enabled_hosted_tools: Vec<String>,
    #[schema(required = false)]
    vector_store_ids: Vec<String>,
    mcp_servers: Option<Vec<String>>,
    skills: Option<Vec<SkillRef>>,
    auto_memory: Option<bool>,
    memory_consolidation: Option<bool>,
    tools: Option<Vec<String>>,
}

impl From<Revision> for SmithRevisionOut {
    fn from(revision: Revision) -> Self {
        let by = revision.actor.map(|actor| [actor.email, actor.token_id]);
        let by = by.and_then(|names| names.into_iter().find(|name| !name.is_empty()));
        Self {
            version: revision.number,
            snapshot: revision.overrides,
            created_by: by,
            note: revision.note,
            created_at: Some(revision.created_at.to_string()),
        }
    }
}
