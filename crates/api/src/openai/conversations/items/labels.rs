//! Where a tool comes from, as far as it can be told by its name from what is registered.

use std::collections::{HashMap, HashSet};

use domain::Problem;
use domain::items::Item;
use domain::smiths::HOSTED_TOOLS;
use store::ProjectStore;
use store::runs::ThreadRun;

use super::is_own;
use crate::app::App;

const HOSTED: &str = "hosted";
const WEBHOOK: &str = "webhook";

/// Sources by the names of tools.
#[derive(Default)]
pub(super) struct Labels(HashMap<String, String>);

impl Labels {
    /// Finds the sources of the tools that this server has called in some runs.
    pub(super) async fn find(app: &App, project: &ProjectStore, runs: &[ThreadRun]) -> Result<Self, Problem> {
        let mut names = called(runs);
        if names.is_empty() {
            return Ok(Self::default());
        }
        let hosted = HOSTED_TOOLS.iter().filter_map(|bundle| app.tools.hosted.functions(bundle)).flatten();
        for function in hosted {
            names.remove(function.name);
        }
        let mut labels = HashMap::new();
        if names.is_empty() {
            return Ok(Self(labels));
        }
        for (server, _) in project.mcp_servers_for(None).await?.found {
            for tool in server.manifest.iter().flat_map(|manifest| &manifest.tools) {
                let bare = clean(&tool.name);
                for name in [clean(&format!("{}_{bare}", server.name)), bare] {
                    if names.remove(&name) {
                        labels.insert(name, server.name.clone());
                    }
                }
            }
        }
        let wanted: Vec<String> = names.into_iter().collect();
        for (tool, _) in project.project_tools_named(&wanted).await?.found {
            labels.insert(tool.tool.name, WEBHOOK.to_owned());
        }
        Ok(Self(labels))
    }

    /// Names the source of a tool. What is registered no more goes for a tool of this server.
    pub(super) fn of(&self, tool: &str) -> &str {
        self.0.get(tool).map_or(HOSTED, String::as_str)
    }
}

fn called(runs: &[ThreadRun]) -> HashSet<String> {
    let items = runs.iter().flat_map(|run| run.added.iter().map(move |item| (run, item)));
    let calls = items.filter_map(|(run, item)| match item {
        Item::ToolCall(call) if is_own(run, &call.id) => Some(call.name.clone()),
        _ => None,
    });
    calls.collect()
}

/// Writes a name as models are given it.
fn clean(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    name.chars().take(64).map(allowed).collect()
}
