//! A provider that answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::stream::{self, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How the upstream answers one request.
#[derive(Clone)]
pub(crate) enum Reply {
    Status(u16, Vec<(&'static str, String)>, String),
    /// A stream of events with status 200.
    Stream(Vec<Step>),
    /// No answer at all.
    Hang,
}

#[derive(Clone)]
pub(crate) enum Step {
    Send(String),
    /// Silence that does not end.
    Stall,
    /// The same bytes again and again, with a breath between.
    Drip(&'static str),
    /// The same bytes again and again, as fast as they are taken.
    Flood(&'static str),
    /// The connection breaks.
    Break,
}

pub(crate) fn status(status: u16) -> Reply {
    Reply::Status(status, vec![], String::new())
}

pub(crate) fn json(status: u16, body: &serde_json::Value) -> Reply {
    Reply::Status(status, vec![("content-type", "application/json".to_owned())], body.to_string())
}

pub(crate) fn stream(text: &str) -> Reply {
    Reply::Stream(vec![Step::Send(text.to_owned())])
}

/// What a request looked like.
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: serde_json::Value,
}

/// A server on a port of its own. It stops when it is dropped.
pub(crate) struct Upstream {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Tells when an answer's stream was dropped, because it was over or because the client went away.
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Answers one request after the other with the replies; the last one is repeated.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1/", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let (close, closed) = mpsc::unbounded_channel();
        let record = Arc::clone(&seen);
        let handler = move |request: Request| {
            let (record, replies, close) = (Arc::clone(&record), Arc::clone(&replies), close.clone());
            async move {
                let saw = Seen::read(request).await;
                record.lock().unwrap().push(saw);
                let reply = {
                    let mut replies = replies.lock().unwrap();
                    if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
                };
                Ok::<_, Infallible>(answer(reply.unwrap(), close).await)
            }
        };
        let mut tasks = JoinSet::new();
        let app = Router::new().fallback(handler);
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, seen, closed, _tasks: tasks }
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Returns the request that came last.
    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().pop().unwrap()
    }
}

impl Seen {
    async fn read(request: Request) -> Self {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Self {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}

struct Closing(mpsc::UnboundedSender<()>);

impl Drop for Closing {
    fn drop(&mut self) {
        // Nobody may be listening any more.
        let _ = self.0.send(());
    }
}

async fn answer(reply: Reply, close: mpsc::UnboundedSender<()>) -> Response {
    match reply {
        Reply::Status(status, headers, body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Hang => std::future::pending().await,
        Reply::Stream(steps) => {
            let closing = Closing(close);
            let bytes = stream::iter(steps).flat_map(play).map(move |bytes| {
                let _ = &closing;
                bytes
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(bytes))
                .unwrap()
        }
    }
}

fn play(step: Step) -> stream::BoxStream<'static, io::Result<Bytes>> {
    match step {
        Step::Send(text) => stream::iter([Ok(Bytes::from(text))]).boxed(),
        Step::Stall => stream::pending().boxed(),
        Step::Flood(text) => stream::repeat_with(move || Ok(Bytes::from_static(text.as_bytes()))).boxed(),
        Step::Drip(text) => {
            let breath = tokio::time::interval(Duration::from_millis(5));
            stream::unfold(breath, move |mut breath| async move {
                breath.tick().await;
                Some((Ok(Bytes::from_static(text.as_bytes())), breath))
            })
            .boxed()
        }
        // What was sent before has to be on its way when the connection breaks.
        Step::Break => stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::other("broken"))
        })
        .boxed(),
    }
}
