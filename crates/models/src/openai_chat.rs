//! Servers that speak OpenAI's Chat Completions: `POST {base}/chat/completions`.
//!
//! What is sent is the part of the wire that Ollama, vLLM, llama.cpp, LM Studio and the hosted gateways have in common;
//! what is read forgives what they leave out.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::encode;

use crate::call::Credentials;

/// Under which name this adapter leaves data with a call: `reasoning_content` as the server said it, and which server that was.
const OWN: &str = "openai_chat";

/// Names the server. Servers of this kind do not know each other's fields, and some refuse what they do not know.
pub(crate) fn server(credentials: &Credentials) -> String {
    let address = credentials.base_url.as_deref().and_then(|base| egress::Url::parse(base.trim()).ok());
    let named = address.map(|address| {
        let host = address.host_str().unwrap_or_default();
        let port = address.port_or_known_default().unwrap_or_default();
        format!("{host}:{port}{}", address.path().trim_end_matches('/'))
    });
    named.unwrap_or_default()
}
