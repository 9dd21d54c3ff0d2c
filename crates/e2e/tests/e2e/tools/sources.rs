//! What a run is offered where sources of tools are damaged or too many.

use e2e::{Engine, Setup, Smith, both};
use serde_json::{Value, json};
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::receiver::Receiver;
use testkit::upstream::{Reply, Upstream};

use super::{register, smith_with};

fn warnings(run: &Value) -> Vec<(&str, &str)> {
    let warnings = run["warnings"].as_array().unwrap().iter();
    warnings
        .map(|warning| (warning["code"].as_str().unwrap(), warning["message"].as_str().unwrap()))
        .collect()
}

/// The names of the tools in the last request to the fake provider.
fn offered(upstream: &Upstream) -> Vec<String> {
    let request = upstream.last_request();
    let tools = request.body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_run_goes_on_without_a_registration_that_is_damaged() {
    both(async |server| {
        let receiver = Receiver::start().await;
        for name in ["good", "bad"] {
            register(&server, name, json!({"execution": "webhook", "url": receiver.url()})).await;
        }
        let peer = McpServer::start(Wire::Stateless).await;
        peer.offer(Tool::new("lookup").answers(Answer::text("found")));
        for name in ["crm", "broken"] {
            let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
            server.admin().put(&format!("/v1/tenant/mcp/{name}"), &body).await.expect(200);
        }
        server.alter("update project_tools set annotations = '[' where name = 'bad'").await;
        server.alter("update mcp_servers set auth = '[' where name = 'broken'").await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = smith_with(&server, &upstream, &["good", "bad"]).await;
        let run = smith.run(&Smith::says("Hello")).await;
        assert_eq!(run["output"]["content"], "Hello.");
        assert_eq!(offered(&upstream), ["good", "lookup"]);
        let warnings = warnings(&run);
        assert!(warnings.iter().all(|(code, _)| *code == "tool_source_unavailable"), "{warnings:?}");
        assert!(warnings[0].1.contains("the tool `bad`"), "{warnings:?}");
        assert!(warnings[1].1.contains("the MCP server `broken`"), "{warnings:?}");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    })
    .await;
}

#[tokio::test]
async fn a_model_is_offered_so_many_tools_and_the_run_is_warned_of_the_rest() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_configuration("[engine]\nmax_tools = 2\n").start().await;
        let receiver = Receiver::start().await;
        register(&server, "order", json!({"execution": "webhook", "url": receiver.url()})).await;
        let peer = McpServer::start(Wire::Stateless).await;
        for name in ["one", "two", "three"] {
            peer.offer(Tool::new(name).answers(Answer::text("done")));
        }
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        server.admin().put("/v1/tenant/mcp/crm", &body).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = smith_with(&server, &upstream, &["order"]).await;
        let run = smith.run(&Smith::says("Hello")).await;
        assert_eq!(offered(&upstream), ["order", "one"]);
        let [("tool_unavailable", message)] = warnings(&run)[..] else { panic!("{run:#}") };
        assert!(message.starts_with("2 of 4 tools are not offered"), "{message}");
    }
}
