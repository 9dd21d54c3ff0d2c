//! Functions and constants by name.

use std::f64::consts;

use num_rational::BigRational;

use super::Error;
use super::number::Number;

/// The names that expressions may use, for the words about one that is not known.
pub(super) const KNOWN: &str =
    "sqrt, abs, round, floor, ceil, min, max, log, ln, exp, sin, cos, tan, pi and e";

pub(super) fn constant(name: &str) -> Result<Number, Error> {
    match name {
        "pi" => Ok(Number::Approximate(consts::PI)),
        "e" => Ok(Number::Approximate(consts::E)),
        _ => Err(Error::unknown(name)),
    }
}

pub(super) fn call(name: &str, arguments: &[Number]) -> Result<Number, Error> {
    match (name, arguments) {
        ("sqrt", [of]) => of.square_root(),
        ("abs", [of]) => Ok(of.absolute()),
        ("round", [of]) => of.rounded(0, BigRational::round),
        ("round", [of, places]) => of.rounded(decimal_places(places)?, BigRational::round),
        ("floor", [of]) => of.rounded(0, BigRational::floor),
        ("ceil", [of]) => of.rounded(0, BigRational::ceil),
        ("min", [first, others @ ..]) => Ok(others
            .iter()
            .fold(first, |least, one| if one.is_less_than(least) { one } else { least })
            .clone()),
        ("max", [first, others @ ..]) => {
            Ok(others.iter().fold(first, |most, one| if most.is_less_than(one) { one } else { most }).clone())
        }
        ("log", [of]) => Number::approximate(positive(of)?.log10()),
        ("log", [of, base]) => {
            let (of, base) = (positive(of)?, positive(base)?);
            if base == 1.0 { Err(Error::Undefined) } else { Number::approximate(of.ln() / base.ln()) }
        }
        ("ln", [of]) => Number::approximate(positive(of)?.ln()),
        ("exp", [of]) => Number::approximate(of.to_f64().exp()),
        ("sin", [of]) => Number::approximate(of.to_f64().sin()),
        ("cos", [of]) => Number::approximate(of.to_f64().cos()),
        ("tan", [of]) => Number::approximate(of.to_f64().tan()),
        ("sqrt" | "abs" | "floor" | "ceil" | "ln" | "exp" | "sin" | "cos" | "tan", _) => {
            Err(Error::arguments(name, "one"))
        }
        ("round" | "log", _) => Err(Error::arguments(name, "one or two")),
        ("min" | "max", _) => Err(Error::arguments(name, "at least one")),
        _ => Err(Error::unknown(name)),
    }
}

fn positive(number: &Number) -> Result<f64, Error> {
    let value = number.to_f64();
    if value > 0.0 { Ok(value) } else { Err(Error::Undefined) }
}

fn decimal_places(number: &Number) -> Result<i32, Error> {
    let places = number.to_whole().and_then(|places| i32::try_from(places).ok());
    places.filter(|places| (-30..=30).contains(places)).ok_or(Error::Places)
}
