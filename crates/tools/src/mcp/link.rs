//! The way to servers: one request, one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use egress::Client;
use egress::reqwest::{Method, RequestBuilder, Response};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::model::ErrorData;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use tokio::time::timeout_at;

use super::dialect::Dialect;
use super::farewells::Farewells;
use super::message::{self, Message};
use super::options::Options;
use super::patience::Patience;
use super::trouble::Trouble;
use super::{Server, stream};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
const BOTH: &str = "application/json, text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How much of an error answer is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// What all exchanges with servers share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) options: Arc<Options>,
    pub(crate) farewells: Farewells,
    ids: Arc<AtomicU64>,
}

/// One request of the protocol.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) method: &'static str,
    /// What the request names, for the `Mcp-Name` header.
    pub(crate) name: Option<String>,
    pub(crate) params: Map<String, Value>,
    pub(crate) meta: Map<String, Value>,
    /// Headers for this request alone.
    pub(crate) headers: HeaderMap,
    /// Whether the server is asked to tell how far it is. The token is the id.
    pub(crate) hears_progress: bool,
}

impl Request {
    pub(crate) fn new(link: &Link, method: &'static str, params: Map<String, Value>) -> Self {
        Self {
            id: link.next_id(),
            method,
            name: None,
            params,
            meta: Map::new(),
            headers: HeaderMap::new(),
            hears_progress: false,
        }
    }
}

/// What an answer consists of.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) result: Map<String, Value>,
    /// The headers that came before it.
    pub(crate) headers: HeaderMap,
}

