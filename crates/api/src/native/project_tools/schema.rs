//! What is asked of the schema of a tool's arguments.

use domain::{Code, Problem, schemas};
use serde_json::Value;

/// How much of what a schema is refused for is repeated, in characters.
const LONGEST_REASON: usize = 300;

/// Refuses what is no JSON Schema of an object, is not whole in itself, takes unbounded work, or has more than `limit` bytes.
pub(super) fn check(schema: &Value, limit: usize, param: &str) -> Result<(), Problem> {
    let refuse = |message: String| Err(Problem::new(Code::SchemaError, message).at(param));
    if schema.to_string().len() > limit {
        return refuse(format!("The JSON Schema may have at most {limit} bytes."));
    }
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return refuse(
            "The arguments of a tool are an object: the `type` of the schema must be `object`.".to_owned(),
        );
    }
    if refers_elsewhere(schema) {
        return refuse(
            "A `$ref` must lead to a place in the same schema, such as `#/$defs/order`: other documents are not fetched."
                .to_owned(),
        );
    }
    // Before it is compiled, which follows the same references.
    if !schemas::is_bounded(schema) {
        return refuse(
            "The JSON Schema refers to its parts too often, to itself without end, or to what is not in it."
                .to_owned(),
        );
    }
    match jsonschema::validator_for(schema) {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
            refuse(format!("The JSON Schema is not valid: {reason}"))
        }
    }
}

/// Looks for references out of the document. Values in a schema may look like some: those are let pass.
fn refers_elsewhere(schema: &Value) -> bool {
    match schema {
        Value::Array(schemas) => schemas.iter().any(refers_elsewhere),
        Value::Object(keywords) => keywords.iter().any(|(keyword, value)| match keyword.as_str() {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                value.as_str().is_some_and(|reference| !reference.starts_with('#'))
            }
            "const" | "enum" | "default" | "examples" => false,
            // The keys of these are names that the schema gives, not keywords.
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                value.as_object().is_some_and(|schemas| schemas.values().any(refers_elsewhere))
            }
            _ => refers_elsewhere(value),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: Value) -> Option<String> {
        let problem = check(&schema, 1_000, "input_schema").err()?;
        assert_eq!((problem.code, problem.param.as_deref()), (Code::SchemaError, Some("input_schema")));
        Some(problem.message)
    }

    #[test]
    fn a_schema_of_an_object_is_taken() {
        let remote = "https://schemas.example/order.json";
        for schema in [
            json!({}),
            json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}),
            json!({"type": "object", "$defs": {"n": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/n"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}),
            json!({"properties": {"$ref": {"type": "string"}, "a": {"default": {"$ref": remote}}}}),
        ] {
            assert_eq!(refusal(schema.clone()), None, "{schema}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_said() {
        let remote = json!({"$ref": "https://schemas.example/order.json"});
        for (schema, said) in [
            (json!({"type": "string"}), "`object`"),
            (json!({"type": ["object", "null"]}), "`object`"),
            (json!({"properties": {"a": {"type": "nonsense"}}}), "not valid"),
            (json!({"properties": {"a": {"pattern": "("}}}), "not valid"),
            (json!({"properties": {"a": remote}}), "not fetched"),
            (json!({"properties": {"a": {"anyOf": [{"items": remote}]}}}), "not fetched"),
            (json!({"$defs": {"a": {"$dynamicRef": "other.json"}}}), "not fetched"),
            (json!({"properties": {"a": {"$ref": "#/$defs/missing"}}}), "not in it"),
            (json!({"allOf": [{"$ref": "#"}]}), "without end"),
            (json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}), "too often"),
            (json!({"title": "x".repeat(1_000)}), "1000 bytes"),
        ] {
            let message = refusal(schema.clone()).unwrap_or_else(|| panic!("{schema} was taken"));
            assert!(message.contains(said), "{schema}: {message}");
        }
        assert_eq!(check(&json!({"title": "x"}), 13, "p"), Ok(()));
        assert!(check(&json!({"title": "xy"}), 13, "p").is_err());
    }
}
