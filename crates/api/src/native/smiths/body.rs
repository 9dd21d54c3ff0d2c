//! What the bodies of creating and changing a smith have in common.

use domain::ids::AgentId;
use domain::{Code, Problem};
use utoipa::ToSchema;

use crate::extract::{Fields, Given};

/// A skill that a smith has.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct SkillRef {
    skill_id: String,
    /// Left out: the skill's default version.
    #[schema(value_type = u32, required = false, minimum = 1)]
    version: Option<u32>,
}

/// Describes a body that says something of a smith. A field of the configuration overrides the agent's, null inherits it again.
macro_rules! smith_body {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
        struct $name {
            $($(#[$field_meta])* $field: $type,)*
            display_name: Option<String>,
            locale: Option<String>,
            /// The name of an IANA time zone.
            timezone: Option<String>,
            customer_id: Option<String>,
            #[schema(value_type = Option<Object>)]
            metadata: Option<serde_json::Value>,
            agent_id: Option<String>,
            /// The version of the agent to stay on.
            #[schema(minimum = 1)]
            pin: Option<u32>,
            model: Option<String>,
            instructions: Option<String>,
            enabled_hosted_tools: Option<Vec<String>>,
            vector_store_ids: Option<Vec<String>>,
            mcp_servers: Option<Vec<String>>,
            skills: Option<Vec<$crate::native::smiths::body::SkillRef>>,
            auto_memory: Option<bool>,
            memory_consolidation: Option<bool>,
            tools: Option<Vec<String>>,
        }
    };
}
pub(crate) use smith_body;

/// Reads the agent that is named. One that is no id is as unknown as one that nothing has.
pub(crate) fn agent(fields: &Fields<'_>) -> Result<Option<AgentId>, Problem> {
    let Some(text) = fields.text("agent_id")? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| no_agent())
}

/// Reads the version to stay on.
pub(crate) fn pin(fields: &Fields<'_>) -> Result<Given<u32>, Problem> {
    let pin = fields.given("pin", fields.whole("pin", 1..=u64::from(u32::MAX)))?;
    Ok(pin.map(|pin| u32::try_from(pin).unwrap_or(u32::MAX)))
}

/// Checks the customer that is named; `""` and null name none. Returns whether anything was said.
pub(crate) fn customer(fields: &Fields<'_>) -> Result<bool, Problem> {
    match fields.text("customer_id")? {
        None | Some("") => Ok(fields.has("customer_id")),
        // No project has customers yet, so that every id is unknown.
        Some(_) => Err(Problem::not_found("customer").at("customer_id")),
    }
}

pub(crate) fn no_agent() -> Problem {
    Problem::not_found("agent").at("agent_id")
}

pub(crate) fn no_version() -> Problem {
    Problem::not_found("version of the agent").at("pin")
}

pub(crate) fn unpublished() -> Problem {
    let message = "The agent has no version yet. Publish one with POST /v1/agents/{aid}/versions first.";
    Problem::new(Code::AgentUnpublished, message).at("agent_id")
}
