//! A fake model provider on a free port of the loopback. It speaks the wires of OpenAI (Responses, Chat Completions,
//! embeddings), Anthropic and Gemini, answers what a test has scripted, fails as told, and keeps what it was asked.

mod gate;
mod reply;
mod server;
mod wires;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use gate::Gate;
pub use reply::{Fault, Reply, Stop, ToolCall, Usage};

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    /// The JSON body, null when there was none.
    pub body: Value,
}

impl Received {
    /// Returns a header as text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The running provider. It stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What the server and the test share.
#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    received: watch::Sender<usize>,
    abandoned: watch::Sender<usize>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Reply>,
    otherwise: Reply,
    requests: Vec<Received>,
    stored: Vec<server::Stored>,
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Starts a provider that answers "Hello." until it is told what else to say.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a fake provider: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let script = Script {
            next: VecDeque::new(),
            otherwise: Reply::text("Hello."),
            requests: Vec::new(),
            stored: Vec::new(),
        };
        let state = Arc::new(State {
            script: Mutex::new(script),
            received: watch::Sender::new(0),
            abandoned: watch::Sender::new(0),
        });
        let app = server::router(Arc::clone(&state));
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends when the value that holds its handle is dropped"
        )]
        let accepting = tokio::spawn(async move {
            // Serving ends only with the task.
            drop(axum::serve(listener, app).await);
        });
        Self { address: format!("http://{address}"), state, accepting }
    }

    /// Returns the base URL for clients of OpenAI (both wires) and of compatible servers: it ends with `/v1`.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.address)
    }

    /// Returns the base URL for clients of Anthropic; `/v1/messages` follows.
    pub fn anthropic_url(&self) -> String {
        self.address.clone()
    }

    /// Returns the base URL for clients of Gemini: it ends with `/v1beta`.
    pub fn gemini_url(&self) -> String {
        format!("{}/v1beta", self.address)
    }

    /// Adds the reply to the next request that is not scripted yet.
    pub fn answer(&self, reply: Reply) {
        self.state.script().next.push_back(reply);
    }

    /// Sets the reply to every request beyond those that [`Upstream::answer`] has scripted.
    pub fn answer_otherwise(&self, reply: Reply) {
        self.state.script().otherwise = reply;
    }

    /// Returns all requests so far, those that read a stored generation included.
    pub fn requests(&self) -> Vec<Received> {
        self.state.script().requests.clone()
    }

    /// Returns the newest request.
    ///
    /// # Panics
    /// When there was none.
    pub fn last_request(&self) -> Received {
        self.requests().pop().unwrap_or_else(|| panic!("the provider was not asked"))
    }

    /// Waits until at least so many requests have come in, and returns all.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        wait_for(&self.state.received, count).await;
        self.requests()
    }

    /// Waits until clients have left at least so many replies before their end.
    pub async fn wait_for_abandoned(&self, count: usize) {
        wait_for(&self.state.abandoned, count).await;
    }

    /// Stops listening: from now on connections are refused. Replies under way go on.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        drop((&mut self.accepting).await);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn wait_for(counter: &watch::Sender<usize>, count: usize) {
    // The sender lives as long as the caller's borrow: there is no way for the wait to fail.
    drop(counter.subscribe().wait_for(|reached| *reached >= count).await);
}

#[cfg(test)]
mod tests;
