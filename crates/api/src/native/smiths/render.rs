//! How a smith is shown.

use std::borrow::Cow;
use std::sync::Arc;

use domain::Timestamp;
use domain::ids::{AgentId, CustomerId, SmithId};
use domain::smiths::Config;
use serde::Serialize;
use serde_json::{Map, Value};
use store::smiths::SmithRecord;
use utoipa::ToSchema;

use super::body::SkillRef;

/// A smith with its effective configuration.
#[derive(Serialize, ToSchema)]
pub(crate) struct SmithOut {
    #[schema(value_type = String)]
    id: SmithId,
    #[schema(required)]
    external_id: Option<String>,
    #[schema(required)]
    display_name: Option<String>,
    #[schema(required)]
    locale: Option<String>,
    #[schema(required)]
    timezone: Option<String>,
    #[schema(value_type = Option<String>, required)]
    customer_id: Option<CustomerId>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// `default` where no choice was made.
    model: String,
    /// The template.
    instructions: String,
    /// The template with its variables filled in; null when one that is required has no value.
    #[schema(required)]
    rendered_instructions: Option<String>,
    enabled_hosted_tools: Vec<String>,
    vector_store_ids: Vec<String>,
    /// Null: all registered servers.
    #[schema(required)]
    mcp_servers: Option<Vec<String>>,
    #[schema(value_type = Vec<SkillRef>)]
    skills: Vec<Value>,
    auto_memory: bool,
    memory_consolidation: bool,
    #[schema(required)]
    tools: Option<Vec<String>>,
    config_source: ConfigSource,
    #[schema(value_type = Option<String>, required)]
    agent_id: Option<AgentId>,
    #[schema(required)]
    agent_version: Option<u32>,
    #[schema(required)]
    pin: Option<u32>,
    override_keys: Vec<String>,
    #[schema(required)]
    inherited: Option<InheritedConfig>,
    created_at: String,
}

/// Whether the smith departs from its agent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConfigSource {
    Agent,
    Override,
}

/// What each override would revert to.
#[derive(Serialize, ToSchema)]
struct InheritedConfig {
    model: String,
    #[schema(required)]
    instructions: Option<String>,
    enabled_hosted_tools: Vec<String>,
    vector_store_ids: Vec<String>,
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
}

impl From<Config> for InheritedConfig {
    fn from(base: Config) -> Self {
        Self {
            model: base.shown_model().to_owned(),
            instructions: base.instructions,
            enabled_hosted_tools: base.enabled_hosted_tools,
            vector_store_ids: base.vector_store_ids,
            mcp_servers: base.mcp_servers,
            skills: base.skills,
            auto_memory: base.auto_memory,
            memory_consolidation: base.memory_consolidation,
            tools: base.tools,
        }
    }
}

impl SmithOut {
    /// Shows a smith. `now` is for instructions that tell the time.
    pub(crate) fn of(smith: SmithRecord, now: Timestamp) -> Self {
        let effective = smith.effective();
        // What keeps a run from starting is told when one is started; the smith is shown all the same.
        let rendered_instructions = smith.render(&effective, now).ok().map(Cow::into_owned);
        let model = effective.shown_model().to_owned();
        let instructions = effective.instructions.unwrap_or_default();
        let config_source =
            if smith.overrides.is_empty() { ConfigSource::Agent } else { ConfigSource::Override };
        Self {
            id: smith.id,
            external_id: smith.external_id,
            display_name: smith.profile.display_name,
            locale: smith.profile.locale,
            timezone: smith.profile.timezone,
            customer_id: smith.customer,
            metadata: smith.profile.metadata,
            model,
            instructions,
            rendered_instructions,
            enabled_hosted_tools: effective.enabled_hosted_tools,
            vector_store_ids: effective.vector_store_ids,
            mcp_servers: effective.mcp_servers,
            skills: effective.skills,
            auto_memory: effective.auto_memory.unwrap_or_default(),
            memory_consolidation: effective.memory_consolidation.unwrap_or_default(),
            tools: effective.tools,
            config_source,
            agent_id: Some(smith.agent),
            agent_version: smith.agent_version,
            pin: smith.pin,
            override_keys: smith.overrides.keys(),
            inherited: Some(Arc::unwrap_or_clone(smith.base).into()),
            created_at: smith.created_at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
