//! What a request of the OpenAI surface lays over a smith's configuration, for one run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::items::Item;
use crate::tools::RequestServer;

/// What one run does otherwise than its smith's configuration says. Runs of the native surface have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// Added behind the smith's own instructions.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// The conversation that the request brought along; the run's input follows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Item>,
    /// Functions that the caller carries out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<FunctionTool>,
    /// MCP servers whose tools this server calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<RequestServer>,
    #[serde(skip_serializing_if = "ToolChoice::is_auto")]
    pub tool_choice: ToolChoice,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<Effort>,
    /// That the model is to let its thinking be seen, where its provider has to be asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Sampling parameters in OpenAI's names; each provider is given those that it knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub sampling: Map<String, Value>,
    /// What an answer of the same surface shows again of the request.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub echo: Map<String, Value>,
}

impl Overlay {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Tells whether the request brings tools along. Then the model is given no others.
    pub fn brings_tools(&self) -> bool {
        !self.tools.is_empty() || !self.servers.is_empty()
    }
}

/// A function that the caller of a run carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionTool {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of the arguments.
    pub parameters: Value,
    #[serde(default)]
    pub strict: bool,
}

/// Whether a model may, must not or must call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

impl ToolChoice {
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// Tells whether an answer that makes these calls is one that was asked for.
    pub fn is_met_by<'a>(&self, mut called: impl Iterator<Item = &'a str>) -> bool {
        match self {
            Self::Auto | Self::None => true,
            Self::Required => called.next().is_some(),
            Self::Named(name) => called.any(|other| other == name),
        }
    }
}

/// How hard a model is to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    #[serde(rename = "xhigh")]
    ExtraHigh,
}

impl Effort {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "minimal" => Some(Self::Minimal),
            "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" => Some(Self::High),
            "xhigh" => Some(Self::ExtraHigh),
            _ => None,
        }
    }
}

/// How much of a model's thinking is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Summary {
    Auto,
    Concise,
    Detailed,
}

impl Summary {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "concise" => Some(Self::Concise),
            "detailed" => Some(Self::Detailed),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Concise => "concise",
            Self::Detailed => "detailed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_overlay_that_says_nothing_is_stored_as_nothing() {
        assert_eq!(serde_json::to_value(Overlay::default()).unwrap(), json!({}));
        assert!(serde_json::from_value::<Overlay>(json!({})).unwrap().is_empty());
    }

    #[test]
    fn a_choice_is_met_by_the_calls_that_it_asks_for() {
        let met = |choice: ToolChoice, called: &[&str]| choice.is_met_by(called.iter().copied());
        assert!(met(ToolChoice::Auto, &[]) && met(ToolChoice::None, &[]));
        assert!(!met(ToolChoice::Required, &[]) && met(ToolChoice::Required, &["a"]));
        assert!(
            !met(ToolChoice::Named("b".into()), &["a"]) && met(ToolChoice::Named("b".into()), &["a", "b"])
        );
    }
}
