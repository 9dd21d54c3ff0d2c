//! A receiver of webhooks: keeps what comes in, and answers what the test says.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::upstream::Gate;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Value,
}

impl Received {
    /// Returns a header as text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Script {
    received: Vec<Received>,
    next: VecDeque<(u16, String)>,
    gate: Option<Gate>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    count: watch::Sender<usize>,
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running receiver. It stops when dropped.
#[derive(Debug)]
pub struct Receiver {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver that answers `{"ok":true}` to everything.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a receiver: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let shared = Arc::new(Shared { script: Mutex::default(), count: watch::Sender::new(0) });
        let app = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends when the value that holds its handle is dropped"
        )]
        let accepting = tokio::spawn(async move {
            // Serving ends only with the task.
            drop(axum::serve(listener, app).await);
        });
        Self { address: format!("http://{address}"), shared, accepting }
    }

    /// Returns an address to register.
    pub fn url(&self) -> String {
        format!("{}/hook", self.address)
    }

    /// Answers the next request so; others after it as before.
    pub fn answer(&self, status: u16, body: &str) {
        self.shared.script().next.push_back((status, body.to_owned()));
    }

    /// Holds every answer back at a gate from now on.
    pub fn through(&self, gate: &Gate) {
        self.shared.script().gate = Some(gate.clone());
    }

    /// Returns what came in so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.script().received.clone()
    }

    /// Waits until at least so many requests have come in, and returns all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        // The sender lives as long as the caller's borrow: there is no way for the wait to fail.
        drop(self.shared.count.subscribe().wait_for(|received| *received >= count).await);
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (answer, gate) = {
        let mut script = shared.script();
        script.received.push(Received { headers, body });
        (script.next.pop_front(), script.gate.clone())
    };
    shared.count.send_modify(|count| *count += 1);
    if let Some(gate) = gate {
        gate.pass().await;
    }
    let (status, body) = answer.unwrap_or((200, r#"{"ok":true}"#.to_owned()));
    (StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body).into_response()
}
