//! Google Gemini: `POST {base}/models/{model}:streamGenerateContent?alt=sse`.

mod contents;
mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::encode;

pub(crate) const BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta";

/// Under which name this adapter leaves data with a call: `thought_signature`, and `id` where the API named the call.
const OWN: &str = "gemini";
