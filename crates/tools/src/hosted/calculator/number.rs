//! Numbers: exact fractions as long as possible, floating point where a function has no exact value.

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One as _, Signed as _, ToPrimitive as _, Zero as _};

use super::Error;

/// How long a numerator or denominator may grow; some 1,200 digits.
const MAX_BITS: u64 = 4_096;
/// How many digits a result has that cannot be written to its end.
const DIGITS: u32 = 30;
/// How many digits of a floating-point number are sound.
const FLOAT_DIGITS: usize = 15;

/// A value on the way to a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    Exact(BigRational),
    Approximate(f64),
}

use Number::{Approximate, Exact};

impl Number {
    /// Reads digits with perhaps a point and an exponent, as the lexer lets them through.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().map_err(|_| Error::TooLarge)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = BigInt::parse_bytes(digits.as_bytes(), 10).ok_or_else(|| Error::unreadable(text))?;
        let places = i32::try_from(fraction.len()).map_err(|_| Error::TooLarge)?;
        let scale = power_of_ten(exponent.checked_sub(places).ok_or(Error::TooLarge)?)?;
        Self::bounded(BigRational::from_integer(digits) * scale)
    }

    pub(super) fn whole(number: i64) -> Self {
        Exact(BigRational::from_integer(number.into()))
    }

    /// Takes the result of a function that has no exact value.
    pub(super) fn approximate(value: f64) -> Result<Self, Error> {
        if value.is_nan() {
            return Err(Error::Undefined);
        }
        if value.is_infinite() { Err(Error::TooLarge) } else { Ok(Approximate(value)) }
    }

    fn bounded(value: BigRational) -> Result<Self, Error> {
        let is_bounded = value.numer().bits() <= MAX_BITS && value.denom().bits() <= MAX_BITS;
        if is_bounded { Ok(Exact(value)) } else { Err(Error::TooLarge) }
    }

    pub(super) fn to_f64(&self) -> f64 {
        match self {
            Exact(value) => value.to_f64().unwrap_or(f64::NAN),
            Approximate(value) => *value,
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Exact(_))
    }

    fn is_zero(&self) -> bool {
        match self {
            Exact(value) => value.is_zero(),
            Approximate(value) => *value == 0.0,
        }
    }

    /// Returns the value as a whole number, if it is one and not too large.
    pub(super) fn to_whole(&self) -> Option<i64> {
        let Exact(value) = self else { return None };
        value.is_integer().then(|| value.to_integer().to_i64()).flatten()
    }

    /// Combines two numbers: exactly where both are exact.
    fn with(
        &self,
        other: &Self,
        exact: impl FnOnce(&BigRational, &BigRational) -> BigRational,
        approximate: impl FnOnce(f64, f64) -> f64,
    ) -> Result<Self, Error> {
        match (self, other) {
            (Exact(left), Exact(right)) => Self::bounded(exact(left, right)),
            _ => Self::approximate(approximate(self.to_f64(), other.to_f64())),
        }
    }

    pub(super) fn plus(&self, other: &Self) -> Result<Self, Error> {
        self.with(other, |left, right| left + right, |left, right| left + right)
    }

    pub(super) fn minus(&self, other: &Self) -> Result<Self, Error> {
        self.with(other, |left, right| left - right, |left, right| left - right)
    }

    pub(super) fn times(&self, other: &Self) -> Result<Self, Error> {
        self.with(other, |left, right| left * right, |left, right| left * right)
    }

    pub(super) fn divided_by(&self, other: &Self) -> Result<Self, Error> {
        if other.is_zero() {
            return Err(Error::DivisionByZero);
        }
        self.with(other, |left, right| left / right, |left, right| left / right)
    }

    /// Returns what is left of a division, with the sign of the divisor.
    pub(super) fn modulo(&self, other: &Self) -> Result<Self, Error> {
        if other.is_zero() {
            return Err(Error::DivisionByZero);
        }
        let exact = |left: &BigRational, right: &BigRational| left - right * (left / right).floor();
        self.with(other, exact, |left, right| left - right * (left / right).floor())
    }

    pub(super) fn to_the(&self, exponent: &Self) -> Result<Self, Error> {
        let (Exact(base), Some(power)) = (self, exponent.to_whole()) else {
            return Self::approximate(self.to_f64().powf(exponent.to_f64()));
        };
        if base.is_zero() && power < 0 {
            return Err(Error::DivisionByZero);
        }
        let bits = base.numer().bits().max(base.denom().bits()).saturating_sub(1);
        let size = bits.saturating_mul(power.unsigned_abs());
        // One has no size, to whatever power.
        let Some(small) = i32::try_from(power).ok().filter(|_| size <= MAX_BITS) else {
            return if bits == 0 { self.unit_to_the(power) } else { Err(Error::TooLarge) };
        };
        if bits == 0 {
            return self.unit_to_the(power);
        }
        Self::bounded(base.pow(small))
    }

    /// Raises 0, 1 or -1 to a power.
    fn unit_to_the(&self, power: i64) -> Result<Self, Error> {
        let Exact(base) = self else { return Err(Error::Undefined) };
        if power == 0 || (base.is_negative() && power % 2 == 0) {
            return Ok(Exact(BigRational::one()));
        }
        Ok(self.clone())
    }

    pub(super) fn negated(&self) -> Self {
        match self {
            Exact(value) => Exact(-value),
            Approximate(value) => Approximate(-value),
        }
    }

    pub(super) fn absolute(&self) -> Self {
        match self {
            Exact(value) => Exact(value.abs()),
            Approximate(value) => Approximate(value.abs()),
        }
    }

    pub(super) fn is_less_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Exact(left), Exact(right)) => left < right,
            _ => self.to_f64() < other.to_f64(),
        }
    }

    /// Takes the square root, exactly where there is one.
    pub(super) fn square_root(&self) -> Result<Self, Error> {
        if let Exact(value) = self
            && !value.is_negative()
        {
            let (top, bottom) = (value.numer().sqrt(), value.denom().sqrt());
            if &(&top * &top) == value.numer() && &(&bottom * &bottom) == value.denom() {
                return Ok(Exact(BigRational::new(top, bottom)));
            }
        }
        Self::approximate(self.to_f64().sqrt())
    }

    /// Makes a whole number of it, or one with so many decimal places, the way that `round` says.
    pub(super) fn rounded(&self, places: i32, round: fn(&BigRational) -> BigRational) -> Result<Self, Error> {
        let value = match self {
            Exact(value) => value.clone(),
            Approximate(value) => BigRational::from_float(*value).ok_or(Error::Undefined)?,
        };
        let scale = power_of_ten(places)?;
        Self::bounded(round(&(value * &scale)) / scale)
    }

    /// Writes the number in full, or rounded where it has no end.
    pub(super) fn render(&self) -> Rendered {
        match self {
            Exact(value) => render_exact(value),
            Approximate(value) => Rendered { text: render_float(*value), is_exact: false },
        }
    }
}

