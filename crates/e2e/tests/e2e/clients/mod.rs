//! The APIs of OpenAI, used by the clients that others have built: each program in `clients/` against the real server.
//!
//! `scripts/test-peers.sh` installs the clients; each test runs it, which costs nothing when they are there.

mod page;
mod program;

use e2e::{Engine, Server, Setup, Smith};
use serde_json::json;
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::receiver::Receiver;

use crate::support::{PERMISSIONS, token};

const SCRIPT: &str = include_str!("../../../../../clients/scripts/clients.toml");

/// A server with all that the programs expect.
struct Stage {
    server: Server,
    smith: Smith,
    /// What the smith's own tool calls.
    _receiver: Receiver,
    /// What requests bring along.
    dictionary: McpServer,
}

impl Stage {
    async fn on(engine: Engine) -> Self {
        Self::with(Setup::on(engine)).await
    }

    async fn with(setup: Setup) -> Self {
        let server = setup.with_script("clients", SCRIPT).start().await;
        let receiver = Receiver::start().await;
        let tools = [
            (
                "refund",
                json!({
                    "execution": "webhook",
                    "url": receiver.url(),
                    "approval": "always",
                    "description": "Refunds an order.",
                    "input_schema": {
                        "type": "object",
                        "properties": {"order": {"type": "integer"}},
                        "required": ["order"],
                    },
                }),
            ),
            (
                "read_meter",
                json!({
                    "execution": "external",
                    "description": "Reads the meter of a unit.",
                    "input_schema": {"type": "object", "properties": {"unit": {"type": "integer"}}},
                }),
            ),
        ];
        for (name, tool) in tools {
            server.admin().put(&format!("/v1/tenant/tools/{name}"), &tool).await.expect(200);
        }
        let smith =
            json!({"model": "scripted/clients", "tools": ["refund", "read_meter"], "mcp_servers": []});
        let smith = server.smith(smith).await;
        let dictionary = McpServer::start(Wire::Both).await;
        dictionary.offer(Tool::new("lookup").answers(Answer::text("a surname")));
        Self { server, smith, _receiver: receiver, dictionary }
    }

    /// Runs a program of `clients/` to its end.
    ///
    /// # Panics
    /// When it fails.
    async fn runs(&self, path: &str) {
        let body = json!({"smith_id": self.smith.id, "permissions": PERMISSIONS});
        let minted = self.server.admin().post("/v1/tenant/tokens", &body).await.expect(201);
        let dictionary = self.dictionary.url();
        let variables = [
            ("INGRAM_TOKEN", token(&minted)),
            ("INGRAM_PROJECT_TOKEN", self.server.admin_token()),
            ("INGRAM_SMITH_ID", &self.smith.id),
            ("INGRAM_MCP_URL", &dictionary),
        ];
        program::run(path, self.server.base_url(), &variables).await;
    }
}

#[tokio::test]
async fn the_chat_completions_of_the_python_sdk() {
    Stage::on(Engine::Sqlite).await.runs("python/openai_chat.py").await;
}

#[tokio::test]
async fn the_responses_of_the_python_sdk() {
    Stage::on(Engine::Sqlite).await.runs("python/openai_responses.py").await;
}

#[tokio::test]
async fn the_responses_of_the_python_sdk_on_postgresql() {
    Stage::on(Engine::Postgres).await.runs("python/openai_responses.py").await;
}

#[tokio::test]
async fn the_agents_sdk() {
    Stage::on(Engine::Sqlite).await.runs("python/agents_sdk.py").await;
}

#[tokio::test]
async fn the_schema_of_open_responses() {
    Stage::on(Engine::Sqlite).await.runs("python/validate.py").await;
}

#[tokio::test]
async fn the_chat_completions_of_the_javascript_sdk() {
    Stage::on(Engine::Sqlite).await.runs("node/openai_chat.mjs").await;
}

#[tokio::test]
async fn the_responses_of_the_javascript_sdk() {
    Stage::on(Engine::Sqlite).await.runs("node/openai_responses.mjs").await;
}

#[tokio::test]
async fn the_ai_sdk_with_responses() {
    Stage::on(Engine::Sqlite).await.runs("node/ai_sdk_responses.mjs").await;
}

#[tokio::test]
async fn the_ai_sdk_with_chat_completions() {
    Stage::on(Engine::Sqlite).await.runs("node/ai_sdk_chat.mjs").await;
}

#[tokio::test]
async fn clients_come_back_to_a_busy_server() {
    let setup = Setup::on(Engine::Sqlite)
        .with_variable("INGRAM_ENGINE_MAX_RUNNING", "2")
        .with_variable("INGRAM_ENGINE_MAX_WAITING_PER_THREAD", "1");
    let stage = Stage::with(setup).await;
    stage.runs("python/retries.py").await;
    stage.runs("node/retries.mjs").await;
}
