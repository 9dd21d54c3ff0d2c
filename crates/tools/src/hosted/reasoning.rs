//! The bundle `reasoning`: room for a model that does not think by itself.

use serde::Deserialize;
use serde_json::json;

use super::Function;
use super::arguments::arguments;
use crate::{Answer, Call};

pub(super) const THINK: &str = "think";
pub(super) const PLAN: &str = "plan";

const MAX_THOUGHT: usize = 20_000;
const MAX_STEPS: usize = 50;
const MAX_STEP: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Think {
    thought: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    steps: Vec<String>,
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::harmless(
            THINK,
            "Notes a thought of yours. It gets no new information and changes nothing; it helps to go through \
             results, rules and options before the next step. The person does not see it.",
            json!({
                "type": "object",
                "properties": {"thought": {"type": "string", "minLength": 1, "maxLength": MAX_THOUGHT}},
                "required": ["thought"],
                "additionalProperties": false,
            }),
        ),
        Function::harmless(
            PLAN,
            "Notes the steps that you are going to take, in their order. Use it before work of several steps, and \
             again where the plan has to change. The person does not see it.",
            json!({
                "type": "object",
                "properties": {
                    "steps": {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1, "maxLength": MAX_STEP},
                        "minItems": 1,
                        "maxItems": MAX_STEPS,
                    },
                },
                "required": ["steps"],
                "additionalProperties": false,
            }),
        ),
    ]
}

pub(super) fn think(call: &Call) -> Answer {
    match arguments::<Think>(call) {
        Ok(Think { thought }) if thought.chars().count() <= MAX_THOUGHT => {
            Answer::text("Noted. Go on with the next step, or answer.")
        }
        Ok(_) => Answer::error(format!("`thought` may have at most {MAX_THOUGHT} characters.")),
        Err(answer) => answer,
    }
}

/// Gives the plan back with numbers, so that later turns can refer to them.
pub(super) fn plan(call: &Call) -> Answer {
    let Plan { steps } = match arguments(call) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    let is_bounded = (1..=MAX_STEPS).contains(&steps.len());
    if !is_bounded || steps.iter().any(|step| step.chars().count() > MAX_STEP) {
        return Answer::error(format!(
            "`steps` must hold 1 to {MAX_STEPS} texts of at most {MAX_STEP} characters each."
        ));
    }
    let numbered = (1..).zip(&steps).map(|(number, step)| format!("{number}. {step}"));
    Answer::text(format!("Noted.\n{}", numbered.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::call;

    #[test]
    fn a_thought_is_acknowledged_and_not_repeated() {
        let answer = think(&call(THINK, json!({"thought": "The invoice is from May."})));
        assert!(!answer.is_error && !answer.output.contains("May"), "{answer:?}");
        assert!(think(&call(THINK, json!({}))).is_error);
        assert!(think(&call(THINK, json!({"thought": "x".repeat(MAX_THOUGHT + 1)}))).is_error);
    }

    #[test]
    fn the_steps_of_a_plan_get_numbers() {
        let answer = plan(&call(PLAN, json!({"steps": ["Look it up", "Tell them"]})));
        assert_eq!(answer, Answer::text("Noted.\n1. Look it up\n2. Tell them"));
        for wrong in
            [json!([]), json!(vec!["x"; MAX_STEPS + 1]), json!(["x".repeat(MAX_STEP + 1)]), json!("x")]
        {
            assert!(plan(&call(PLAN, json!({"steps": wrong}))).is_error, "{wrong}");
        }
    }
}
