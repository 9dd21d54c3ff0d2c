//! What is asked of the schema of a tool's arguments.

use domain::schemas::is_bounded;
use serde_json::Value;

/// The deepest nesting of a schema that is looked at.
const MAX_DEPTH: usize = 64;

/// Why a tool is left out of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    NoObject,
    RemoteReference,
    TooDeep,
    Unbounded,
}

impl Unfit {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoObject => "its arguments are no object",
            Self::RemoteReference => "its schema refers to another document",
            Self::TooDeep => "its schema is nested too deeply",
            Self::Unbounded => {
                "its schema refers to its parts too often, to itself without end, or to what is not in it"
            }
        }
    }
}

/// Checks that a schema is one of an object, whole in itself, and bounded work to hold arguments against.
///
/// A schema that refers to another document would have to be fetched from wherever the server says.
pub(crate) fn check(schema: &Value) -> Result<(), Unfit> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Unfit::NoObject);
    }
    check_schema(schema, 0)?;
    if is_bounded(schema) { Ok(()) } else { Err(Unfit::Unbounded) }
}

fn check_schema(schema: &Value, depth: usize) -> Result<(), Unfit> {
    if depth > MAX_DEPTH {
        return Err(Unfit::TooDeep);
    }
    match schema {
        Value::Array(schemas) => schemas.iter().try_for_each(|schema| check_schema(schema, depth + 1)),
        Value::Object(keywords) => keywords.iter().try_for_each(|(keyword, value)| match keyword.as_str() {
            "$ref" | "$dynamicRef" | "$recursiveRef" => match value.as_str() {
                Some(reference) if !reference.starts_with('#') => Err(Unfit::RemoteReference),
                _ => Ok(()),
            },
            // These hold values, in which a `$ref` means nothing.
            "const" | "enum" | "default" | "examples" | "required" => Ok(()),
            // The keys of these are names that the schema gives, not keywords.
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
            | "dependencies" => {
                let schemas = value.as_object().into_iter().flat_map(|schemas| schemas.values());
                schemas.into_iter().try_for_each(|schema| check_schema(schema, depth + 1))
            }
            _ => check_schema(value, depth + 1),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_properties(properties: Value) -> Result<(), Unfit> {
        check(&json!({"type": "object", "properties": properties}))
    }

    #[test]
    fn arguments_are_an_object() {
        assert_eq!(check(&json!({"type": "object"})), Ok(()));
        for schema in
            [json!({}), json!({"type": "string"}), json!(true), json!(null), json!({"type": ["object"]})]
        {
            assert_eq!(check(&schema), Err(Unfit::NoObject), "{schema}");
        }
    }

    #[test]
    fn a_reference_out_of_the_document_is_found_wherever_it_is() {
        let remote = json!({"$ref": "https://example.com/schema.json"});
        for schema in [
            json!({"a": remote}),
            json!({"a": {"type": "array", "items": remote}}),
            json!({"a": {"anyOf": [{"type": "string"}, remote]}}),
            json!({"default": {"properties": {"$ref": remote}}}),
            json!({"a": {"$dynamicRef": "other.json#meta"}}),
            json!({"a": {"if": {"not": {"prefixItems": [remote]}}}}),
        ] {
            assert_eq!(check_properties(schema.clone()), Err(Unfit::RemoteReference), "{schema}");
        }
        let defs = json!({"type": "object", "$defs": {"a": remote}});
        assert_eq!(check(&defs), Err(Unfit::RemoteReference));
    }

    #[test]
    fn references_within_the_document_and_values_that_look_like_some_are_fine() {
        let defs = json!({"a": {"type": "string"}});
        let properties = json!({"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#"}});
        assert_eq!(check(&json!({"type": "object", "properties": properties, "$defs": defs})), Ok(()));
        let value = json!({"$ref": "https://example.com"});
        assert_eq!(
            check_properties(json!({"a": {"const": value, "enum": [value], "default": value}})),
            Ok(())
        );
        assert_eq!(check_properties(json!({"$ref": {"type": "string"}})), Ok(()));
    }

    #[test]
    fn a_schema_whose_references_multiply_or_lead_nowhere_is_refused() {
        let twice = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]});
        for properties in [json!({"a": twice}), json!({"a": {"$ref": "#/$defs/nowhere"}})] {
            assert_eq!(check_properties(properties), Err(Unfit::Unbounded));
        }
        assert_eq!(check(&json!({"type": "object", "allOf": [{"$ref": "#"}]})), Err(Unfit::Unbounded));
    }

    #[test]
    fn a_schema_without_end_is_refused() {
        let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
        assert_eq!(check_properties(json!({"a": deep})), Err(Unfit::TooDeep));
    }
}
