//! How much work it is to hold a value against a schema.

use serde_json::Value;

/// How many schemas within a schema may be looked at for one value, each as often as it is referred to.
const MOST: usize = 10_000;
/// How deeply parts may lie in one another, references followed.
const DEEPEST: usize = 200;

/// Keywords whose schemas are about parts of a value, and not about the value itself.
const INWARD: &[&str] = &[
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
];

/// Tells whether holding values against a schema is bounded work.
///
/// A part that is referred to twice by a part that is referred to twice is looked at four times, and so on. Schemas come from
/// tenants, and from servers that they name, so one with too much of that is not used. A schema may refer to itself for the parts
/// of a value, as that of a tree does: once each.
pub fn is_bounded(schema: &Value) -> bool {
    let mut walk = Walk { root: schema, left: MOST, open: vec![(String::new(), false)] };
    walk.visit(schema, 0).is_some()
}

struct Walk<'a> {
    root: &'a Value,
    left: usize,
    /// The places that are being looked at, and whether it is a part of the value by now.
    open: Vec<(String, bool)>,
}

impl Walk<'_> {
    /// Returns how often the schema refers back to itself for the same value; None where the work is not bounded.
    fn visit(&mut self, part: &Value, depth: usize) -> Option<usize> {
        if part.is_object() {
            self.left = self.left.checked_sub(1)?;
        }
        if depth > DEEPEST {
            return None;
        }
        let mut back: usize = 0;
        match part {
            Value::Array(parts) => {
                for part in parts {
                    back = back.saturating_add(self.visit(part, depth + 1)?);
                }
            }
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    back = back.saturating_add(match keyword.as_str() {
                        "$ref" | "$dynamicRef" | "$recursiveRef" => self.follow(value, depth)?,
                        // Looked at where they are referred to.
                        "$defs" | "definitions" => 0,
                        // Values, and not schemas.
                        "const" | "enum" | "default" | "examples" | "required" => 0,
                        keyword if INWARD.contains(&keyword) => self.inward(keyword, value, depth)?,
                        _ => self.visit(value, depth + 1)?,
                    });
                }
            }
            _ => {}
        }
        Some(back)
    }

    fn follow(&mut self, reference: &Value, depth: usize) -> Option<usize> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        if let Some((_, is_within)) = self.open.iter().find(|(open, _)| open == pointer) {
            // For the same value once more would be for ever.
            return is_within.then_some(1);
        }
        let target = self.root.pointer(pointer).or_else(|| anchored(self.root, pointer))?;
        self.open.push((pointer.to_owned(), false));
        let back = self.visit(target, depth + 1);
        self.open.pop();
        back
    }

    /// Looks at the schemas of the parts of a value.
    fn inward(&mut self, keyword: &str, schemas: &Value, depth: usize) -> Option<usize> {
        let before = self.open.clone();
        self.open.iter_mut().for_each(|(_, is_within)| *is_within = true);
        let mut is_bounded = true;
        let mut look = |schema: &Value| {
            // Two ways back for one part would be four for a part of it.
            is_bounded &= self.visit(schema, depth + 1).is_some_and(|back| back <= 1);
        };
        match schemas {
            Value::Object(named) if matches!(keyword, "properties" | "patternProperties") => {
                named.values().for_each(&mut look);
            }
            Value::Array(listed) => listed.iter().for_each(&mut look),
            schema => look(schema),
        }
        self.open = before;
        is_bounded.then_some(0)
    }
}

/// Finds the schema that names itself so.
fn anchored<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(keywords) => {
            let is_named = |keyword: &str| keywords.get(keyword).and_then(Value::as_str) == Some(name);
            if is_named("$anchor") || is_named("$dynamicAnchor") {
                return Some(schema);
            }
            keywords.values().find_map(|inner| anchored(inner, name))
        }
        Value::Array(schemas) => schemas.iter().find_map(|inner| anchored(inner, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Makes a schema each of whose parts refers twice to the next.
    fn doubling(parts: usize) -> Value {
        let twice = |next: usize| {
            let next = json!({"$ref": format!("#/$defs/d{next}")});
            json!({"allOf": [next, next]})
        };
        let mut defs: serde_json::Map<String, Value> =
            (0..parts).map(|part| (format!("d{part}"), twice(part + 1))).collect();
        defs.insert(format!("d{parts}"), json!({"required": ["a"]}));
        json!({"type": "object", "allOf": [{"$ref": "#/$defs/d0"}], "$defs": defs})
    }

    #[test]
    fn schemas_as_people_write_them_are_bounded() {
        let order = json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#/$defs/a"}, "c": {"enum": [{"$ref": 7}]}},
            "$defs": {"a": {"type": "string"}},
        });
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "all": {"items": {"$ref": "#"}}}});
        let json = json!({"$ref": "#/$defs/value", "$defs": {"value": {"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": "#/$defs/value"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
        ]}}});
        let forest =
            json!({"items": {"properties": {"left": {"$ref": "#/items"}, "right": {"$ref": "#/items"}}}});
        let named = json!({"properties": {"a": {"$ref": "#word"}}, "$defs": {"w": {"$anchor": "word", "type": "string"}}});
        for schema in [order, tree, json, forest, named, json!({}), json!(true), doubling(10)] {
            assert!(is_bounded(&schema), "{schema}");
        }
    }

    #[test]
    fn a_schema_is_not_bounded_where_references_multiply_or_lead_nowhere_or_back_at_once() {
        let twice = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        let nowhere = json!({"$ref": "#/$defs/nowhere"});
        let endless = json!({"allOf": [{"$ref": "#"}]});
        for schema in [twice, nowhere, endless, doubling(40)] {
            assert!(!is_bounded(&schema), "{schema}");
        }
    }
}
