//! Tavily: <https://docs.tavily.com/documentation/api-reference/endpoint/search>.

use egress::reqwest::{Method, RequestBuilder};
use egress::{Client, Refusal, Url};
use serde_json::{Value, json};

use super::{Hit, Question, below, one_line, read};

pub(super) const BASE: &str = "https://api.tavily.com";

pub(super) fn request(
    client: &Client,
    base: &Url,
    key: &str,
    question: &Question<'_>,
) -> Result<RequestBuilder, Refusal> {
    let request = client.request(Method::POST, &below(base, &["search"]))?;
    Ok(request.bearer_auth(key).json(&json!({"query": question.query, "max_results": question.count})))
}

pub(super) fn hits(answer: &Value) -> Vec<Hit> {
    read(answer.get("results"), "content", one_line)
}
