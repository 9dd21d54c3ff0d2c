//! A small JSON value that conforms to a JSON Schema, for structured answers that a script does not spell out.

use std::cell::Cell;

use serde_json::{Map, Number, Value};

/// How deep a value is built; recursive schemas end here.
const MAX_DEPTH: usize = 24;

/// How many items or characters are made where a schema asks for many.
const MAX_LENGTH: u64 = 256;

/// How many bytes of values and schemas are copied at most, so that a short schema cannot ask for a huge value.
const MAX_BYTES: usize = 1024 * 1024;

/// What a value counts for beside its text.
const NODE_BYTES: usize = 16;

/// The text where a schema wants any text.
const TEXT: &str = "scripted";

/// Builds a value for the schema: required properties only, first choices, smallest numbers.
///
/// Knows the keywords that structured output is used with. A `pattern` or a `not` may still be missed.
pub(crate) fn instance(schema: &Value) -> Value {
    Builder { root: schema, left: Cell::new(MAX_BYTES) }.build(schema, 0)
}

struct Builder<'a> {
    root: &'a Value,
    left: Cell<usize>,
}

impl Builder<'_> {
    fn build(&self, schema: &Value, depth: usize) -> Value {
        if !self.spend(NODE_BYTES) || depth > MAX_DEPTH {
            return Value::Null;
        }
        let deeper = depth.saturating_add(1);
        let first =
            |keyword: &str| schema.get(keyword).and_then(Value::as_array).and_then(|list| list.first());
        if let Some(value) = schema.get("const").or_else(|| schema.get("default")).or_else(|| first("enum")) {
            return if self.spend(value.to_string().len()) { value.clone() } else { Value::Null };
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|name| self.referred(name))
        {
            return self.build(target, deeper);
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.composed(schema, parts, deeper);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(choice) = first(keyword) {
                return self.composed(schema, std::slice::from_ref(choice), deeper);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, deeper),
            "array" => self.array(schema, deeper),
            "string" => {
                let text = text(schema);
                if self.spend(text.len()) { text.into() } else { Value::Null }
            }
            "integer" | "number" => number(schema),
            "boolean" => false.into(),
            _ => Value::Null,
        }
    }

    /// Takes from what may still be copied. False: nothing is left.
    fn spend(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or_default());
        left.is_some()
    }

    fn composed(&self, schema: &Value, parts: &[Value], depth: usize) -> Value {
        let parts: Vec<_> = parts.iter().map(|part| self.followed(part)).collect();
        let copied: usize = parts.iter().map(|part| part.to_string().len()).sum();
        if !self.spend(copied.saturating_add(schema.to_string().len())) {
            return Value::Null;
        }
        self.build(&merged(schema, &parts), depth)
    }

    fn referred(&self, name: &str) -> Option<&Value> {
        self.root.pointer(name.strip_prefix('#')?)
    }

    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        schema.get("$ref").and_then(Value::as_str).and_then(|name| self.referred(name)).unwrap_or(schema)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        names
            .filter_map(Value::as_str)
            .take_while(|name| self.spend(name.len().saturating_add(NODE_BYTES)))
            .map(|name| {
                let property = schema.get("properties").and_then(|properties| properties.get(name));
                (
                    name.to_owned(),
                    property.map_or_else(|| TEXT.into(), |property| self.build(property, depth)),
                )
            })
            .collect::<Map<_, _>>()
            .into()
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let tuple =
            schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or_default().min(MAX_LENGTH);
        let least = usize::try_from(least).unwrap_or_default();
        (0..least)
            .take_while(|_| self.spend(NODE_BYTES))
            .map(|index| {
                let item = tuple.get(index).or_else(|| schema.get("items"));
                item.map_or_else(|| TEXT.into(), |item| self.build(item, depth))
            })
            .collect()
    }
}

/// Puts the parts of a composed schema beside its own keywords; properties and required names are joined.
fn merged(schema: &Value, parts: &[&Value]) -> Value {
    let mut whole = schema.as_object().cloned().unwrap_or_default();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        whole.remove(keyword);
    }
    for (keyword, value) in parts.iter().filter_map(|part| part.as_object()).flatten() {
        match (whole.get_mut(keyword), value) {
            (Some(Value::Object(own)), Value::Object(other)) if keyword == "properties" => {
                own.extend(other.iter().map(|(name, schema)| (name.clone(), schema.clone())));
            }
            (Some(Value::Array(own)), Value::Array(other)) if keyword == "required" => {
                own.extend(other.iter().cloned());
            }
            _ => {
                whole.insert(keyword.clone(), value.clone());
            }
        }
    }
    whole.into()
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        // `["string", "null"]` is how a property is made optional: something is more telling than nothing.
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() || schema.get("required").is_some() => "object",
        _ if schema.get("items").is_some() || schema.get("prefixItems").is_some() => "array",
        _ => "string",
    }
}

