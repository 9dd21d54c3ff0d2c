//! Reading what a server answers.

use serde::Deserialize as _;
use serde_json::Value;

/// Reads JSON, however deep it is: what was taken at its deepest lies a few levels deeper in an answer.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}
