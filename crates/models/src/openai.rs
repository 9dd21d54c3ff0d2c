//! OpenAI, in the Responses wire: `POST {base}/responses`.
//!
//! Answers are stored by OpenAI, so that a call whose connection broke can be picked up by its reference.

mod decode;
mod encode;

pub(crate) use decode::{Decoder, Stored, stored};
pub(crate) use encode::{effort_name, encode, retrieve};

pub(crate) const BASE_URL: &str = "https://api.openai.com/v1";
