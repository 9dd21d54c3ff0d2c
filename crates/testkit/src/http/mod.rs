//! The HTTP client of API tests: every answer it gets is checked against the contract.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::contract::{API_VERSION, Contract, Observed, StreamCheck, StreamStart};
use crate::sse::Reader;

pub use answer::Answer;

/// How long a server may be silent before the test fails. Streams of the product speak at least every 15 s.
const MOST_SILENCE: Duration = Duration::from_secs(60);

/// Talks to a server under test. Cheap to clone; the `with_` methods return a changed copy.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    headers: HeaderMap,
    extra_routes: Arc<[String]>,
}

impl Client {
    /// Makes a client without a bearer, which sends the version of the API.
    ///
    /// # Panics
    /// When the client cannot be built.
    pub fn new(base_url: &str) -> Self {
        let client = Self {
            http: plain(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            extra_routes: Arc::new([]),
        };
        client.with_header("ic-api-version", API_VERSION)
    }

    pub fn with_bearer(&self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Sends a header with every request, instead of one of the same name.
    ///
    /// # Panics
    /// When the name or value is none of HTTP.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let (Ok(header), Ok(content)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            panic!("not a header: {name:?}, {value:?}");
        };
        let mut changed = self.clone();
        changed.headers.insert(header, content);
        changed
    }

    /// Stops sending a header: `authorization` and `ic-api-version` too.
    pub fn without_header(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.headers.remove(name);
        changed
    }

    /// Names routes beyond the contract that may answer: exact paths, or beginnings that end with `*`.
    pub fn with_extra_routes(&self, routes: &[&str]) -> Self {
        let routes = self.extra_routes.iter().cloned().chain(routes.iter().map(|route| (*route).to_owned()));
        Self { extra_routes: routes.collect(), ..self.clone() }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// When no answer comes, or it breaks the contract.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send_bytes(method, path, body.map(|body| Bytes::from(body.to_string()))).await
    }

    /// Sends a body that may be no JSON, under the content type of JSON unless the client has another.
    ///
    /// # Panics
    /// When no answer comes, or it breaks the contract.
    pub async fn send_bytes(&self, method: Method, path: &str, body: Option<Bytes>) -> Answer {
        match self.send_or_break(method.clone(), path, body).await {
            Ok(answer) => answer,
            Err(problem) => panic!("{method} {path}: no answer: {problem:?}"),
        }
    }

    /// Sends a request to a server that may die while it answers.
    ///
    /// # Errors
    /// When the connection fails or breaks.
    ///
    /// # Panics
    /// When a whole answer comes that breaks the contract.
    pub async fn send_or_break(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> reqwest::Result<Answer> {
        let response = self.request(method.clone(), path, body).send().await?;
        self.read_whole(&method, path, response).await
    }

    /// Sends a request whose answer is a stream; each frame is checked as it is read.
    ///
    /// # Panics
    /// When the answer is none of status 200 with a stream, or breaks the contract.
    pub async fn stream(&self, method: Method, path: &str, body: Option<&Value>) -> Reader {
        match self.try_stream(method.clone(), path, body).await {
            Ok(reader) => reader,
            Err(answer) => panic!("{method} {path}: no stream: {answer}"),
        }
    }

    /// Sends a request whose answer may be a stream.
    ///
    /// # Errors
    /// The answer, when it is no stream.
    ///
    /// # Panics
    /// When no answer comes, or it breaks the contract.
    pub async fn try_stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reader, Box<Answer>> {
        match self.stream_or_break(method.clone(), path, body).await {
            Ok(answered) => answered,
            Err(problem) => panic!("{method} {path}: no answer: {problem:?}"),
        }
    }

    /// Sends a request whose answer may be a stream to a server that may die before it answers.
    ///
    /// # Errors
    /// When the connection fails, or breaks before the head of a stream or the end of another answer; inside is the
    /// answer, when it is no stream.
    ///
    /// # Panics
    /// When an answer comes that breaks the contract.
    pub async fn stream_or_break(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Result<Reader, Box<Answer>>> {
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        let response = self.request(method.clone(), path, bytes).send().await?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_stream = content_type.is_some_and(|value| value.starts_with("text/event-stream"));
        if !is_stream || response.status() != 200 {
            return Ok(Err(Box::new(self.read_whole(&method, path, response).await?)));
        }
        let head = Contract::load().check_head(method.as_str(), path, 200, response.headers());
        assert!(head.is_empty(), "{method} {path}: the answer breaks the contract:\n  {}", head.join("\n  "));
        let check = StreamCheck::new(Contract::load(), method.as_str(), path, response.headers());
        check.assert_clean();
        let check = match self.start_of(&method, path) {
            Some(first) => check.starting(StreamStart::At(first)),
            None => check,
        };
        Ok(Ok(Reader::new(response).checked_by(check)))
    }

    /// Follows a log, from its start or after the id that a client has seen last.
    pub async fn follow(&self, path: &str, after: Option<u64>) -> Reader {
        match after {
            Some(id) => {
                self.with_header("last-event-id", &id.to_string()).stream(Method::GET, path, None).await
            }
            None => self.stream(Method::GET, path, None).await,
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> reqwest::RequestBuilder {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base_url)).headers(self.headers.clone());
        if let Some(body) = body {
            if !self.headers.contains_key("content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        request
    }

    async fn read_whole(
        &self,
        method: &Method,
        path: &str,
        response: reqwest::Response,
    ) -> reqwest::Result<Answer> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?;
        let observed = Observed { method: method.as_str(), path, status, headers: &headers, body: &body };
        let extra_routes: Vec<&str> = self.extra_routes.iter().map(String::as_str).collect();
        let checked = Contract::load().check(&observed, &extra_routes);
        let answer = Answer::new(format!("{method} {path}"), status, headers, body);
        if let Err(violations) = checked {
            panic!("the answer breaks the contract:\n  {}\n{answer}", violations.join("\n  "));
        }
        Ok(answer)
    }

    /// Returns the first seq of a log that is read with `GET`: the one after the larger of what header and query name.
    fn start_of(&self, method: &Method, path: &str) -> Option<u64> {
        if method != Method::GET {
            return None;
        }
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let named = query.split('&').filter_map(|pair| pair.split_once('='));
        let cursors = named.filter(|(name, _)| matches!(*name, "after" | "starting_after"));
        let cursors = cursors.filter_map(|(_, value)| value.parse::<u64>().ok());
        let header = self.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
        Some(cursors.chain(header).max().map_or(0, |seen| seen + 1))
    }
}

/// Builds a bare client for loopback. It trusts no certificate, because it never meets one.
///
/// # Panics
/// When the client cannot be built.
pub fn plain() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.unwrap_or_else(|error| panic!("no TLS configuration: {error}"));
    let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    #[expect(clippy::disallowed_methods, reason = "tests talk to loopback only")]
    let builder = reqwest::Client::builder();
    let client = builder.tls_backend_preconfigured(tls).no_proxy().read_timeout(MOST_SILENCE).build();
    client.unwrap_or_else(|error| panic!("no HTTP client: {error}"))
}

#[cfg(test)]
mod tests;
