//! Arguments that a server wants to see in headers, too (`x-mcp-header` in the schema of a tool).

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::dialect::header_value;

const KEYWORD: &str = "x-mcp-header";

/// The largest whole number that every reader of JSON keeps exact.
const MAX_EXACT: i64 = (1 << 53) - 1;

/// An argument, and the header that repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// The names that lead to the argument, from the outermost.
    path: Vec<String>,
    header: HeaderName,
}

/// The schema marks arguments in a way that the protocol does not allow; the tool has to be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

/// Finds the arguments of a tool that are repeated in headers.
pub(crate) fn mirrored(schema: &Value) -> Result<Vec<Mirrored>, Unfit> {
    let mut found = Vec::new();
    // A mark anywhere else than on a property that `properties` alone lead to makes the whole tool unfit.
    let reached = collect(schema, &mut Vec::new(), &mut found)?;
    if marks(schema) != reached {
        return Err(Unfit);
    }
    for (index, mirrored) in found.iter().enumerate() {
        // Names of headers are kept in lower case, so that this finds those that differ in case, too.
        if found.iter().skip(index + 1).any(|other| other.header == mirrored.header) {
            return Err(Unfit);
        }
    }
    Ok(found)
}

/// Collects the marks that are where they may be, and returns how many there were.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Result<usize, Unfit> {
    let mut count = 0;
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        path.push(name.clone());
        if let Some(mark) = property.get(KEYWORD) {
            let mark = mark.as_str().filter(|mark| !mark.is_empty()).ok_or(Unfit)?;
            let header = HeaderName::from_bytes(format!("mcp-param-{mark}").as_bytes()).map_err(|_| Unfit)?;
            let kind = property.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(Unfit);
            }
            found.push(Mirrored { path: path.clone(), header });
            count += 1;
        }
        count += collect(property, path, found)?;
        path.pop();
    }
    Ok(count)
}

/// Counts all marks, wherever they are.
fn marks(schema: &Value) -> usize {
    match schema {
        Value::Array(schemas) => schemas.iter().map(marks).sum(),
        Value::Object(keywords) => keywords
            .iter()
            .map(|(keyword, value)| match keyword.as_str() {
                KEYWORD => 1,
                // These hold values, in which a mark means nothing.
                "const" | "enum" | "default" | "examples" | "required" => 0,
                // The keys of these are names that the schema gives, not keywords.
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
                | "dependencies" => {
                    value.as_object().into_iter().flat_map(|schemas| schemas.values()).map(marks).sum()
                }
                _ => marks(value),
            })
            .sum(),
        _ => 0,
    }
}

/// Returns the headers that repeat the arguments of a call.
pub(crate) fn headers(mirrored: &[Mirrored], args: &Map<String, Value>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for Mirrored { path, header } in mirrored {
        let mut names = path.iter();
        let outermost = names.next().and_then(|name| args.get(name));
        let value = names.fold(outermost, |value, name| value?.get(name));
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Number(number)) => match whole(number) {
                Some(number) => number.to_string(),
                None => continue,
            },
            _ => continue,
        };
        headers.extend(header_value(&text).map(|value| (header.clone(), value)));
    }
    headers
}

/// Returns a whole number as such, also one that is written with a fraction of zero.
fn whole(number: &serde_json::Number) -> Option<i64> {
    let whole = number.as_i64().or_else(|| {
        let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
        format!("{number:.0}").parse().ok()
    })?;
    (-MAX_EXACT..=MAX_EXACT).contains(&whole).then_some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(properties: Value) -> Value {
        json!({"type": "object", "properties": properties})
    }

    fn sent(properties: Value, args: Value) -> Vec<(String, String)> {
        let mirrored = mirrored(&schema(properties)).unwrap();
        let headers = headers(&mirrored, args.as_object().unwrap());
        let text = |(name, value): (&HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().into())
        };
        headers.iter().map(text).collect()
    }

    #[test]
    fn marked_arguments_are_repeated_nested_ones_too() {
        let properties = json!({
            "region": {"type": "string", "x-mcp-header": "Region"},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
            "where": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
            "query": {"type": "string"},
        });
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            sent(
                properties.clone(),
                json!({"region": "日", "dry": false, "where": {"count": 42.0}, "query": "q"})
            ),
            [
                pair("mcp-param-region", "=?base64?5pel?="),
                pair("mcp-param-dry", "false"),
                pair("mcp-param-count", "42")
            ]
        );
        assert!(
            sent(properties, json!({"region": null, "where": {"count": 9_007_199_254_740_993_i64}}))
                .is_empty()
        );
    }

    #[test]
    fn marks_that_the_protocol_does_not_allow_make_a_tool_unfit() {
        let marked = |mark: Value| json!({"type": "string", "x-mcp-header": mark});
        for properties in [
            json!({"a": marked(json!(""))}),
            json!({"a": marked(json!("a b"))}),
            json!({"a": marked(json!("a\r\nb"))}),
            json!({"a": marked(json!(7))}),
            json!({"a": marked(json!("X")), "b": marked(json!("x"))}),
            json!({"a": {"type": "number", "x-mcp-header": "A"}}),
            json!({"a": {"x-mcp-header": "A"}}),
            json!({"a": {"type": "array", "items": marked(json!("A"))}}),
            json!({"a": {"anyOf": [marked(json!("A"))]}}),
        ] {
            assert_eq!(mirrored(&schema(properties.clone())), Err(Unfit), "{properties}");
        }
        assert_eq!(mirrored(&json!({"type": "object", "x-mcp-header": "A"})), Err(Unfit));
        assert_eq!(mirrored(&json!({"type": "object", "$defs": {"a": marked(json!("A"))}})), Err(Unfit));
    }

    #[test]
    fn a_property_of_that_name_and_values_that_look_like_a_mark_are_none() {
        let properties = json!({"x-mcp-header": {"type": "string", "default": {"x-mcp-header": "A"}}});
        assert_eq!(mirrored(&schema(properties)), Ok(Vec::new()));
    }
}
