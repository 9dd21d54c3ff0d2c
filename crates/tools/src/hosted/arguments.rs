//! The arguments of a call, as a type.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Answer, Call};

/// Reads the arguments. They fit the schema already where a run makes the call; whatever else comes is told to the model.
pub(super) fn arguments<T: DeserializeOwned>(call: &Call) -> Result<T, Answer> {
    serde_json::from_value(Value::Object(call.args.clone()))
        .map_err(|error| Answer::error(format!("The arguments do not fit the tool's schema: {error}.")))
}
