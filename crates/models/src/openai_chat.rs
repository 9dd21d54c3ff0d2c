//! Servers that speak OpenAI's Chat Completions: `POST {base}/chat/completions`.
//!
//! What is sent is the part of the wire that Ollama, vLLM, llama.cpp, LM Studio and the hosted gateways have in common;
//! what is read forgives what they leave out.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::encode;

/// Under which name this adapter leaves data with a call: `reasoning_content`, as the server said it.
const OWN: &str = "openai_chat";
