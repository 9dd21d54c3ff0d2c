//! Compiles schemas of the document on demand and keeps them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

const COMPONENTS: &str = "#/components/schemas/";

/// At most so many violations of one body are told: a wrong list repeats itself.
const MOST_VIOLATIONS: usize = 20;

/// The compiled schemas by their text.
#[derive(Debug, Default)]
pub(super) struct Schemas(Mutex<HashMap<String, Arc<Validator>>>);

/// Returns a reference to a component schema.
pub(super) fn component(name: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}{name}") })
}

impl Schemas {
    pub(super) fn violations(&self, document: &Value, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.compiled(document, schema);
        let errors = validator.iter_errors(value).take(MOST_VIOLATIONS);
        errors
            .map(|error| {
                format!("at {:?}: {}", error.instance_path().as_str(), shortened(&error.to_string()))
            })
            .collect()
    }

    fn compiled(&self, document: &Value, schema: &Value) -> Arc<Validator> {
        let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let validator =
            compiled.entry(schema.to_string()).or_insert_with(|| Arc::new(compile(document, schema)));
        Arc::clone(validator)
    }
}

fn compile(document: &Value, schema: &Value) -> Validator {
    let mut needed = BTreeMap::new();
    collect(document, schema, &mut needed);
    let mut root = schema.as_object().cloned().unwrap_or_default();
    let needed: Map<String, Value> =
        needed.into_iter().map(|(name, schema)| (name, schema.clone())).collect();
    root.insert("components".to_owned(), json!({ "schemas": needed }));
    let compiled = jsonschema::options().with_draft(Draft::Draft202012).build(&Value::Object(root));
    compiled.unwrap_or_else(|error| panic!("a schema of the contract does not compile: {error}: {schema}"))
}

/// Collects the component schemas that a schema refers to, directly or through others.
fn collect<'a>(document: &'a Value, schema: &'a Value, needed: &mut BTreeMap<String, &'a Value>) {
    match schema {
        Value::Object(keys) => {
            let target =
                keys.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(COMPONENTS));
            if let Some(name) = target.filter(|name| !needed.contains_key(*name)) {
                let component = document.pointer(&format!("/components/schemas/{name}"));
                let component = component.unwrap_or_else(|| panic!("the contract has no schema {name}"));
                needed.insert(name.to_owned(), component);
                collect(document, component, needed);
            }
            keys.values().for_each(|inner| collect(document, inner, needed));
        }
        Value::Array(inner) => inner.iter().for_each(|inner| collect(document, inner, needed)),
        _ => {}
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 300 {
        text.to_owned()
    } else {
        text.chars().take(300).chain("...".chars()).collect()
    }
}
