//! Which tool a call is meant for.

use serde::{Deserialize, Serialize};

use crate::ids::{McpServerId, ProjectToolId};

/// Tells a tool from every other one, whatever a model knows them by.
///
/// Names are no identity: a tool can be removed and another one registered under its name, and what a model knows a tool by
/// depends on which others there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Identity {
    /// A function of this server.
    Hosted { function: String },
    /// A function of the request, which its caller carries out.
    Client { function: String },
    /// A tool of the project's own, whoever carries it out.
    Project { id: ProjectToolId },
    /// A tool of an MCP server, by the name that it has there.
    Mcp { server: McpServerId, tool: String },
    /// A tool of an MCP server that the request brings along, which goes by this label there.
    Request { label: String, tool: String },
}
