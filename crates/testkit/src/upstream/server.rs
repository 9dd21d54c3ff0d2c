//! Takes requests, and sends the scripted replies piece by piece.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::Value;

use super::wires::{Piece, Script, Wire};
use super::{Fault, Received, Reply, State};

/// Larger requests are refused; a provider has such a limit too.
const MOST_BYTES: usize = 64 << 20;

/// A generation of the Responses wire that can be read again.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    id: String,
    script: Script,
    reply: Reply,
    cancelled: bool,
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(handle).with_state(state)
}

async fn handle(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MOST_BYTES).await.unwrap_or_default();
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let number = {
        let mut script = state.script();
        script.requests.push(received.clone());
        script.requests.len()
    };
    state.received.send_replace(number);
    Ok(if let Some(id) = Wire::stored_id(&received.path) {
        read_stored(&state, &received, id)
    } else if let Some(wire) = Wire::of(&received) {
        generate(state, wire, &received, number).await
    } else {
        respond(404, "application/json", Body::from(r#"{"error":{"message":"no such route"}}"#))
    })
}

async fn generate(state: Arc<State>, wire: Wire, received: &Received, number: usize) -> Response {
    let reply = {
        let mut script = state.script();
        script.next.pop_front().unwrap_or_else(|| script.otherwise.clone())
    };
    if reply.stalls_before_head {
        let _left = Watch { state, whole: false };
        return std::future::pending().await;
    }
    if reply.status != 200 {
        let mut response =
            respond(reply.status, "application/json", Body::from(wire.error(reply.status).to_string()));
        if let Some(value) = reply.retry_after.as_ref().and_then(|value| value.parse().ok()) {
            response.headers_mut().insert("retry-after", value);
        }
        return response;
    }
    let script = wire.script(&reply, &received.body, number);
    if wire == Wire::Responses && received.body.get("store") != Some(&Value::Bool(false)) {
        let id = script.whole.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let stored = Stored { id, script: script.clone(), reply: reply.clone(), cancelled: false };
        state.script().stored.push(stored);
    }
    if wire.is_streamed(received) {
        stream_script(state, wire, script, reply)
    } else {
        whole(state, script, reply).await
    }
}

/// Answers a read of a stored generation. It runs on without its client, and is finished once its gate stands open.
fn read_stored(state: &Arc<State>, received: &Received, id: &str) -> Response {
    let mut script = state.script();
    let Some(stored) = script.stored.iter_mut().find(|stored| stored.id == id) else {
        return respond(404, "application/json", Body::from(Wire::Responses.error(404).to_string()));
    };
    stored.cancelled |= received.method == "POST" && received.path.ends_with("/cancel");
    let stored = stored.clone();
    drop(script);
    if received.query.contains("stream=true") {
        let after =
            received.query.split('&').find_map(|pair| pair.strip_prefix("starting_after=")?.parse().ok());
        let replay = Reply { fault: None, ..stored.reply };
        return stream_script(Arc::clone(state), Wire::Responses, stored.script.after(after), replay);
    }
    let finished = stored.reply.gate.as_ref().is_none_or(super::Gate::is_open);
    let mut whole = stored.script.whole;
    if let Some(fields) = whole.as_object_mut().filter(|_| stored.cancelled || !finished) {
        fields.insert("status".to_owned(), if stored.cancelled { "cancelled" } else { "in_progress" }.into());
        fields.insert("output".to_owned(), Value::Array(Vec::new()));
        fields.insert("usage".to_owned(), Value::Null);
    }
    respond(200, "application/json", Body::from(whole.to_string()))
}

async fn whole(state: Arc<State>, script: Script, reply: Reply) -> Response {
    let mut watch = Watch { state, whole: false };
    if let Some(gate) = &reply.gate {
        gate.pass().await;
    }
    let text = script.whole.to_string();
    let half = text.get(..text.len() / 2).unwrap_or_default().to_owned();
    let body = match reply.fault.map(|(fault, _)| fault) {
        None => Body::from(text),
        Some(Fault::Garbage) => Body::from(GARBAGE),
        Some(Fault::EndEarly | Fault::ErrorEvent) => Body::from(half),
        Some(Fault::Stall) => return std::future::pending().await,
        Some(Fault::Drop) => {
            Body::from_stream(stream::once(async { Ok(Bytes::from(half)) }).chain(stream::once(broken())))
        }
    };
    watch.whole = true;
    respond(200, "application/json", body)
}

fn stream_script(state: Arc<State>, wire: Wire, script: Script, reply: Reply) -> Response {
    let sending = Sending {
        wire,
        pieces: script.pieces.into_iter(),
        reply,
        sent: 0,
        watch: Watch { state, whole: false },
    };
    let body = stream::unfold(Some(sending), |sending| async move { sending?.next().await });
    respond(200, "text/event-stream", Body::from_stream(body))
}

/// A stream under way.
struct Sending {
    wire: Wire,
    pieces: std::vec::IntoIter<Piece>,
    reply: Reply,
    sent: usize,
    watch: Watch,
}

impl Sending {
    /// Returns the next bytes, and what remains to be sent after them.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let Some(piece) = self.pieces.next() else {
            self.watch.whole = true;
            return None;
        };
        if piece.is_gated {
            if let Some((fault, _)) = self.reply.fault.filter(|(_, after)| *after == self.sent) {
                return self.fail(fault).await;
            }
            if let Some(gate) = &self.reply.gate {
                gate.pass().await;
            }
            self.sent += 1;
        }
        Some((Ok(Bytes::from(piece.text)), Some(self)))
    }

    async fn fail(mut self, fault: Fault) -> Option<(io::Result<Bytes>, Option<Self>)> {
        self.watch.whole = fault != Fault::Stall;
        match fault {
            Fault::Stall => std::future::pending().await,
            Fault::Garbage => Some((Ok(Bytes::from_static(GARBAGE)), None)),
            Fault::Drop => Some((broken().await, None)),
            Fault::EndEarly => None,
            Fault::ErrorEvent => Some((Ok(Bytes::from(self.wire.error_event())), None)),
        }
    }
}

const GARBAGE: &[u8] = b"data: {\"half\n\n\xff\xfe\x00<html>502</html>\n\n";

/// Counts a reply as abandoned when it is dropped before its end: the client has closed the connection.
struct Watch {
    state: Arc<State>,
    whole: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.whole {
            self.state.abandoned.send_modify(|count| *count += 1);
        }
    }
}

/// Breaks the connection, but lets go of the bytes before: the server writes them out only while it waits for more.
async fn broken() -> io::Result<Bytes> {
    tokio::task::yield_now().await;
    Err(io::Error::new(io::ErrorKind::ConnectionReset, "scripted to break"))
}

fn respond(status: u16, content_type: &'static str, body: Body) -> Response {
    let response = Response::builder().status(status).header("content-type", content_type).body(body);
    response.unwrap_or_else(|error| panic!("a reply with status {status}: {error}"))
}
