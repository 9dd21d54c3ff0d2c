//! Writing JSON.

use serde::Serialize;

/// Appends a value as JSON.
pub(crate) fn write_json(value: &impl Serialize, into: &mut Vec<u8>) {
    // What is written goes to memory, and all its keys are text: neither can fail.
    let _ = serde_json::to_writer(into, value);
}
