//! Who carries calls out, as items of this surface name it.

use std::collections::HashMap;

use domain::Problem;
use domain::ids::McpServerId;
use domain::tools::Identity;
use store::ProjectStore;

/// What an MCP server goes for that is registered no more.
const REMOVED: &str = "mcp";

/// The names of the project's MCP servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(HashMap<McpServerId, String>);

impl Labels {
    /// Finds the names of the servers that some tools are of.
    pub(super) async fn find(
        project: &ProjectStore,
        mut tools: impl Iterator<Item = &Identity>,
    ) -> Result<Self, Problem> {
        if !tools.any(|tool| matches!(tool, Identity::Mcp { .. })) {
            return Ok(Self::default());
        }
        let servers = project.mcp_servers_for(None).await?.found;
        Ok(Self(servers.into_iter().map(|(server, _)| (server.id, server.name.clone())).collect()))
    }

    /// Names who carries a tool's calls out: its MCP server, or what else this server has tools from.
    pub(super) fn of<'a>(&'a self, tool: Option<&'a Identity>) -> &'a str {
        match tool {
            Some(Identity::Mcp { server, .. }) => self.0.get(server).map_or(REMOVED, String::as_str),
            Some(Identity::Request { label, .. }) => label,
            Some(Identity::Project { .. }) => "webhook",
            Some(Identity::Hosted { .. } | Identity::Client { .. }) | None => "hosted",
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{Id as _, ProjectToolId};

    use super::*;

    #[test]
    fn a_call_is_labelled_by_what_it_was_planned_for() {
        let (known, gone) = (McpServerId::from_bytes([1; 16]), McpServerId::from_bytes([2; 16]));
        let labels = Labels(HashMap::from([(known, "crm".to_owned())]));
        let mcp = |server| Identity::Mcp { server, tool: "find".into() };
        assert_eq!(labels.of(Some(&mcp(known))), "crm");
        assert_eq!(labels.of(Some(&mcp(gone))), REMOVED);
        let brought = Identity::Request { label: "Dictionary".into(), tool: "find".into() };
        assert_eq!(labels.of(Some(&brought)), "Dictionary");
        assert_eq!(labels.of(Some(&Identity::Project { id: ProjectToolId::from_bytes([1; 16]) })), "webhook");
        assert_eq!(labels.of(Some(&Identity::Hosted { function: "calculate".into() })), "hosted");
        assert_eq!(labels.of(None), "hosted");
    }
}
