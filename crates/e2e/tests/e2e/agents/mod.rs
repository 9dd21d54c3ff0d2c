//! Agents: designed, published, rolled out, and what that does to their smiths.

mod attach;
mod life;
mod refusals;
mod rollouts;

use e2e::Server;
use serde_json::{Value, json};

use crate::support::id;

const AGENTS: &str = "/v1/agents";
const SMITHS: &str = "/v1/smiths";

fn path(agent: &Value, rest: &str) -> String {
    format!("{AGENTS}/{}{rest}", id(agent))
}

async fn agent(server: &Server, body: Value) -> Value {
    server.admin().post(AGENTS, &body).await.expect(201)
}

async fn publish(server: &Server, agent: &Value) -> Value {
    server.admin().post(&path(agent, "/versions"), &json!({})).await.expect(201)
}

async fn roll_out(server: &Server, agent: &Value, version: u32, percent: u32) -> Value {
    let body = json!({"version": version, "percent": percent});
    server.admin().post(&path(agent, "/rollout"), &body).await.expect(200)
}

/// Makes an agent whose first version is live.
async fn published(server: &Server, body: Value) -> Value {
    let made = agent(server, body).await;
    publish(server, &made).await;
    made
}

/// Makes a smith of an agent.
async fn smith(server: &Server, agent: &Value, body: Value) -> Value {
    let mut body = body;
    body["agent_id"] = agent["id"].clone();
    server.admin().post(SMITHS, &body).await.expect(201)
}

/// Returns the smith as it is now.
async fn now(server: &Server, smith: &Value) -> Value {
    server.admin().get(&format!("{SMITHS}/{}", id(smith))).await.expect(200)
}
