//! What a run's model may call: tools of all sources under one set of names, and the plan for each call.

mod brought;
mod gather;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::ids::{McpServerId, ProjectToolId};
use domain::overlay::FunctionTool;
use domain::run::Call;
use domain::tools::{Annotations, Gate, Identity};
use serde_json::Value;

pub(crate) use gather::{Gathered, Requested, Retry};
pub(crate) use plan::{Repetition, fits, tell_apart};

/// How long a name of a tool may be for every provider.
const NAME: usize = 64;

/// A tool that a model may call.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// As the model knows it.
    pub(crate) name: String,
    pub(crate) description: String,
    /// The JSON Schema of the arguments.
    pub(crate) schema: Value,
    /// Whether the provider is to hold the model to the schema.
    pub(crate) is_strict: bool,
    pub(crate) annotations: Annotations,
    /// That a human must agree to each call.
    pub(crate) gate: Option<Gate>,
    /// How long a human may take over what the tool asks in the middle of a call, and what a refusal means.
    pub(crate) asks: Gate,
    pub(crate) source: Source,
}

/// Where a tool comes from, and what carrying out its calls takes.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Hosted {
        function: String,
    },
    Webhook {
        id: ProjectToolId,
        tool: String,
        target: Arc<tools::webhook::Target>,
    },
    External {
        id: ProjectToolId,
        tool: String,
    },
    Mcp {
        id: McpServerId,
        registration: String,
        tool: String,
        server: Arc<tools::mcp::Server>,
    },
    /// Of an MCP server that the request brings along.
    Request {
        label: String,
        tool: String,
        server: Arc<tools::mcp::Server>,
    },
    /// A function of the request, for its caller to carry out.
    Client {
        function: String,
    },
}

impl Source {
    /// The tool's own name at its source.
    pub(crate) fn tool(&self) -> &str {
        match self {
            Self::Hosted { function } | Self::Client { function } => function,
            Self::Webhook { tool, .. }
            | Self::External { tool, .. }
            | Self::Mcp { tool, .. }
            | Self::Request { tool, .. } => tool,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Hosted { function } => Identity::Hosted { function: function.clone() },
            Self::Client { function } => Identity::Client { function: function.clone() },
            Self::Webhook { id, .. } | Self::External { id, .. } => Identity::Project { id: *id },
            Self::Mcp { id, tool, .. } => Identity::Mcp { server: *id, tool: tool.clone() },
            Self::Request { label, tool, .. } => {
                Identity::Request { label: label.clone(), tool: tool.clone() }
            }
        }
    }

    /// What a name is preceded by that another source has too.
    fn prefix(&self) -> &str {
        match self {
            Self::Hosted { .. } => "hosted",
            Self::Client { .. } => "client",
            Self::Webhook { .. } | Self::External { .. } => "project",
            Self::Mcp { registration, .. } => registration,
            Self::Request { label, .. } => label,
        }
    }
}

impl Offer {
    pub(crate) fn as_model_sees_it(&self) -> models::Tool {
        models::Tool {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.schema.clone(),
            strict: self.is_strict,
        }
    }
}

/// The tools of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toolbox {
    offers: Vec<Offer>,
}

impl Toolbox {
    /// Gives every tool a name of its own. Names that sources have in common get the source in front, all of them.
    pub(crate) fn new(offers: Vec<Offer>) -> Self {
        Self::beside(Vec::new(), offers)
    }

    /// The same, beside tools that keep the names that they have.
    fn beside(named: Vec<Offer>, mut offers: Vec<Offer>) -> Self {
        let mut sources: HashMap<String, usize> = HashMap::new();
        for name in named.iter().map(|offer| offer.name.clone()) {
            *sources.entry(name).or_default() += 1;
        }
        for offer in &offers {
            *sources.entry(clean(offer.source.tool())).or_default() += 1;
        }
        let mut taken: HashSet<String> = named.iter().map(|offer| offer.name.clone()).collect();
        for offer in &mut offers {
            let bare = clean(offer.source.tool());
            let is_shared = sources.get(&bare).is_some_and(|count| *count > 1);
            let name = if is_shared { clean(&format!("{}_{bare}", offer.source.prefix())) } else { bare };
            let mut own = name.clone();
            let mut number = 1_usize;
            // Only names that were cut or cleaned can still meet, and a numbered one may be another tool's own.
            while !taken.insert(own.clone()) {
                number += 1;
                own = numbered(&name, number);
            }
            offer.name = own;
        }
        Self { offers: named.into_iter().chain(offers).collect() }
    }

    /// Makes what a request brings along the only tools. Functions keep their names, which their caller knows.
    pub(crate) fn of_request(functions: &[FunctionTool], others: Vec<Offer>) -> Self {
        let offers = functions.iter().cloned().map(|function| Offer {
            name: function.name.clone(),
            description: function.description,
            schema: function.parameters,
            is_strict: function.strict,
            annotations: Annotations::default(),
            gate: None,
            asks: Gate::default(),
            source: Source::Client { function: function.name },
        });
        Self::beside(offers.collect(), others)
    }

    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.name == name)
    }

    /// Finds the tool that a call was planned for. It may be gone by now, and another one have its name.
    pub(crate) fn of(&self, call: &Call) -> Option<&Offer> {
        let Some(tool) = &call.plan.tool else { return self.find(&call.call.name) };
        self.offers.iter().find(|offer| offer.source.identity() == *tool)
    }

    /// Finds the tool of a call that was planned with other tools than these, or says why the call cannot be made any more.
    pub(crate) fn take_up(&self, call: &Call) -> Result<&Offer, String> {
        let gone = "The tool is not there any more. Answer without it.";
        let offer = self.of(call).ok_or(gone)?;
        // Its schema may be another one by now.
        offer.accept(&call.args)?;
        Ok(offer)
    }
}

/// Makes a name that every provider takes: letters, digits, `_` and `-`, at most 64 of them.
fn clean(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = name.chars().take(NAME).map(allowed).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

fn numbered(name: &str, number: usize) -> String {
    let end = format!("_{number}");
    let head: String = name.chars().take(NAME.saturating_sub(end.len())).collect();
    head + &end
}
