//! Settings of a model call that a request brings along.

use domain::overlay::Effort;
use domain::{Code, Problem};
use serde_json::{Map, Value};

use crate::extract::Fields;

/// The sampling parameters of OpenAI and of servers like it. Each provider is given those that it knows.
const SAMPLING: &[&str] = &[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "logit_bias",
    "parallel_tool_calls",
    "service_tier",
    "verbosity",
    "truncation",
    "safety_identifier",
];

/// Picks the sampling parameters out of a request.
pub(crate) fn sampling(fields: &Fields<'_>) -> Map<String, Value> {
    let given = |name: &&str| fields.value(name).map(|value| ((*name).to_owned(), value.clone()));
    let mut sampling: Map<_, _> = SAMPLING.iter().filter_map(given).collect();
    // Responses have it within `text`.
    let verbosity =
        fields.value("text").and_then(|text| text.get("verbosity")).filter(|value| !value.is_null());
    if let Some(verbosity) = verbosity {
        sampling.insert("verbosity".to_owned(), verbosity.clone());
    }
    sampling
}

/// Reads how hard the model is to think; `at` is the path of the field.
pub(crate) fn effort(value: Option<&Value>, at: &str) -> Result<Option<Effort>, Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    value.as_str().and_then(Effort::parse).map(Some).ok_or_else(|| {
        let message = "The effort must be `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.";
        Problem::new(Code::InvalidReasoningEffort, message).at(at)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_that_are_known_are_passed_on_as_they_are() {
        let body = json!({"temperature": 0.5, "stop": ["a"], "seed": null, "unheard_of": 1});
        let picked = sampling(&Fields::of_body(body.as_object().unwrap()));
        assert_eq!(Value::Object(picked), json!({"temperature": 0.5, "stop": ["a"]}));
    }

    #[test]
    fn a_response_names_its_verbosity_within_its_text() {
        let body = json!({"text": {"verbosity": "low", "format": {"type": "text"}}, "truncation": "auto"});
        let picked = sampling(&Fields::of_body(body.as_object().unwrap()));
        assert_eq!(Value::Object(picked), json!({"verbosity": "low", "truncation": "auto"}));
        let body = json!({"text": {"verbosity": null}});
        assert!(sampling(&Fields::of_body(body.as_object().unwrap())).is_empty());
    }

    #[test]
    fn an_effort_is_one_of_six() {
        assert_eq!(effort(Some(&json!("xhigh")), "a").unwrap(), Some(Effort::ExtraHigh));
        assert_eq!(effort(Some(&Value::Null), "a").unwrap(), None);
        for wrong in [json!("most"), json!(7)] {
            let problem = effort(Some(&wrong), "reasoning_effort").unwrap_err();
            assert_eq!(problem.code, Code::InvalidReasoningEffort);
            assert_eq!(problem.param.as_deref(), Some("reasoning_effort"));
        }
    }
}
