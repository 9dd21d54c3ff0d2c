//! Structured output: checking a schema before a run is stored, and an answer against it afterwards.

use domain::response_format::ResponseFormat;
use domain::run::Verdict;
use domain::{Code, Problem, schemas};
use serde_json::Value;

/// The media type of an answer that was asked to have a form.
pub(crate) fn content_type(format: Option<&ResponseFormat>) -> Option<String> {
    format.map(|_| "application/json".to_owned())
}

/// Refuses a schema that is none or has more than `limit` bytes, before anything is stored.
pub(crate) fn check(format: &ResponseFormat, limit: usize) -> Result<(), Problem> {
    let ResponseFormat::JsonSchema { schema, .. } = format else { return Ok(()) };
    if schema.to_string().len() > limit {
        let message = format!("The JSON Schema may have at most {limit} bytes.");
        return Err(Problem::new(Code::SchemaError, message).at("response_format.json_schema.schema"));
    }
    if !schemas::is_bounded(schema) {
        let message =
            "The JSON Schema refers to its parts too often, to itself without end, or to what is not in it.";
        return Err(Problem::new(Code::SchemaError, message).at("response_format.json_schema.schema"));
    }
    jsonschema::validator_for(schema).map(|_| ()).map_err(|error| {
        let message = format!("The JSON Schema is not valid: {}", shorten(&error.to_string()));
        Problem::new(Code::SchemaError, message).at("response_format.json_schema.schema")
    })
}

/// Judges whether an answer has the form that was asked for.
pub(crate) fn judge(format: &ResponseFormat, text: &str) -> Verdict {
    let misses = |why: String| Verdict::Misses { why };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return misses(format!("it is not JSON ({error}).")),
    };
    match format {
        ResponseFormat::JsonObject if value.is_object() => Verdict::Conforms,
        ResponseFormat::JsonObject => misses("it is not a JSON object.".to_owned()),
        ResponseFormat::JsonSchema { schema, .. } => {
            let Ok(validator) = jsonschema::validator_for(schema) else {
                return misses("its schema is not valid.".to_owned());
            };
            match validator.iter_errors(&value).next() {
                None => Verdict::Conforms,
                Some(error) => {
                    misses(format!("at `{}`: {}", error.instance_path(), shorten(&error.to_string())))
                }
            }
        }
    }
}

/// An error of a schema quotes the instance, which may be long.
pub(crate) fn shorten(text: &str) -> String {
    const LIMIT: usize = 300;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    let head: String = text.chars().take(LIMIT).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(schema: Value) -> ResponseFormat {
        ResponseFormat::JsonSchema { name: "answer".into(), schema, strict: true }
    }

    #[test]
    fn an_answer_is_judged_by_its_schema() {
        let format = schema(
            json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}),
        );
        assert_eq!(judge(&format, r#"{"city": "Paris"}"#), Verdict::Conforms);
        assert!(matches!(judge(&format, r#"{"city": 7}"#), Verdict::Misses { why } if why.contains("/city")));
        assert!(matches!(judge(&format, "Paris"), Verdict::Misses { .. }));
        assert_eq!(judge(&ResponseFormat::JsonObject, "{}"), Verdict::Conforms);
        assert!(matches!(judge(&ResponseFormat::JsonObject, "[]"), Verdict::Misses { .. }));
    }

    #[test]
    fn a_schema_that_is_not_bounded_is_refused_before_the_run() {
        let refusal = check(&schema(json!({"$ref": "#"})), 100).unwrap_err();
        assert_eq!(refusal.code, Code::SchemaError);
        assert!(refusal.message.contains("to itself without end"), "{refusal:?}");
    }

    #[test]
    fn a_schema_that_is_none_is_refused_before_the_run() {
        let refusal = check(&schema(json!({"type": "nonsense"})), 100).unwrap_err();
        assert_eq!(refusal.code, Code::SchemaError);
        let object = schema(json!({"type": "object"}));
        assert!(check(&object, 17).is_ok());
        assert_eq!(check(&object, 16).unwrap_err().code, Code::SchemaError);
    }
}
