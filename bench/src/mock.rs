//! A provider that answers at once, on the wire of OpenAI Chat Completions, and a tool over HTTP.
//!
//! The model's name says how: `mock-100` answers with 100 chunks of text, `mock-100-5ms` with five milliseconds before each
//! but the first, and `mock-stall` with one chunk and then nothing for as long as its caller stays. `mock-calculate-10` asks
//! for the tool `calculate`, one call an answer, until it has seen ten results, and then says a word.

mod answer;
mod calls;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use answer::Shape;
use calls::{Calls, Request as Call, Script};

pub(crate) const PATH: &str = "/v1/chat/completions";
/// Where the tool is.
pub(crate) const TOOL_PATH: &str = "/tools/pay";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A mock that serves until the process ends.
pub(crate) struct Mock {
    address: SocketAddr,
    calls: Arc<Calls>,
}

impl Mock {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let calls = Arc::new(Calls::default());
        TaskTracker::new().spawn(accept(listener, Arc::clone(&calls)));
        Ok(Self { address, calls })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what a client of the API appends `/chat/completions` to.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns where the tool is called.
    pub(crate) fn tool_url(&self) -> String {
        format!("http://{}{TOOL_PATH}", self.address)
    }

    /// Returns when the request came in whose last message is the result of this call. It is told once.
    pub(crate) fn arrival(&self, call: &str) -> Option<Instant> {
        self.calls.arrival(call)
    }
}

async fn accept(listener: TcpListener, calls: Arc<Calls>) {
    let connections = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it, chunks wait for the acknowledgement of the ones before them: 40 ms.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let calls = Arc::clone(&calls);
        connections.spawn(async move {
            let serve = service_fn(|request| serve(request, &calls));
            // A client that goes away ends its connection, which is no trouble of the mock's.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

async fn serve(request: Request<Incoming>, calls: &Calls) -> Result<Response<Body>, hyper::Error> {
    let arrived = Instant::now();
    let path = request.uri().path();
    let is_tool = path == TOOL_PATH;
    if request.method() != Method::POST || !(is_tool || path == PATH) {
        return Ok(refusal(StatusCode::NOT_FOUND, "There is only POST /v1/chat/completions and a tool."));
    }
    let body = request.into_body().collect().await?.to_bytes();
    if is_tool {
        return Ok(response(StatusCode::OK, "application/json", calls::paid()));
    }
    let Ok(call) = serde_json::from_slice::<Call>(&body) else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "The body is no request for a chat completion."));
    };
    calls.note(&call, arrived);
    if let Some(script) = Script::of_model(&call.model) {
        return Ok(scripted(script, &call, calls));
    }
    let Some(shape) = Shape::of_model(&call.model) else {
        return Ok(refusal(StatusCode::NOT_FOUND, "There is no such model; try mock-1."));
    };
    Ok(said(shape, &call))
}

fn scripted(script: Script, call: &Call, calls: &Calls) -> Response<Body> {
    if call.has_failed_results() {
        return refusal(StatusCode::BAD_REQUEST, "The tool has failed, and that is not what is measured.");
    }
    match script.next(call.results()) {
        Some(arguments) if call.stream => {
            let body = answer::asking(&calls.next_id(), script.tool, &arguments);
            response(StatusCode::OK, "text/event-stream", body)
        }
        Some(_) => refusal(StatusCode::BAD_REQUEST, "This model asks for tools in streams only."),
        None => said(Shape::Chunks { count: 1, pause: Duration::ZERO }, call),
    }
}

fn said(shape: Shape, call: &Call) -> Response<Body> {
    if call.stream {
        return response(StatusCode::OK, "text/event-stream", answer::streamed(shape));
    }
    response(StatusCode::OK, "application/json", answer::whole(shape))
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": { "message": message, "type": "invalid_request_error" } });
    response(status, "application/json", Full::new(Bytes::from(error.to_string())).boxed_unsync())
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
