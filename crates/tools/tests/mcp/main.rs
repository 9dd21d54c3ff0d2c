//! The client of MCP servers against a fake server that speaks both wires and does what servers do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

mod bounds;
mod calls;
mod cancelling;
mod discovery;
mod elicitation;
mod headers;
mod lies;
mod sessions;
mod trouble;

use domain::ids::{Id, RunId, SmithId};
use egress::{Egress, Policy};
use serde_json::{Value, json};
use testkit::mcp::{McpServer, Tool, Wire};
use tools::mcp::{Mcp, Options, Server};
use tools::{Answer, Call, Outcome, Person};

/// Must be found in no message.
pub(crate) const BEARER: &str = "bearer-canary-0123456789";

pub(crate) fn mcp() -> Mcp {
    mcp_with(Options::default())
}

pub(crate) fn mcp_with(options: Options) -> Mcp {
    Mcp::new(&Egress::new().unwrap(), Policy::LocalToo, options).unwrap()
}

/// Starts a server with one tool.
pub(crate) async fn offering(wire: Wire, tool: Tool) -> McpServer {
    let fake = McpServer::start(wire).await;
    fake.offer(tool);
    fake
}

/// Registers a server of which nothing is known.
pub(crate) fn server(fake: &McpServer) -> Server {
    Server { url: fake.url().parse().unwrap(), bearer: None, headers: Vec::new(), protocol: None }
}

/// Registers a server whose revision is known.
pub(crate) fn known(fake: &McpServer, protocol: &str) -> Server {
    Server { protocol: Some(protocol.to_owned()), ..server(fake) }
}

pub(crate) fn call(tool: &str) -> Call {
    call_in_run(tool, 1)
}

pub(crate) fn call_in_run(tool: &str, run: u8) -> Call {
    let run = RunId::from_bytes([run; 16]);
    Call {
        tool: tool.to_owned(),
        args: object(json!({"n": 1})),
        call_id: "call_1".to_owned(),
        idempotency_key: format!("{run}::call_1"),
        run,
        smith: SmithId::from_bytes([9; 16]),
        thread_id: "thread".to_owned(),
        resumption: None,
        person: Person::default(),
    }
}

pub(crate) fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Calls a tool that answers.
pub(crate) async fn answer(mcp: &Mcp, server: &Server, call: &Call) -> Answer {
    match mcp.call(server, call).await {
        Outcome::Answered(answer) => {
            for text in [Some(&answer.output), answer.trouble.as_ref()].into_iter().flatten() {
                assert!(!text.contains(BEARER) && !text.contains("q-canary"), "{text}");
            }
            answer
        }
        asks @ Outcome::Asks { .. } => panic!("{asks:?}"),
    }
}
