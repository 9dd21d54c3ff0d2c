//! A small client for the conformance suite of the protocol: lists the tools of a server and calls each of them.
//!
//! The suite gives the address as the last argument, the scenario in `MCP_CONFORMANCE_SCENARIO`, and what the scenario wants
//! to have called, if it is particular about it, in `MCP_CONFORMANCE_CONTEXT`.

#![expect(clippy::print_stdout, reason = "it tells whoever runs the suite what it saw")]

use anyhow::{Context, Result};
use domain::ids::{Id, RunId, SmithId};
use domain::tools::ManifestTool;
use egress::{Egress, Policy};
use serde_json::{Map, Value, json};
use tools::mcp::{Mcp, Options, Server};
use tools::{Call, Outcome, Person, Reply, Resumption};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = std::env::args().next_back().context("the last argument is the address of a server")?;
    let mcp = Mcp::new(&Egress::new()?, Policy::LocalToo, Options::default())?;
    let mut server = Server { url: url.parse()?, bearer: None, headers: Vec::new(), protocol: None };
    let manifest = mcp.discover(&server).await?;
    println!("{} tools in revision {}", manifest.tools.len(), manifest.protocol);
    server.protocol = Some(manifest.protocol.clone());
    for (number, (tool, args)) in wanted(&manifest.tools)?.into_iter().enumerate() {
        call(&mcp, &server, number, &tool, args).await;
    }
    mcp.finish().await;
    Ok(())
}

/// Returns what is to be called: what the scenario names, or each tool once.
fn wanted(tools: &[ManifestTool]) -> Result<Vec<(String, Map<String, Value>)>> {
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "{}".to_owned());
    let context: Value = serde_json::from_str(&context)?;
    if let Some(calls) = context.get("toolCalls").and_then(Value::as_array) {
        let name = |call: &Value| call.get("name").and_then(Value::as_str).map(str::to_owned);
        let args =
            |call: &Value| call.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
        return Ok(calls.iter().filter_map(|call| Some((name(call)?, args(call)))).collect());
    }
    Ok(tools.iter().map(|tool| (tool.name.clone(), args(tool, tools))).collect())
}

/// Makes up arguments. One that is called `schema` wants to see the schema of the first tool as this client has it.
fn args(tool: &ManifestTool, tools: &[ManifestTool]) -> Map<String, Value> {
    let mut args = example(&tool.input_schema);
    if let (Some(schema), Some(first)) = (args.get_mut("schema"), tools.first()) {
        schema.clone_from(&first.input_schema);
    }
    args
}

/// Calls a tool, and answers what it asks, until it is done.
async fn call(mcp: &Mcp, server: &Server, number: usize, tool: &str, args: Map<String, Value>) {
    let run = RunId::from_bytes([1; 16]);
    let mut call = Call {
        tool: tool.to_owned(),
        args,
        call_id: format!("call_{number}"),
        idempotency_key: format!("{run}::call_{number}"),
        run,
        smith: SmithId::from_bytes([2; 16]),
        thread_id: "conformance".to_owned(),
        resumption: None,
        person: Person::default(),
    };
    for _ in 0..5 {
        match mcp.call(server, &call).await {
            Outcome::Answered(answer) => {
                println!("{tool}: {}", answer.output);
                return;
            }
            Outcome::Asks { questions, request_state } => {
                println!("{tool} asks {} questions", questions.len());
                let reply = |schema| Reply::Accept(Value::Object(example(schema)));
                let replies =
                    questions.iter().map(|one| (one.key.clone(), reply(&one.requested_schema))).collect();
                call.resumption = Some(Resumption { request_state, replies });
            }
        }
    }
}

/// Makes up an object that fits the schema.
fn example(schema: &Value) -> Map<String, Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let value = |property: &Value| {
        if let Some(value) = property.get("default") {
            return value.clone();
        }
        match property.get("type").and_then(Value::as_str) {
            Some("integer" | "number") => json!(2),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => Value::Object(example(property)),
            _ => json!("text"),
        }
    };
    properties.into_iter().flatten().map(|(name, property)| (name.clone(), value(property))).collect()
}
