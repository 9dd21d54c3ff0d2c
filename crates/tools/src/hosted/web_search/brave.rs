//! Brave Search: <https://api-dashboard.search.brave.com/app/documentation/web-search>.

use egress::reqwest::{Method, RequestBuilder};
use egress::{Client, Refusal, Url};
use serde_json::Value;

use super::{Hit, Question, below, from_html, one_line, read};

pub(super) const BASE: &str = "https://api.search.brave.com/res/v1";

pub(super) fn request(
    client: &Client,
    base: &Url,
    key: &str,
    question: &Question<'_>,
) -> Result<RequestBuilder, Refusal> {
    let mut url = below(base, &["web", "search"]);
    url.query_pairs_mut()
        .append_pair("q", question.query)
        .append_pair("count", &question.count.to_string())
        .append_pair("text_decorations", "false")
        .append_pair("result_filter", "web");
    let request = client.request(Method::GET, &url)?;
    Ok(request.header("accept", "application/json").header("x-subscription-token", key))
}

pub(super) fn hits(answer: &Value) -> Vec<Hit> {
    // Titles and descriptions are HTML; addresses in them are none of ours.
    let base = Url::parse(BASE).ok();
    let words = |text: &str| base.as_ref().map_or_else(|| one_line(text), |base| from_html(base, text));
    read(answer.pointer("/web/results"), "description", words)
}
