//! What a run's model may call: tools of all sources under one set of names, and the plan for each call.

mod gather;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use domain::overlay::FunctionTool;
use domain::run::Call;
use domain::tools::{Annotations, Gate};
use serde_json::Value;

pub(crate) use gather::{Gathered, Retry};
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
        tool: String,
        target: Arc<tools::webhook::Target>,
    },
    External {
        tool: String,
    },
    /// A function of the request, for its caller to carry out.
    Client {
        function: String,
    },
    Mcp {
        registration: String,
        tool: String,
        server: Arc<tools::mcp::Server>,
    },
}

impl Source {
    /// The tool's own name at its source.
    pub(crate) fn tool(&self) -> &str {
        match self {
            Self::Hosted { function } | Self::Client { function } => function,
            Self::Webhook { tool, .. } | Self::External { tool } | Self::Mcp { tool, .. } => tool,
        }
    }

    /// What a name is preceded by that another source has too.
    fn prefix(&self) -> &str {
        match self {
            Self::Hosted { .. } => "hosted",
            Self::Client { .. } => "client",
            Self::Webhook { .. } | Self::External { .. } => "project",
            Self::Mcp { registration, .. } => registration,
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
    pub(crate) fn new(mut offers: Vec<Offer>) -> Self {
        let mut sources: HashMap<String, usize> = HashMap::new();
        for offer in &offers {
            *sources.entry(clean(offer.source.tool())).or_default() += 1;
        }
        let mut taken: HashMap<String, usize> = HashMap::new();
        for offer in &mut offers {
            let bare = clean(offer.source.tool());
            let is_shared = sources.get(&bare).is_some_and(|count| *count > 1);
            let name = if is_shared { clean(&format!("{}_{bare}", offer.source.prefix())) } else { bare };
            let count = taken.entry(name.clone()).or_default();
            *count += 1;
            // Only names that were cut or cleaned can still meet.
            offer.name = if *count == 1 { name } else { numbered(&name, *count) };
        }
        Self { offers }
    }

    /// Makes the functions of a request the only tools. They keep their names, which their caller knows.
    pub(crate) fn of_client(functions: &[FunctionTool]) -> Self {
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
        Self { offers: offers.collect() }
    }

    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.name == name)
    }

    /// Finds the tool of a call that was planned. It may be gone by now.
    pub(crate) fn of(&self, call: &Call) -> Option<&Offer> {
        self.find(&call.call.name)
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
