//! What a model is told of a hosted tool.

use domain::tools::Annotations;
use serde_json::Value;

/// One function that a model can call.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub description: &'static str,
    /// A JSON Schema of an object.
    pub input_schema: Value,
    pub annotations: Annotations,
}

impl Function {
    /// Makes a function that changes nothing, as all hosted ones so far.
    pub(super) fn harmless(name: &'static str, description: &'static str, input_schema: Value) -> Self {
        let annotations = Annotations { read_only: true, idempotent: true, destructive: false };
        Self { name, description, input_schema, annotations }
    }
}

/// A hosted tool as the catalogue shows it: a name that a configuration may enable, and the functions behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostedInfo {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
}