fn secret(text: &str) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Trouble::Unusable("was not called: its secret holds characters that no secret has"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Link {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        Self {
            client,
            options: Arc::new(options),
            farewells: Farewells::new(),
            ids: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Returns an id that no other request of this process has.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request and waits for its answer, in whichever form it comes.
    pub(crate) async fn ask(
        &self,
        server: &Server,
        dialect: Dialect<'_>,
        request: Request,
        patience: &mut Patience,
    ) -> Result<Reply, Trouble> {
        let Request { id, method, name, params, mut meta, headers: own, hears_progress } = request;
        if hears_progress {
            meta.insert("progressToken".to_owned(), id.into());
        }
        let body = message::request(id, method, dialect.dress(params, meta));
        let mut headers = dialect.headers(method, name.as_deref());
        headers.extend(own);
        let response = self.send(self.post(server, headers, &body)?, patience).await?;
        let headers = response.headers().clone();
        let result = match content_type(&headers).as_str() {
            JSON => self.read_answer(response, id, patience).await,
            EVENT_STREAM => {
                let token = hears_progress.then_some(id);
                stream::Listener::new(self, server, dialect, id, token).listen(response, patience).await
            }
            _ => Err(Trouble::Nonsense("answered with something that is no message of the protocol")),
        };
        Ok(Reply { result: result?, headers })
    }

    /// Sends a notification, or an answer to what a server has asked.
    pub(crate) async fn tell(
        &self,
        server: &Server,
        dialect: Dialect<'_>,
        body: &Value,
        patience: &Patience,
    ) -> Result<(), Trouble> {
        let headers = dialect.headers(body.get("method").and_then(Value::as_str).unwrap_or_default(), None);
        self.send(self.post(server, headers, body)?, patience).await.map(drop)
    }

    /// Ends a session.
    pub(crate) async fn end(
        &self,
        server: &Server,
        dialect: Dialect<'_>,
        patience: &Patience,
    ) -> Result<(), Trouble> {
        let request = self.request(Method::DELETE, server)?.headers(dialect.headers("", None));
        self.send(request, patience).await.map(drop)
    }

    /// Asks for the rest of a stream that broke off.
    pub(crate) async fn reopen(
        &self,
        server: &Server,
        dialect: Dialect<'_>,
        after: HeaderValue,
        patience: &Patience,
    ) -> Result<Response, Trouble> {
        let request = self
            .request(Method::GET, server)?
            .headers(dialect.headers("", None))
            .header(ACCEPT, EVENT_STREAM)
            .header(LAST_EVENT_ID, after);
        let response = self.send(request, patience).await?;
        if content_type(response.headers()) != EVENT_STREAM {
            return Err(Trouble::Nonsense("does not give the rest of a stream that broke off"));
        }
        Ok(response)
    }

    fn post(&self, server: &Server, headers: HeaderMap, body: &Value) -> Result<RequestBuilder, Trouble> {
        let request = self.request(Method::POST, server)?;
        Ok(request.headers(headers).header(ACCEPT, BOTH).header(CONTENT_TYPE, JSON).body(body.to_string()))
    }

    /// Addresses a request, through the guard, with the credentials.
    fn request(&self, method: Method, server: &Server) -> Result<RequestBuilder, Trouble> {
        let mut request = self.client.request(method, &server.url).map_err(Trouble::Refused)?;
        for (name, value) in &server.headers {
            request = request.header(name, secret(value.expose_secret())?);
        }
        let Some(bearer) = &server.bearer else { return Ok(request) };
        Ok(request.header(AUTHORIZATION, secret(&format!("Bearer {}", bearer.expose_secret()))?))
    }

    /// Sends what was prepared and waits for a success to begin.
    async fn send(&self, request: RequestBuilder, patience: &Patience) -> Result<Response, Trouble> {
        let sending = timeout_at(patience.until(), request.send());
        let response = sending.await.map_err(|_| late())?.map_err(|error| Trouble::of(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        // The status says enough: what breaks the body off is no matter.
        let body = read(response, MAX_ERROR_BYTES, patience).await.unwrap_or_default();
        Err(Trouble::Status { status, error: error_in(&body) })
    }

    async fn read_answer(
        &self,
        response: Response,
        id: u64,
        patience: &Patience,
    ) -> Result<Map<String, Value>, Trouble> {
        let body = read(response, self.options.max_answer_bytes, patience).await?;
        let messages = message::parse(&body)
            .ok_or(Trouble::Nonsense("answered with something that is no message of the protocol"))?;
        messages
            .into_iter()
            .find_map(|message| answer_to(id, message))
            .unwrap_or(Err(Trouble::Nonsense("answered a request that it was not sent")))
    }
}

/// Returns what a message says to the request, if it is its answer.
pub(crate) fn answer_to(id: u64, message: Message) -> Option<Result<Map<String, Value>, Trouble>> {
    let Message::Answer { id: answered, result } = message else { return None };
    match result {
        Ok(_) if answered != id => None,
        Ok(Value::Object(result)) => Some(Ok(result)),
        Ok(_) => Some(Err(Trouble::Nonsense("answered with a result that is no object"))),
        // The server may not have been able to read the id of what it refuses.
        Err(error) => (answered == id || answered.is_null()).then_some(Err(Trouble::Error(error))),
    }
}

pub(crate) const fn late() -> Trouble {
    Trouble::Lost("did not answer in time")
}

pub(crate) const fn too_large() -> Trouble {
    Trouble::Lost("answered with more than an answer may have")
}

/// Reads a body that may not be larger than this.
async fn read(mut response: Response, max_bytes: usize, patience: &Patience) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        let chunk = timeout_at(patience.until(), response.chunk()).await.map_err(|_| late())?;
        let Some(bytes) = chunk.map_err(|error| Trouble::of(&error))? else { return Ok(body) };
        if body.len().saturating_add(bytes.len()) > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&bytes);
    }
}

fn error_in(body: &[u8]) -> Option<ErrorData> {
    message::parse(body)?.into_iter().find_map(|message| match message {
        Message::Answer { result: Err(error), .. } => Some(error),
        _ => None,
    })
}

/// Returns the media type of a body, without its parameters.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
