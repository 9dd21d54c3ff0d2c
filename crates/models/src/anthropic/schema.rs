//! Schemas that the API holds a model to.

use serde_json::{Map, Value};

/// Bounds that the API refuses in a schema that it holds a model to. The same answer is judged by them afterwards.
const BOUNDS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// The formats of texts that the API knows.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Takes the bounds out of a schema and leaves them to the model in words.
pub(crate) fn without_bounds(schema: &Value) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let (bounds, kept): (Map<_, _>, Map<_, _>) = schema
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .partition(|(key, value)| is_bound(key, value));
    let mut kept: Map<_, _> = kept.into_iter().map(|(key, value)| within(key, value)).collect();
    if !bounds.is_empty() {
        let told = kept.get("description").and_then(Value::as_str).unwrap_or_default();
        let told = format!("{told} {}", Value::Object(bounds));
        kept.insert("description".into(), told.trim_start().into());
    }
    kept.into()
}

fn is_bound(key: &str, value: &Value) -> bool {
    match key {
        "minItems" => !matches!(value.as_u64(), Some(0 | 1)),
        "format" => !value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        key => BOUNDS.contains(&key),
    }
}

/// Goes on where a keyword holds schemas. Names of properties are no keywords, and what an `enum` lists is no schema.
fn within(key: String, value: Value) -> (String, Value) {
    let value = match (key.as_str(), value) {
        ("properties" | "$defs" | "definitions", Value::Object(schemas)) => schemas
            .into_iter()
            .map(|(name, schema)| (name, without_bounds(&schema)))
            .collect::<Map<_, _>>()
            .into(),
        ("anyOf" | "allOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
            schemas.iter().map(without_bounds).collect()
        }
        ("items" | "additionalProperties" | "not", schema) => without_bounds(&schema),
        (_, value) => value,
    };
    (key, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds_are_told_in_words_wherever_they_are() {
        let schema = json!({
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "minimum": 1, "description": "The least."},
                "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/tag"}},
                "kind": {"enum": [{"maximum": 1}]},
            },
            "$defs": {"tag": {"anyOf": [{"type": "string", "maxLength": 9, "format": "password"}, {"type": "null"}]}},
            "required": ["minimum"],
            "additionalProperties": false,
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "description": "The least. {\"minimum\":1}"},
                "tags": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"$ref": "#/$defs/tag"},
                    "description": "{\"maxItems\":3}",
                },
                "kind": {"enum": [{"maximum": 1}]},
            },
            "$defs": {"tag": {"anyOf": [
                {"type": "string", "description": "{\"maxLength\":9,\"format\":\"password\"}"},
                {"type": "null"},
            ]}},
            "required": ["minimum"],
            "additionalProperties": false,
        });
        assert_eq!(without_bounds(&schema), expected);
    }

    #[test]
    fn a_schema_without_bounds_stays_as_it_is() {
        let schema = json!({"type": "array", "minItems": 1, "items": {"type": "string", "format": "date"}});
        assert_eq!(without_bounds(&schema), schema);
        assert_eq!(without_bounds(&json!(true)), json!(true));
    }
}
