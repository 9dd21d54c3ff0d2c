//! `suggest_replies`: what the person may want to say next.

use serde::Deserialize;
use serde_json::json;

use super::Function;
use super::arguments::arguments;
use crate::{Answer, Call};

pub(super) const NAME: &str = "suggest_replies";

const MAX_REPLIES: usize = 5;
const MAX_CHARACTERS: usize = 80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    replies: Vec<String>,
}

pub(super) fn functions() -> Vec<Function> {
    vec![Function::harmless(
        NAME,
        "Offers the person short replies to choose from, shown as buttons below your answer. Write them as the person \
         would say them. Call it once, just before your final answer; do not repeat the replies in the answer.",
        json!({
            "type": "object",
            "properties": {
                "replies": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS},
                    "minItems": 1,
                    "maxItems": MAX_REPLIES,
                },
            },
            "required": ["replies"],
            "additionalProperties": false,
        }),
    )]
}

pub(super) fn suggest_replies(call: &Call) -> Answer {
    let Arguments { replies } = match arguments(call) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    let replies: Vec<_> = replies.iter().map(|reply| reply.trim().to_owned()).collect();
    let fits = |reply: &String| (1..=MAX_CHARACTERS).contains(&reply.chars().count());
    if !(1..=MAX_REPLIES).contains(&replies.len()) || !replies.iter().all(fits) {
        return Answer::error(format!(
            "`replies` must hold 1 to {MAX_REPLIES} texts of 1 to {MAX_CHARACTERS} characters each."
        ));
    }
    Answer { suggested_replies: replies, ..Answer::text("The replies are offered below your answer.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::call;

    #[test]
    fn replies_are_offered_as_they_were_given() {
        let answer = suggest_replies(&call(NAME, json!({"replies": ["Yes, please", " Not now "]})));
        assert!(!answer.is_error);
        assert_eq!(answer.suggested_replies, ["Yes, please", "Not now"]);
        let longest = "ü".repeat(MAX_CHARACTERS);
        let answer = suggest_replies(&call(NAME, json!({"replies": [longest, "b", "c", "d", "e"]})));
        assert_eq!(answer.suggested_replies.len(), 5);
    }

    #[test]
    fn too_many_and_too_long_replies_are_refused() {
        for wrong in [
            json!([]),
            json!(["a", "b", "c", "d", "e", "f"]),
            json!(["x".repeat(MAX_CHARACTERS + 1)]),
            json!(["  "]),
            json!("Yes"),
        ] {
            let answer = suggest_replies(&call(NAME, json!({"replies": wrong})));
            assert!(answer.is_error && answer.suggested_replies.is_empty(), "{wrong}");
        }
    }
}
