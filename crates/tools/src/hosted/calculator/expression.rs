//! Expressions: read and worked out in one go, the nesting bounded.

use super::Error;
use super::functions;
use super::lexer::{Symbol, symbols};
use super::number::Number;

/// How long an expression may be, in characters.
pub(super) const MAX_CHARACTERS: usize = 1_000;
/// How deep parentheses, functions and signs may be nested.
const MAX_DEPTH: usize = 64;

/// Works out an expression.
pub(super) fn evaluate(text: &str) -> Result<Number, Error> {
    if text.chars().count() > MAX_CHARACTERS {
        return Err(Error::TooLong);
    }
    let symbols = symbols(text)?;
    if symbols.is_empty() {
        return Err(Error::Incomplete);
    }
    let mut reader = Reader { symbols: symbols.into_iter().peekable(), depth: 0 };
    let value = reader.sum()?;
    match reader.symbols.next() {
        None => Ok(value),
        Some(left_over) => Err(Error::unexpected(&left_over)),
    }
}

struct Reader {
    symbols: std::iter::Peekable<std::vec::IntoIter<Symbol>>,
    depth: usize,
}

impl Reader {
    fn sum(&mut self) -> Result<Number, Error> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let other = self.product()?;
            value = if sign == '+' { value.plus(&other)? } else { value.minus(&other)? };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Number, Error> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '/', '%']) {
            let other = self.signed()?;
            value = match sign {
                '*' => value.times(&other)?,
                '/' => value.divided_by(&other)?,
                _ => value.modulo(&other)?,
            };
        }
        Ok(value)
    }

    /// Reads signs before a power: `-2^2` is -4.
    fn signed(&mut self) -> Result<Number, Error> {
        match self.take(&['+', '-']) {
            Some('-') => Ok(self.nested(Self::signed)?.negated()),
            Some(_) => self.nested(Self::signed),
            None => self.power(),
        }
    }

    /// Reads powers, from right to left: `2^3^2` is 2^9.
    fn power(&mut self) -> Result<Number, Error> {
        let base = self.operand()?;
        match self.take(&['^']) {
            Some(_) => base.to_the(&self.nested(Self::signed)?),
            None => Ok(base),
        }
    }

    fn operand(&mut self) -> Result<Number, Error> {
        match self.symbols.next().ok_or(Error::Incomplete)? {
            Symbol::Number(number) => Ok(number),
            Symbol::Sign('(') => {
                let value = self.nested(Self::sum)?;
                self.close()?;
                Ok(value)
            }
            Symbol::Name(name) => match self.take(&['(']) {
                Some(_) => {
                    let arguments = self.arguments()?;
                    functions::call(&name, &arguments)
                }
                None => functions::constant(&name),
            },
            other => Err(Error::unexpected(&other)),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Number>, Error> {
        let mut arguments = Vec::new();
        if self.take(&[')']).is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.nested(Self::sum)?);
            if self.take(&[',']).is_none() {
                self.close()?;
                return Ok(arguments);
            }
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        match self.symbols.next() {
            Some(Symbol::Sign(')')) => Ok(()),
            Some(other) => Err(Error::unexpected(&other)),
            None => Err(Error::Incomplete),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Number, Error>) -> Result<Number, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.depth = self.depth.saturating_add(1);
        let value = read(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn take(&mut self, signs: &[char]) -> Option<char> {
        match self.symbols.next_if(|symbol| matches!(symbol, Symbol::Sign(sign) if signs.contains(sign)))? {
            Symbol::Sign(sign) => Some(sign),
            Symbol::Number(_) | Symbol::Name(_) => None,
        }
    }
}
