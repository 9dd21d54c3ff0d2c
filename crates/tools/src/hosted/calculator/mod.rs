//! The bundle `calculator`: arithmetic that a model cannot be trusted with.

mod expression;
mod functions;
mod lexer;
mod number;
mod statistics;
#[cfg(test)]
mod tests;

use lexer::Symbol;
use serde::Deserialize;
use serde_json::json;

use super::Function;
use super::arguments::arguments;
use crate::{Answer, Call};

pub(super) const CALCULATE: &str = "calculate";
pub(super) const STATISTICS: &str = "statistics";

/// Why there is no result. The text is for the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Error {
    #[error("The expression ends too early.")]
    Incomplete,
    #[error("`{0}` was not expected there.")]
    Unexpected(String),
    #[error("The character `{0}` has no meaning in an expression.")]
    Character(char),
    #[error("`{0}` is no number.")]
    Unreadable(String),
    #[error("`{0}` is not known. Known are {known}.", known = functions::KNOWN)]
    Unknown(String),
    #[error("`{name}` takes {count} argument(s).")]
    Arguments { name: String, count: &'static str },
    #[error("Decimal places must be a whole number from -30 to 30.")]
    Places,
    #[error("It divides by zero.")]
    DivisionByZero,
    #[error("It has no real value, like the root or the logarithm of a negative number.")]
    Undefined,
    #[error("A number on the way is too large or has too many digits.")]
    TooLarge,
    #[error("The expression has more than {} characters.", expression::MAX_CHARACTERS)]
    TooLong,
    #[error("The expression is nested too deep.")]
    TooDeep,
}

impl Error {
    fn unexpected(symbol: &Symbol) -> Self {
        Self::Unexpected(match symbol {
            Symbol::Number(number) => number.render().text,
            Symbol::Name(name) => shown(name),
            Symbol::Sign(sign) => sign.to_string(),
        })
    }

    fn unreadable(text: &str) -> Self {
        Self::Unreadable(shown(text))
    }

    fn unknown(name: &str) -> Self {
        Self::Unknown(shown(name))
    }

    fn arguments(name: &str, count: &'static str) -> Self {
        Self::Arguments { name: name.to_owned(), count }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calculate {
    expression: String,
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::harmless(
            CALCULATE,
            "Works out an arithmetic expression. Decimal numbers are exact (0.1 + 0.2 is 0.3). Use it for every \
             calculation whose result matters. Operators: + - * / % ^ and parentheses; % is the remainder and not \
             a percentage. Functions: sqrt, abs, round(x, places), floor, ceil, min, max, log(x, base), ln, exp, \
             sin, cos, tan (in radians). Constants: pi, e.",
            json!({
                "type": "object",
                "properties": {
                    "expression": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": expression::MAX_CHARACTERS,
                        "description": "Such as `round(1299.99 * 1.19, 2)`, without units and thousands separators.",
                    },
                },
                "required": ["expression"],
                "additionalProperties": false,
            }),
        ),
        statistics::function(),
    ]
}

pub(super) fn calculate(call: &Call) -> Answer {
    let Calculate { expression } = match arguments(call) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    match expression::evaluate(&expression) {
        Ok(value) => {
            let result = value.render();
            Answer::text(json!({"result": result.text, "exact": result.is_exact}).to_string())
        }
        Err(error) => Answer::error(format!("The expression cannot be worked out. {error}")),
    }
}

pub(super) use statistics::statistics;
