//! MCP servers that a request brings along, for one run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Gate, ManifestTool, OnReject};

/// An MCP server as a request describes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestServer {
    /// What the request calls it. Its answers do, too.
    pub label: String,
    pub url: String,
    /// Sent with each call of the server; credentials are among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The tools that may be used. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<ToolFilter>,
    #[serde(default)]
    pub consent: Consent,
}

impl RequestServer {
    pub fn is_enabled(&self, tool: &ManifestTool) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.matches(tool))
    }

    /// Returns what stands before a call of the tool. A model that is refused something goes on without it: no request can
    /// say otherwise, and clients expect an answer.
    pub fn gate(&self, tool: &ManifestTool) -> Option<Gate> {
        self.consent.is_needed(tool).then(Self::asks)
    }

    /// How long a human may take over what a tool asks, and what a refusal means.
    pub fn asks() -> Gate {
        Gate { on_reject: OnReject::Continue, ..Gate::default() }
    }
}

impl fmt::Debug for RequestServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses and headers hold secrets.
        formatter.debug_struct("RequestServer").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Some of a server's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFilter {
    /// None: whatever their names are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Only those that say that they change nothing, or only the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

impl ToolFilter {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn matches(&self, tool: &ManifestTool) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(&tool.name))
            && self.read_only.is_none_or(|read_only| read_only == tool.annotations.read_only)
    }
}

/// Which tools of a server need a human's consent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    #[default]
    Always,
    Never,
    /// Those of `always` do, those of `never` do not; all others do.
    Some {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        always: Option<ToolFilter>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        never: Option<ToolFilter>,
    },
}

impl Consent {
    fn is_needed(&self, tool: &ManifestTool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Some { always, never } => {
                let is_in =
                    |filter: &Option<ToolFilter>| filter.as_ref().is_some_and(|filter| filter.matches(tool));
                // A filter that says nothing frees nothing.
                let frees = never.as_ref().is_some_and(|filter| !filter.is_empty());
                is_in(always) || !frees || !is_in(never)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::Annotations;

    fn tool(name: &str, read_only: bool) -> ManifestTool {
        let annotations = Annotations { read_only, ..Annotations::default() };
        ManifestTool { name: name.into(), description: None, input_schema: json!({}), annotations }
    }

    fn server(consent: Consent, allowed: Option<ToolFilter>) -> RequestServer {
        let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer hush".to_owned())]);
        RequestServer {
            label: "a".into(),
            url: "https://a.example/?key=hush".into(),
            headers,
            allowed,
            consent,
        }
    }

    fn named(names: &[&str]) -> ToolFilter {
        ToolFilter { names: Some(names.iter().map(|name| (*name).to_owned()).collect()), read_only: None }
    }

    #[test]
    fn consent_is_needed_unless_the_request_says_otherwise() {
        let gated = |consent: Consent, tool: &ManifestTool| server(consent, None).gate(tool).is_some();
        assert!(gated(Consent::default(), &tool("a", true)));
        assert!(!gated(Consent::Never, &tool("a", false)));
        let some = |always, never| Consent::Some { always, never };
        assert!(!gated(some(None, Some(named(&["a"]))), &tool("a", false)));
        assert!(gated(some(None, Some(named(&["a"]))), &tool("b", false)));
        assert!(
            gated(some(Some(named(&["a"])), Some(named(&["a"]))), &tool("a", false)),
            "the stricter wins"
        );
        assert!(gated(some(None, Some(ToolFilter::default())), &tool("a", true)), "it frees nothing");
        let read_only = ToolFilter { names: None, read_only: Some(true) };
        assert!(!gated(some(None, Some(read_only.clone())), &tool("a", true)));
        assert!(gated(some(None, Some(read_only)), &tool("a", false)));
    }

    #[test]
    fn a_list_of_tools_shuts_all_others_out() {
        let enabled = |allowed| server(Consent::Never, allowed).is_enabled(&tool("a", false));
        assert!(enabled(None) && enabled(Some(named(&["a"]))));
        assert!(!enabled(Some(named(&["b"]))) && !enabled(Some(named(&[]))));
        assert!(!enabled(Some(ToolFilter { names: None, read_only: Some(true) })));
    }

    #[test]
    fn what_it_is_called_with_is_not_shown() {
        let shown = format!("{:?}", server(Consent::Never, None));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
