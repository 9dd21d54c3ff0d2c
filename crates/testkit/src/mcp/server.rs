//! Takes requests, and sends the answers piece by piece.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use super::answer::{Answer, Fault};
use super::protocol::{self, Reply};
use super::{Received, Script, State};

/// Larger requests are refused.
const MOST_BYTES: usize = 64 << 20;

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(handle).with_state(state)
}

async fn handle(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MOST_BYTES).await.unwrap_or_default();
    let received = Received {
        method: head.method.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    if head.uri.path() != "/mcp" {
        return Ok(respond(404, "text/plain", Body::from("no such page")));
    }
    state.script().requests.push(received.clone());
    state.count(|counts| counts.requests += 1);
    Ok(answer(state, &received).await)
}

async fn answer(state: Arc<State>, received: &Received) -> Response {
    let wanted = state.script().bearer.as_ref().map(|bearer| format!("Bearer {bearer}"));
    if wanted.is_some_and(|wanted| received.header("authorization") != wanted) {
        return respond(401, JSON, Body::from(r#"{"error":"invalid_token"}"#));
    }
    match received.method.as_str() {
        "DELETE" => end_session(&state, received),
        "GET" => rest(&state, received),
        // A notification, or an answer to what the server has asked.
        _ if received.rpc().is_empty() || received.body["id"].is_null() => {
            if received.rpc() == "notifications/cancelled" {
                state.count(|counts| counts.cancelled += 1);
            }
            respond(202, JSON, Body::empty())
        }
        _ => {
            let reply = protocol::reply(&mut state.script(), state.wire, received);
            // What is refused with a status is not carried out, and so not a call.
            let is_refused = matches!(reply.answer.fault, Some(Fault::Status(_) | Fault::ErrorStatus(_)));
            if let Some(called) = protocol::called(received).filter(|_| !is_refused) {
                state.script().calls.push(called);
                state.count(|counts| counts.calls += 1);
            }
            say(state, received, reply).await
        }
    }
}

fn end_session(state: &State, received: &Received) -> Response {
    let was_open = state.script().sessions.remove(received.header("mcp-session-id"));
    if was_open {
        state.count(|counts| counts.ended += 1);
    }
    respond(if was_open { 200 } else { 404 }, JSON, Body::empty())
}

/// Gives the rest of a stream that ended early.
fn rest(state: &State, received: &Received) -> Response {
    match state.script().rests.remove(received.header("last-event-id")) {
        Some(rest) => respond(200, EVENT_STREAM, Body::from(event(&rest))),
        None => respond(405, JSON, Body::empty()),
    }
}

async fn say(state: Arc<State>, received: &Received, reply: Reply) -> Response {
    let Reply { answer, is_stateless, session } = reply;
    let message = answer.message(&received.body["id"], is_stateless);
    let mut response = match answer.fault {
        Some(Fault::Status(status)) => respond(status, "text/plain", Body::from("no")),
        Some(Fault::ErrorStatus(status)) => respond(status, JSON, Body::from(message)),
        Some(Fault::Silence) => {
            let _left = Watch { state, is_whole: false };
            return std::future::pending().await;
        }
        Some(Fault::Garbage) => respond(200, JSON, Body::from("{\"half")),
        Some(Fault::Html) => respond(200, "text/html", Body::from("<html>welcome</html>")),
        _ if answer.is_json => {
            let mut watch = Watch { state, is_whole: false };
            tokio::time::sleep(answer.pace).await;
            if let Some(gate) = &answer.gate {
                gate.pass().await;
            }
            watch.is_whole = true;
            respond(200, JSON, Body::from(message))
        }
        _ => stream_answer(state, received, answer, message),
    };
    if let Some(value) = session.and_then(|session| session.parse().ok()) {
        response.headers_mut().insert("mcp-session-id", value);
    }
    response
}

/// One thing that a stream says or does.
enum Step {
    /// An event that waits for the pace and passes the gate.
    Paced(String),
    Event(String),
    Break,
    Stall,
}

fn stream_answer(state: Arc<State>, received: &Received, answer: Answer, message: String) -> Response {
    let steps = steps(&mut state.script(), received, &answer, message);
    let sending = Sending { steps, answer, watch: Watch { state, is_whole: false } };
    let body = stream::unfold(Some(sending), |sending| async move { sending?.next().await });
    respond(200, EVENT_STREAM, Body::from_stream(body))
}

fn steps(script: &mut Script, received: &Received, answer: &Answer, message: String) -> VecDeque<Step> {
    let token = &received.body["params"]["_meta"]["progressToken"];
    let progress = |step| {
        let params = json!({"progressToken": token, "progress": step, "total": answer.progress});
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string()
    };
    let mut steps = VecDeque::from([Step::Event(": here\n\n".to_owned())]);
    if let Some(method) = &answer.asks {
        let request = json!({"jsonrpc": "2.0", "id": "server-1", "method": method, "params": {}});
        steps.push_back(Step::Event(event(&request.to_string())));
    }
    if !token.is_null() {
        steps.extend((1..=answer.progress).map(|step| Step::Paced(event(&progress(step)))));
    }
    match answer.fault {
        Some(Fault::Drop) => steps.push_back(Step::Break),
        Some(Fault::Stall) => steps.push_back(Step::Stall),
        Some(Fault::EndEarly) => {}
        Some(Fault::EndNamed) => {
            let id = format!("event-{}", script.requests.len());
            steps.push_back(Step::Event(format!("id: {id}\nretry: 5\ndata: \n\n")));
            script.rests.insert(id, message);
        }
        _ => steps.push_back(Step::Paced(event(&message))),
    }
    steps
}

fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// A stream under way.
struct Sending {
    steps: VecDeque<Step>,
    answer: Answer,
    watch: Watch,
}

impl Sending {
    /// Returns the next bytes, and what remains to be sent after them.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let Some(step) = self.steps.pop_front() else {
            self.watch.is_whole = true;
            return None;
        };
        let text = match step {
            Step::Event(text) => text,
            Step::Paced(text) => {
                tokio::time::sleep(self.answer.pace).await;
                if let Some(gate) = &self.answer.gate {
                    gate.pass().await;
                }
                text
            }
            Step::Break => {
                self.watch.is_whole = true;
                // Lets go of the bytes before: the server writes them out only while it waits for more.
                tokio::task::yield_now().await;
                return Some((
                    Err(io::Error::new(io::ErrorKind::ConnectionReset, "scripted to break")),
                    None,
                ));
            }
            Step::Stall => std::future::pending().await,
        };
        // Once the answer is out, a client may leave.
        self.watch.is_whole = self.steps.is_empty();
        Some((Ok(Bytes::from(text)), Some(self)))
    }
}

/// Counts an answer as abandoned when it is dropped before its end: the client has closed the connection.
struct Watch {
    state: Arc<State>,
    is_whole: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_whole {
            self.state.count(|counts| counts.abandoned += 1);
        }
    }
}

fn respond(status: u16, content_type: &'static str, body: Body) -> Response {
    let response = Response::builder().status(status).header("content-type", content_type).body(body);
    response.unwrap_or_else(|error| panic!("an answer with status {status}: {error}"))
}
