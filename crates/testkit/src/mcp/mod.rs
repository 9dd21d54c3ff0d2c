//! A fake MCP server on a free port of the loopback. It speaks both wires of the protocol (the stateless one of 2026-07-28,
//! and sessions as older revisions have them), refuses what breaks their rules, answers what a test has scripted, fails as
//! told, and keeps what it was asked.

mod answer;
mod protocol;
mod server;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use answer::{Answer, Fault, Tool};

pub use crate::upstream::Gate;

/// Which revisions a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// 2026-07-28 only.
    Stateless,
    /// 2025-11-25 and older only, with sessions.
    Sessions,
    /// All.
    Both,
}

/// A call of a tool that came in, carried out or not.
#[derive(Clone, Debug)]
pub struct Called {
    pub tool: String,
    pub args: Value,
    /// What `_meta` names as `ingram-cloud/idempotency-key`, or the empty text.
    pub idempotency_key: String,
    /// What `_meta` names as `traceparent`, or the empty text.
    pub traceparent: String,
    /// Null where none came back.
    pub input_responses: Value,
    pub request_state: Option<String>,
    /// The session that it came in.
    pub session: Option<String>,
    pub headers: HeaderMap,
}

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// The HTTP method.
    pub method: String,
    pub headers: HeaderMap,
    /// The message, null where there was none.
    pub body: Value,
}

impl Received {
    /// Returns the method of the message, or the empty text.
    pub fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// Returns a header as text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The running server. It stops when dropped.
#[derive(Debug)]
pub struct McpServer {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What the server and the test share.
#[derive(Debug)]
struct State {
    wire: Wire,
    script: Mutex<Script>,
    changes: watch::Sender<Counts>,
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: usize,
    calls: usize,
    abandoned: usize,
    cancelled: usize,
    ended: usize,
}

#[derive(Debug, Default)]
struct Script {
    tools: Vec<Tool>,
    page_size: Option<usize>,
    ttl_ms: Option<Value>,
    bearer: Option<String>,
    /// The revision that a handshake ends with. None: the one that the client wants.
    version: Option<String>,
    next: HashMap<String, VecDeque<Answer>>,
    sessions: HashSet<String>,
    sessions_begun: usize,
    /// What is still to be said in streams that ended early, by the id of their last event.
    rests: HashMap<String, String>,
    requests: Vec<Received>,
    calls: Vec<Called>,
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.changes.send_modify(change);
    }
}

impl McpServer {
    /// Starts a server without tools.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(wire: Wire) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a fake MCP server: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let state = Arc::new(State {
            wire,
            script: Mutex::new(Script::default()),
            changes: watch::Sender::new(Counts::default()),
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

    /// Returns the address to register.
    pub fn url(&self) -> String {
        format!("{}/mcp", self.address)
    }

    /// Offers a tool, instead of an earlier one of the same name.
    pub fn offer(&self, tool: Tool) {
        let mut script = self.state.script();
        script.tools.retain(|other| other.name().is_empty() || other.name() != tool.name());
        script.tools.push(tool);
    }

    /// Offers a tool beside whatever is there, also one of the same name.
    pub fn offer_too(&self, tool: Tool) {
        self.state.script().tools.push(tool);
    }

    /// Takes all tools away.
    pub fn offer_nothing(&self) {
        self.state.script().tools.clear();
    }

    /// Adds the answer to the next call of a tool that is not scripted yet.
    pub fn answer(&self, tool: &str, answer: Answer) {
        self.answer_method(&format!("tools/call {tool}"), answer);
    }

    /// Adds the answer to the next request of a method that is not scripted yet, such as `tools/list` or `initialize`.
    pub fn answer_method(&self, method: &str, answer: Answer) {
        self.state.script().next.entry(method.to_owned()).or_default().push_back(answer);
    }

    /// Lists so many tools on a page.
    pub fn page(&self, size: usize) {
        self.state.script().page_size = Some(size);
    }

    /// Says how long the list may be kept.
    pub fn ttl_ms(&self, ttl: impl Into<Value>) {
        self.state.script().ttl_ms = Some(ttl.into());
    }

    /// Wants this bearer from now on.
    pub fn require_bearer(&self, bearer: &str) {
        self.state.script().bearer = Some(bearer.to_owned());
    }

    /// Ends each handshake with this revision.
    pub fn speak(&self, version: &str) {
        self.state.script().version = Some(version.to_owned());
    }

    /// Forgets all sessions.
    pub fn expire_sessions(&self) {
        self.state.script().sessions.clear();
    }

    /// Returns how many sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.state.script().sessions.len()
    }

    /// Returns all that came in so far.
    pub fn requests(&self) -> Vec<Received> {
        self.state.script().requests.clone()
    }

    /// Returns the methods of the messages that came in so far, in order.
    pub fn methods(&self) -> Vec<String> {
        self.requests()
            .iter()
            .map(|received| received.rpc().to_owned())
            .filter(|rpc| !rpc.is_empty())
            .collect()
    }

    /// Returns all calls of tools so far.
    pub fn calls(&self) -> Vec<Called> {
        self.state.script().calls.clone()
    }

    /// Returns all calls of one tool so far.
    pub fn calls_of(&self, tool: &str) -> Vec<Called> {
        self.calls().into_iter().filter(|called| called.tool == tool).collect()
    }

    /// Waits until at least so many tools were called in all, and returns the calls.
    pub async fn wait_for_calls(&self, count: usize) -> Vec<Called> {
        self.wait(|counts| counts.calls >= count).await;
        self.calls()
    }

    /// Waits until at least so many messages have come in, and returns all.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        self.wait(|counts| counts.requests >= count).await;
        self.requests()
    }

    /// Waits until clients have left at least so many answers before their end.
    pub async fn wait_for_abandoned(&self, count: usize) {
        self.wait(|counts| counts.abandoned >= count).await;
    }

    /// Waits until at least so many calls were cancelled by a message.
    pub async fn wait_for_cancelled(&self, count: usize) {
        self.wait(|counts| counts.cancelled >= count).await;
    }

    /// Waits until clients have ended at least so many sessions.
    pub async fn wait_for_ended_sessions(&self, count: usize) {
        self.wait(|counts| counts.ended >= count).await;
    }

    /// Stops listening: from now on connections are refused.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        drop((&mut self.accepting).await);
    }

    async fn wait(&self, reached: impl Fn(&Counts) -> bool) {
        // The sender lives as long as the caller's borrow: there is no way for the wait to fail.
        drop(self.state.changes.subscribe().wait_for(|counts| reached(counts)).await);
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