/// A number as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Whether the text is the value itself and not close to it.
    pub(super) is_exact: bool,
}

fn power_of_ten(exponent: i32) -> Result<BigRational, Error> {
    const MAX_EXPONENT: i32 = 1_000;
    if exponent.unsigned_abs() > MAX_EXPONENT.unsigned_abs() {
        return Err(Error::TooLarge);
    }
    Ok(BigRational::from_integer(BigInt::from(10)).pow(exponent))
}

fn render_exact(value: &BigRational) -> Rendered {
    if let Some(places) = places(value.denom()) {
        return Rendered { text: fixed(value, places), is_exact: true };
    }
    // The digits before the point count, and so do zeros behind it: what matters is how many digits say something.
    let magnitude = value.abs().to_f64().unwrap_or(1.0).log10().floor();
    let magnitude = if magnitude.is_finite() { magnitude.to_i32().unwrap_or(0) } else { 0 };
    let wanted = i32::try_from(DIGITS).unwrap_or(i32::MAX).saturating_sub(magnitude).saturating_sub(1);
    let places = u32::try_from(wanted.max(1)).unwrap_or(1);
    let Ok(scale) = power_of_ten(i32::try_from(places).unwrap_or(i32::MAX)) else {
        return Rendered { text: render_float(value.to_f64().unwrap_or(f64::NAN)), is_exact: false };
    };
    let rounded = (value * &scale).round() / scale;
    Rendered { text: fixed(&rounded, places), is_exact: false }
}

/// Counts the decimal places of a fraction with this denominator; none if it has no end.
fn places(denominator: &BigInt) -> Option<u32> {
    let mut rest = denominator.clone();
    let mut count = |factor: u32| {
        let mut times = 0_u32;
        while (&rest % factor).is_zero() {
            rest /= factor;
            times = times.saturating_add(1);
        }
        times
    };
    let (twos, fives) = (count(2), count(5));
    rest.is_one().then_some(twos.max(fives))
}

/// Writes a number that has no more than so many decimal places.
fn fixed(value: &BigRational, places: u32) -> String {
    let scaled = (value * BigRational::from_integer(BigInt::from(10).pow(places))).to_integer();
    let width = usize::try_from(places).unwrap_or(0).saturating_add(1);
    let digits = format!("{:0>width$}", scaled.magnitude().to_string());
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(width.saturating_sub(1)));
    let fraction = fraction.trim_end_matches('0');
    let sign = if scaled.sign() == Sign::Minus { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Writes the sound digits of a floating-point number.
fn render_float(value: f64) -> String {
    let precision = FLOAT_DIGITS.saturating_sub(1);
    let sound: f64 = format!("{value:.precision$e}").parse().unwrap_or(value);
    let is_readable = sound == 0.0 || (1e-6..1e21).contains(&sound.abs());
    if is_readable { format!("{}", sound + 0.0) } else { format!("{sound:e}") }
}
