//! An expression's text, cut into symbols.

use super::Error;
use super::number::Number;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Symbol {
    Number(Number),
    Name(String),
    /// One of `+ - * / % ^ ( ) ,`.
    Sign(char),
}

/// Cuts an expression into symbols. `**`, `×`, `÷`, `·` and the typographic minus are read as what they mean.
pub(super) fn symbols(text: &str) -> Result<Vec<Symbol>, Error> {
    let mut symbols = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (symbol, length) = if first.is_ascii_digit() || first == '.' {
            let length = number(rest);
            let digits = rest.get(..length).unwrap_or_default();
            (Symbol::Number(Number::parse(digits)?), length)
        } else if first.is_ascii_alphabetic() {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Symbol::Name(rest.get(..length).unwrap_or_default().to_ascii_lowercase()), length)
        } else {
            sign(rest, first)?
        };
        symbols.push(symbol);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(symbols)
}

fn sign(rest: &str, first: char) -> Result<(Symbol, usize), Error> {
    if rest.starts_with("**") {
        return Ok((Symbol::Sign('^'), 2));
    }
    let sign = match first {
        '+' | '-' | '*' | '/' | '%' | '^' | '(' | ')' | ',' => first,
        '×' | '·' => '*',
        '÷' => '/',
        '−' => '-',
        'π' => return Ok((Symbol::Name("pi".to_owned()), first.len_utf8())),
        _ => return Err(Error::Character(first)),
    };
    Ok((Symbol::Sign(sign), first.len_utf8()))
}

/// Returns how long the number is that the text begins with.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count().saturating_add(from)
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end.saturating_add(1));
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let has_sign = matches!(bytes.get(end.saturating_add(1)), Some(b'+' | b'-'));
        let start = end.saturating_add(if has_sign { 2 } else { 1 });
        // Without a digit the `e` is no exponent, but the start of a name.
        if digits(start) > start {
            end = digits(start);
        }
    }
    end
}
