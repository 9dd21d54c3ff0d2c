//! What the bodies of creating, importing and changing an agent have in common.

use domain::{Code, Problem};
use utoipa::ToSchema;

use crate::extract::Fields;

const LONGEST_NAME: usize = 255;

/// A place in the instructions that is filled in for each smith.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes values that are kept as they came")]
pub(crate) struct AgentVariable {
    name: String,
    default: Option<String>,
    description: Option<String>,
    #[schema(value_type = bool, required = false)]
    required: Option<bool>,
}

/// Describes a body that says something of a design. Null clears a field.
macro_rules! agent_body {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
        struct $name {
            $($(#[$field_meta])* $field: $type,)*
            instructions: Option<String>,
            model: Option<String>,
            enabled_hosted_tools: Option<Vec<String>>,
            vector_store_ids: Option<Vec<String>>,
            /// Null: all registered servers.
            mcp_servers: Option<Vec<String>>,
            skills: Option<Vec<$crate::native::smiths::SkillRef>>,
            auto_memory: Option<bool>,
            memory_consolidation: Option<bool>,
            /// Names of the project's own tools.
            tools: Option<Vec<String>>,
            variables: Option<Vec<$crate::native::agents::body::AgentVariable>>,
        }
    };
}
pub(crate) use agent_body;

/// Reads the name, which an agent has to have.
pub(crate) fn required_name<'a>(fields: &Fields<'a>) -> Result<&'a str, Problem> {
    name(fields)?.ok_or_else(nameless)
}

/// Reads the name, if there is one.
pub(crate) fn name<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, Problem> {
    match fields.text_of("name", 0..=LONGEST_NAME)? {
        Some(name) if name.trim().is_empty() => Err(nameless()),
        name => Ok(name),
    }
}

fn nameless() -> Problem {
    Problem::new(Code::NameRequired, "An agent needs a `name`.").at("name")
}

pub(crate) fn no_agent() -> Problem {
    Problem::not_found("agent")
}
