//! `statistics`: what describes a list of numbers.

use num_rational::BigRational;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::number::Number;
use super::{Error, STATISTICS};
use crate::hosted::Function;
use crate::hosted::arguments::arguments;
use crate::{Answer, Call};

/// How many numbers a list may hold.
const MAX_NUMBERS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statistics {
    numbers: Vec<serde_json::Number>,
}

pub(super) fn function() -> Function {
    Function::harmless(
        STATISTICS,
        "Describes a list of numbers: count, sum, mean, median, minimum, maximum and standard deviation (of a whole \
         population, and as estimated from a sample).",
        json!({
            "type": "object",
            "properties": {
                "numbers": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 1,
                    "maxItems": MAX_NUMBERS,
                },
            },
            "required": ["numbers"],
            "additionalProperties": false,
        }),
    )
}

pub(crate) fn statistics(call: &Call) -> Answer {
    let Statistics { numbers } = match arguments(call) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    if numbers.is_empty() || numbers.len() > MAX_NUMBERS {
        return Answer::error(format!("`numbers` must hold 1 to {MAX_NUMBERS} numbers."));
    }
    match describe(&numbers) {
        Ok(figures) => Answer::text(Value::Object(figures).to_string()),
        Err(error) => Answer::error(format!("The numbers cannot be described. {error}")),
    }
}

fn describe(numbers: &[serde_json::Number]) -> Result<Map<String, Value>, Error> {
    let parse = |number: &serde_json::Number| {
        let text = number.to_string();
        let (is_negative, digits) = (text.starts_with('-'), text.trim_start_matches('-'));
        Number::parse(digits).map(|value| if is_negative { value.negated() } else { value })
    };
    let mut values = numbers.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    values.sort_by(|left, right| {
        if left.is_less_than(right) {
            std::cmp::Ordering::Less
        } else if right.is_less_than(left) {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    });
    let total = |values: &[Number]| values.iter().try_fold(Number::whole(0), |sum, value| sum.plus(value));
    let count = Number::whole(i64::try_from(values.len()).map_err(|_| Error::TooLarge)?);
    let sum = total(&values)?;
    let mean = sum.divided_by(&count)?;
    let squares = values.iter().map(|value| {
        let distance = value.minus(&mean)?;
        distance.times(&distance)
    });
    let squares = total(&squares.collect::<Result<Vec<_>, _>>()?)?;
    let mut figures = Map::new();
    let mut put = |name: &str, value: Option<&Number>| {
        figures.insert(name.to_owned(), value.map_or(Value::Null, |value| shown(value).into()));
    };
    put("count", Some(&count));
    put("sum", Some(&sum));
    put("mean", Some(&mean));
    put("median", Some(&median(&values)?));
    put("min", values.first());
    put("max", values.last());
    put("population_standard_deviation", Some(&squares.divided_by(&count)?.square_root()?));
    let degrees = count.minus(&Number::whole(1))?;
    // A single number says nothing of how others would differ.
    let sample = squares.divided_by(&degrees).and_then(|variance| variance.square_root()).ok();
    put("sample_standard_deviation", sample.as_ref());
    Ok(figures)
}

fn median(sorted: &[Number]) -> Result<Number, Error> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).ok_or(Error::Incomplete)?;
    if sorted.len() % 2 == 1 {
        return Ok(upper.clone());
    }
    let lower = sorted.get(middle.saturating_sub(1)).ok_or(Error::Incomplete)?;
    lower.plus(upper)?.divided_by(&Number::whole(2))
}

/// Writes a figure with at most fifteen decimal places, which nobody asks for more of.
fn shown(value: &Number) -> String {
    let rendered = value.render();
    if rendered.is_exact || !value.is_exact() {
        return rendered.text;
    }
    value.rounded(15, BigRational::round).map_or(rendered.text, |value| value.render().text)
}
