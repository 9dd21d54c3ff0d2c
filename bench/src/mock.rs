//! A provider that answers at once, on the wire of OpenAI Chat Completions.
//!
//! The model's name says how: `mock-100` answers with 100 chunks of text, `mock-100-5ms` with five milliseconds before each
//! but the first, and `mock-stall` with one chunk and then nothing for as long as its caller stays.

mod answer;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use answer::Shape;

const PATH: &str = "/v1/chat/completions";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The fields of a request that matter here.
#[derive(Deserialize)]
struct Call {
    model: String,
    #[serde(default)]
    stream: bool,
}

/// A mock that serves until the process ends.
pub(crate) struct Mock {
    address: SocketAddr,
}

impl Mock {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        TaskTracker::new().spawn(accept(listener));
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what a client of the API appends `/chat/completions` to.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn accept(listener: TcpListener) {
    let connections = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it, chunks wait for the acknowledgement of the ones before them: 40 ms.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        connections.spawn(async move {
            // A client that goes away ends its connection, which is no trouble of the mock's.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(serve)).await;
        });
    }
}

async fn serve(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return Ok(refusal(StatusCode::NOT_FOUND, "There is only POST /v1/chat/completions."));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let Ok(call) = serde_json::from_slice::<Call>(&body) else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "The body is no request for a chat completion."));
    };
    let Some(shape) = Shape::of_model(&call.model) else {
        return Ok(refusal(StatusCode::NOT_FOUND, "There is no such model; try mock-1."));
    };
    if call.stream {
        return Ok(response(StatusCode::OK, "text/event-stream", answer::streamed(shape)));
    }
    Ok(response(StatusCode::OK, "application/json", answer::whole(shape)))
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
