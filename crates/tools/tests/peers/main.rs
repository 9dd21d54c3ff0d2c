//! The client of MCP servers against servers that others have built, and against the conformance suite of the protocol.
//!
//! `scripts/test-peers.sh` installs them; each test runs it, which costs nothing when they are there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

mod conformance;
mod node;
mod process;
mod python;

use domain::ids::{Id, RunId, SmithId};
use domain::tools::ManifestTool;
use egress::{Egress, Policy};
use serde_json::Value;
use tools::mcp::{Mcp, Options, Server};
use tools::{Answer, Call, Outcome, Person};

pub(crate) fn mcp() -> Mcp {
    mcp_with(Options::default())
}

pub(crate) fn mcp_with(options: Options) -> Mcp {
    Mcp::new(&Egress::new().unwrap(), Policy::LocalToo, options).unwrap()
}

pub(crate) fn server(url: &str, protocol: Option<&str>) -> Server {
    Server {
        url: url.parse().unwrap(),
        bearer: None,
        headers: Vec::new(),
        protocol: protocol.map(str::to_owned),
    }
}

pub(crate) fn call(tool: &str, args: Value) -> Call {
    let run = RunId::from_bytes([1; 16]);
    Call {
        tool: tool.to_owned(),
        args: args.as_object().unwrap().clone(),
        call_id: "call_1".to_owned(),
        idempotency_key: format!("{run}::call_1"),
        run,
        smith: SmithId::from_bytes([2; 16]),
        thread_id: "thread".to_owned(),
        resumption: None,
        person: Person::default(),
    }
}

pub(crate) async fn answer(mcp: &Mcp, server: &Server, call: &Call) -> Answer {
    match mcp.call(server, call).await {
        Outcome::Answered(answer) => answer,
        asks @ Outcome::Asks { .. } => panic!("{asks:?}"),
    }
}

pub(crate) fn tool<'a>(tools: &'a [ManifestTool], name: &str) -> &'a ManifestTool {
    tools.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("no tool {name} in {tools:?}"))
}
