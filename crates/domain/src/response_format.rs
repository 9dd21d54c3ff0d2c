//! Structured output: what form an answer must have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problems::{Code, Problem};

/// The form that an answer must have. `text` asks for nothing and is represented as no format at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    JsonObject,
    JsonSchema { name: String, schema: Value, strict: bool },
}

/// Reads `response_format` in the form of chat completions; `at` is the field's path.
pub fn parse_response_format(value: Option<&Value>, at: &str) -> Result<Option<ResponseFormat>, Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let invalid = |param: String, message: &str| {
        Problem::new(Code::InvalidResponseFormat, message).with_status(422).at(param)
    };
    if !value.is_object() {
        return Err(invalid(at.to_owned(), &format!("`{at}` must be an object with a `type`.")));
    }
    match value.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(ResponseFormat::JsonObject)),
        Some("json_schema") => {
            // The Responses dialect has the fields beside `type`, chat completions nest them.
            let nested = value.get("json_schema").unwrap_or(value);
            let Some(schema) = nested.get("schema").filter(|schema| schema.is_object()) else {
                return Err(invalid(
                    format!("{at}.json_schema.schema"),
                    "`schema` must be a JSON Schema object.",
                ));
            };
            let given = |key: &str| nested.get(key).filter(|value| !value.is_null());
            let name = match given("name") {
                None => "response",
                Some(name) => name.as_str().filter(|name| is_name(name)).ok_or_else(|| {
                    invalid(
                        format!("{at}.json_schema.name"),
                        "`name` must have 1 to 64 letters, digits, `_` and `-`.",
                    )
                })?,
            };
            let strict = match given("strict") {
                None => false,
                Some(strict) => strict.as_bool().ok_or_else(|| {
                    invalid(format!("{at}.json_schema.strict"), "`strict` must be `true` or `false`.")
                })?,
            };
            Ok(Some(ResponseFormat::JsonSchema { name: name.to_owned(), schema: schema.clone(), strict }))
        }
        _ => Err(invalid(format!("{at}.type"), "`type` must be `text`, `json_object` or `json_schema`.")),
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_asks_for_nothing() {
        assert_eq!(parse_response_format(None, "response_format").unwrap(), None);
        assert_eq!(parse_response_format(Some(&json!({"type": "text"})), "response_format").unwrap(), None);
    }

    #[test]
    fn both_dialects_of_a_schema_are_read() {
        let nested =
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
        let flat = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}});
        assert_eq!(
            parse_response_format(Some(&nested), "f").unwrap(),
            parse_response_format(Some(&flat), "f").unwrap()
        );
    }

    #[test]
    fn an_unknown_form_is_named() {
        let refusal = parse_response_format(Some(&json!({"type": "xml"})), "response_format").unwrap_err();
        assert_eq!((refusal.code, refusal.status), (Code::InvalidResponseFormat, 422));
        assert_eq!(refusal.param.as_deref(), Some("response_format.type"));
        for no_object in [json!("json_object"), json!(7), json!([{"type": "json_object"}])] {
            let refusal = parse_response_format(Some(&no_object), "response_format").unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some("response_format"));
            assert_eq!(refusal.message, "`response_format` must be an object with a `type`.");
        }
        for (field, value) in [("name", json!("two words")), ("strict", json!("yes"))] {
            let format = json!({"type": "json_schema", "json_schema": {"schema": {}, field: value}});
            let refusal = parse_response_format(Some(&format), "f").unwrap_err();
            assert_eq!(refusal.param, Some(format!("f.json_schema.{field}")));
        }
    }
}
