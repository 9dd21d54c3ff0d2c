//! How an agent and its versions are shown.

use domain::agents::Agent;
use domain::ids::AgentId;
use domain::smiths::Config;
use serde::Serialize;
use serde_json::Value;
use store::agents::{AgentRecord, VersionRecord};
use utoipa::ToSchema;

use super::body::AgentVariable;
use crate::native::smiths::SkillRef;
use crate::native::ui_templates::UiResource;

/// An agent with its draft and what is live.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentOut {
    #[schema(value_type = String)]
    id: AgentId,
    /// Null for the default agent.
    #[schema(required)]
    slug: Option<String>,
    name: String,
    is_default: bool,
    draft: AgentDraft,
    /// Null until the first version is published.
    #[schema(required)]
    active_version: Option<u32>,
    /// The version that is being rolled out beside the active one.
    #[schema(required)]
    rollout_version: Option<u32>,
    rollout_percent: u32,
    /// How many live smiths it has.
    smith_count: u64,
    /// When its newest run was created.
    #[schema(required)]
    last_activity_at: Option<String>,
    created_at: String,
    updated_at: String,
}

/// A design as it can be changed, or as a version froze it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentDraft {
    #[schema(required)]
    instructions: Option<String>,
    /// Null: no choice was made.
    #[schema(required)]
    model: Option<String>,
    enabled_hosted_tools: Vec<String>,
    vector_store_ids: Vec<String>,
    /// Null: all registered servers.
    #[schema(required)]
    mcp_servers: Option<Vec<String>>,
    #[schema(value_type = Vec<SkillRef>)]
    skills: Vec<Value>,
    #[schema(required)]
    auto_memory: Option<bool>,
    #[schema(required)]
    memory_consolidation: Option<bool>,
    #[schema(required)]
    tools: Option<Vec<String>>,
    #[schema(value_type = Vec<AgentVariable>)]
    variables: Vec<Value>,
    #[schema(value_type = Vec<UiResource>)]
    ui_resources: Vec<Value>,
}

/// A published version.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentVersionOut {
    version: u32,
    snapshot: AgentDraft,
    /// The id of the token that published it.
    #[schema(required)]
    created_by: Option<String>,
    #[schema(required)]
    note: Option<String>,
    created_at: String,
}

impl From<AgentRecord> for AgentOut {
    fn from(record: AgentRecord) -> Self {
        let Agent { id, slug, name, is_default, draft, live, .. } = record.agent;
        Self {
            id,
            slug,
            name,
            is_default,
            draft: draft.into(),
            active_version: live.active_version,
            rollout_version: live.rollout_version,
            rollout_percent: live.rollout_percent,
            smith_count: record.smith_count,
            last_activity_at: record.last_activity_at.map(|time| time.to_string()),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

impl From<Config> for AgentDraft {
    fn from(config: Config) -> Self {
        Self {
            instructions: config.instructions,
            model: config.model,
            enabled_hosted_tools: config.enabled_hosted_tools,
            vector_store_ids: config.vector_store_ids,
            mcp_servers: config.mcp_servers,
            skills: config.skills,
            auto_memory: config.auto_memory,
            memory_consolidation: config.memory_consolidation,
            tools: config.tools,
            variables: config.variables,
            ui_resources: config.ui_resources,
        }
    }
}

impl From<VersionRecord> for AgentVersionOut {
    fn from(record: VersionRecord) -> Self {
        Self {
            version: record.version,
            snapshot: record.snapshot.into(),
            created_by: record.created_by,
            note: record.note,
            created_at: record.created_at.to_string(),
        }
    }
}
