//! SearXNG: <https://docs.searxng.org/dev/search_api.html>. Its `search.formats` must hold `json`.

use egress::reqwest::{Method, RequestBuilder};
use egress::{Client, Refusal, Url};
use serde_json::Value;

use super::{Hit, Question, below, one_line, read};

/// Asks an instance. It gives a page of results whatever the count, and wants a key only behind a proxy that does.
pub(super) fn request(
    client: &Client,
    base: &Url,
    key: &str,
    question: &Question<'_>,
) -> Result<RequestBuilder, Refusal> {
    let mut url = below(base, &["search"]);
    url.query_pairs_mut().append_pair("q", question.query).append_pair("format", "json");
    let request = client.request(Method::GET, &url)?.header("accept", "application/json");
    Ok(if key.is_empty() { request } else { request.bearer_auth(key) })
}

pub(super) fn hits(answer: &Value) -> Vec<Hit> {
    read(answer.get("results"), "content", one_line)
}