fn text(schema: &Value) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2000-01-01T00:00:00Z",
        Some("date") => "2000-01-01",
        Some("time") => "00:00:00Z",
        Some("duration") => "PT0S",
        Some("email") => "scripted@example.com",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "uri-reference" | "iri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => TEXT,
    };
    let length = |keyword| schema.get(keyword).and_then(Value::as_u64).map(|length| length.min(MAX_LENGTH));
    let least = usize::try_from(length("minLength").unwrap_or_default()).unwrap_or_default();
    let mut text: String = text.to_owned();
    text.extend(std::iter::repeat_n('.', least.saturating_sub(text.chars().count())));
    if let Some(most) = length("maxLength") {
        text = text.chars().take(usize::try_from(most).unwrap_or_default()).collect();
    }
    text
}

/// Finds the number nearest to zero that the bounds allow; a multiple where one is asked for.
fn number(schema: &Value) -> Value {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let is_integer = kind(schema) == "integer";
    let step = bound("multipleOf").filter(|step| *step > 0.0).or(is_integer.then_some(1.0));
    let mut value: f64 = 0.0;
    if let Some(least) = bound("minimum").filter(|least| value < *least) {
        value = step.map_or(least, |step| (least / step).ceil() * step);
    }
    if let Some(below) = bound("exclusiveMinimum").filter(|below| value <= *below) {
        value = step.map_or(below + 1.0, |step| ((below / step).floor() + 1.0) * step);
    }
    if let Some(most) = bound("maximum").filter(|most| value > *most) {
        value = step.map_or(most, |step| (most / step).floor() * step);
    }
    if let Some(above) = bound("exclusiveMaximum").filter(|above| value >= *above) {
        value = match (step, bound("minimum").or(bound("exclusiveMinimum"))) {
            (Some(step), _) => ((above / step).ceil() - 1.0) * step,
            (None, Some(least)) => f64::midpoint(least, above),
            (None, None) => above - 1.0,
        };
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of an integer schema; the cast saturates"
    )]
    if is_integer || value.fract() == 0.0 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, expected: &Value) {
        let made = instance(schema);
        assert_eq!(made, *expected);
        assert!(jsonschema::is_valid(schema, &made), "{made} does not conform to {schema}");
    }

    #[test]
    fn required_properties_are_filled_by_their_type() {
        check(
            &json!({"type": "object", "additionalProperties": false, "required": ["a", "b", "c", "d", "e"], "properties": {
                "a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": ["null", "boolean"]},
                "d": {"type": "array", "items": {"type": "string"}}, "e": {"enum": ["red", "green"]},
                "left_out": {"type": "string"},
            }}),
            &json!({"a": "scripted", "b": 0, "c": false, "d": [], "e": "red"}),
        );
        check(&json!({"type": "object"}), &json!({}));
    }

    #[test]
    fn bounds_are_kept() {
        check(&json!({"type": "integer", "minimum": 5}), &json!(5));
        check(&json!({"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4}), &json!(8));
        check(&json!({"type": "integer", "maximum": -3}), &json!(-3));
        check(&json!({"type": "number", "minimum": 0.5, "maximum": 1}), &json!(0.5));
        check(&json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}), &json!(0.5));
        check(&json!({"type": "string", "minLength": 10}), &json!("scripted.."));
        check(&json!({"type": "string", "maxLength": 3}), &json!("scr"));
        check(&json!({"type": "array", "minItems": 2, "items": {"type": "null"}}), &json!([null, null]));
    }

    #[test]
    fn references_and_compositions_are_followed() {
        let person =
            json!({"type": "object", "required": ["name"], "properties": {"name": {"const": "Ada"}}});
        check(
            &json!({"$defs": {"person": person}, "type": "object", "required": ["who"],
                "properties": {"who": {"$ref": "#/$defs/person"}}}),
            &json!({"who": {"name": "Ada"}}),
        );
        check(
            &json!({"$defs": {"person": person}, "allOf": [{"$ref": "#/$defs/person"},
                {"required": ["age"], "properties": {"age": {"type": "integer", "minimum": 1}}}]}),
            &json!({"name": "Ada", "age": 1}),
        );
        check(&json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), &json!(0));
    }

    #[test]
    fn a_schema_that_never_ends_still_gives_a_value() {
        let endless = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
        assert!(instance(&endless).is_object());
        assert!(instance(&json!({"$ref": "#"})).is_null());
    }

    #[test]
    fn a_short_schema_cannot_ask_for_a_huge_value() {
        let again = json!({"type": "array", "minItems": 256, "items": {"$ref": "#"}});
        assert!(instance(&again).to_string().len() < MAX_BYTES);
        let growing = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "required": ["a"], "properties": {"a": {"$ref": "#"}}});
        assert!(instance(&growing).to_string().len() < MAX_BYTES);
    }
}
