//! Calls that the server carries out: hosted tools, webhooks, MCP servers.

use e2e::{Engine, Setup, Smith, both};
use serde_json::{Value, json};
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::receiver::Receiver;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{asks_for, events, register, results, smith_with};
use crate::support::id;

fn warnings(run: &Value) -> Vec<&str> {
    run["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

/// The names of the tools in the last request to the fake provider.
fn offered(upstream: &Upstream) -> Vec<String> {
    let request = upstream.last_request();
    let tools = request.body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_hosted_tool_is_called_and_its_result_reaches_the_model() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "calculate", json!({"expression": "0.1 + 0.2"})));
        upstream.answer(Reply::text("0.3"));
        let smith = server.smith_on(&upstream).await;
        let tools = json!({"enabled_hosted_tools": ["calculator", "file_search"]});
        server.admin().patch(&smith.path(""), &tools).await.expect(200);
        let run = smith.run(&Smith::says("Add")).await;
        assert_eq!(run["output"]["content"], "0.3");
        assert!(results(&upstream)[0].1.contains("0.3"), "{:?}", results(&upstream));
        assert_eq!(warnings(&run), ["tool_unavailable"], "the run does without what is not here");
        assert_eq!(
            events(&server, &smith, &run).await,
            [
                "run.started",
                "tool.executing calculate",
                "tool.completed calculate",
                "message.delta",
                "message.completed",
                "run.completed"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn suggested_replies_are_in_the_record() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "suggest_replies", json!({"replies": ["Yes", "No"]})));
        upstream.answer(Reply::text("Shall I?"));
        let smith = server.smith_on(&upstream).await;
        let tools = json!({"enabled_hosted_tools": ["suggest_replies"]});
        server.admin().patch(&smith.path(""), &tools).await.expect(200);
        let run = smith.run(&Smith::says("Hello")).await;
        assert_eq!(run["output"], json!({"content": "Shall I?", "suggested_replies": ["Yes", "No"]}));
        let read = server.admin().get(&smith.path(&format!("/runs/{}", id(&run)))).await.expect(200);
        assert_eq!(read["output"], run["output"]);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_told_who_calls_and_its_answer_is_the_result() {
    both(async |server| {
        let receiver = Receiver::start().await;
        receiver.answer(200, r#"{"voided": true}"#);
        register(&server, "void", json!({"execution": "webhook", "url": receiver.url()})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "void", 12));
        upstream.answer(Reply::text("Done."));
        let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
        server.admin().put("/v1/tenant/model_keys/openai_compatible", &key).await.expect(200);
        let smith = json!({"model": "openai_compatible/mock", "external_id": "user-7", "tools": ["void"]});
        let smith = server.smith(smith).await;
        let run = smith.run(&json!({"input": "Void 12", "thread_id": "t1"})).await;
        let call = &receiver.received()[0];
        let run_id = id(&run);
        assert_eq!(
            call.body,
            json!({"tool": "void", "args": {"amount": 12}, "tool_call_id": "c1", "run_id": run_id, "smith_id": smith.id,
                   "external_id": "user-7", "thread_id": "t1"})
        );
        assert_eq!(call.header("idempotency-key"), format!("{run_id}::c1"));
        assert!(call.header("x-ic-signature").starts_with("t="));
        assert!(results(&upstream)[0].1.contains("voided"));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_an_error_result_and_its_last_error_is_kept() {
    both(async |server| {
        let receiver = Receiver::start().await;
        receiver.answer(500, "the canary of the tool");
        register(&server, "void", json!({"execution": "webhook", "url": receiver.url()})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "void", 12));
        upstream.answer(Reply::text("It failed."));
        let smith = smith_with(&server, &upstream, &["void"]).await;
        let run = smith.run(&Smith::says("Void 12")).await;
        assert_eq!(run["status"], "completed");
        assert_eq!(receiver.received().len(), 1, "a call with side effects is not repeated");
        assert!(results(&upstream)[0].1.contains("500"));
        let tool = server.admin().get("/v1/tenant/tools/void").await.expect(200);
        assert!(tool["last_call_error"].as_str().unwrap().contains("500"), "{tool}");
        assert!(!server.log().contains("canary"));
    })
    .await;
}

#[tokio::test]
async fn tools_of_all_mcp_servers_are_offered_and_one_that_is_down_costs_a_warning() {
    for wire in [Wire::Stateless, Wire::Sessions] {
        both(async |server| {
            let peer = McpServer::start(wire).await;
            peer.offer(Tool::new("lookup").answers(Answer::text("found")));
            let mut down = McpServer::start(wire).await;
            for (name, url) in [("crm", peer.url()), ("gone", down.url())] {
                let body = json!({"url": url, "auth": {"kind": "none"}});
                if name == "gone" {
                    down.stop().await;
                }
                server.admin().put(&format!("/v1/tenant/mcp/{name}"), &body).await.expect(200);
            }
            let upstream = Upstream::start().await;
            upstream.answer(Reply::tool_call("c1", "lookup", json!({})));
            upstream.answer_otherwise(Reply::text("Found."));
            let smith = server.smith_on(&upstream).await;
            let run = smith.run(&Smith::says("Look it up")).await;
            assert_eq!(run["output"]["content"], "Found.");
            assert_eq!(warnings(&run), ["tool_source_unavailable"]);
            assert_eq!(offered(&upstream), ["lookup"]);
            assert_eq!(results(&upstream)[0].1, "found");
            let key = peer.calls()[0].idempotency_key.clone();
            assert_eq!(key, format!("{}::c1", id(&run)));
            // A smith may leave all of them out.
            server.admin().patch(&smith.path(""), &json!({"mcp_servers": []})).await.expect(200);
            assert_eq!(warnings(&smith.run(&Smith::says("Again")).await), [""; 0]);
            assert!(offered(&upstream).is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn images_of_a_tool_reach_the_model_and_are_kept_as_files() {
    both(async |server| {
        let peer = McpServer::start(Wire::Stateless).await;
        let image = json!([
            {"type": "text", "text": "a chart"},
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
        ]);
        peer.offer(Tool::new("chart").answers(Answer::content(image)));
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        server.admin().put("/v1/tenant/mcp/charts", &body).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "chart", json!({})));
        upstream.answer_otherwise(Reply::text("Nice."));
        let smith = server.smith_on(&upstream).await;
        smith.run(&json!({"input": "Show me", "thread_id": "t"})).await;
        assert!(upstream.last_request().body.to_string().contains("data:image/png;base64,iVBORw0KGgo="));
        smith.run(&json!({"input": "And again", "thread_id": "t"})).await;
        assert!(upstream.last_request().body.to_string().contains("data:image/png;base64,iVBORw0KGgo="));
    })
    .await;
}

#[tokio::test]
async fn a_file_of_a_tool_that_the_model_may_not_take_is_told_in_words_and_the_thread_goes_on() {
    both(async |server| {
        let peer = McpServer::start(Wire::Stateless).await;
        let resource = json!({"uri": "file:///song.wav", "blob": "c29uZw==", "mimeType": "audio/wav"});
        let content = json!([{"type": "text", "text": "a song"}, {"type": "resource", "resource": resource}]);
        peer.offer(Tool::new("sing").answers(Answer::content(content)));
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        server.admin().put("/v1/tenant/mcp/songs", &body).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "sing", json!({})));
        upstream.answer_otherwise(Reply::text("Nice."));
        let smith = server.smith_on(&upstream).await;
        for input in ["Sing", "And again"] {
            smith.run(&json!({"input": input, "thread_id": "t"})).await;
            let asked = upstream.last_request().body.to_string();
            assert!(
                asked.contains("song.wav") && asked.contains("may not take the type audio/wav"),
                "{asked}"
            );
            assert!(!asked.contains("c29uZw=="), "{asked}");
        }
        // What the caller itself sends is the endpoint's to judge.
        let file =
            json!({"type": "file", "filename": "mine.wav", "file_data": "data:audio/wav;base64,bWluZQ=="});
        let input = json!([{"role": "user", "content": [{"type": "text", "text": "Hear"}, file]}]);
        smith.run(&json!({"input": input, "thread_id": "t"})).await;
        assert!(upstream.last_request().body.to_string().contains("bWluZQ=="));
    })
    .await;
}

#[tokio::test]
async fn calls_of_one_answer_run_side_by_side_and_no_more_than_the_limit() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_configuration("[engine]\nmax_parallel_calls = 2\n").start().await;
        let receiver = Receiver::start().await;
        let gate = Gate::hold();
        receiver.through(&gate);
        register(&server, "void", json!({"execution": "webhook", "url": receiver.url()})).await;
        let upstream = Upstream::start().await;
        let calls = asks_for("c1", "void", 1).and_tool_call("c2", "void", json!({"amount": 2}));
        upstream.answer(calls.and_tool_call("c3", "void", json!({"amount": 3})));
        upstream.answer(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["void"]).await;
        let start = json!({"input": "Void all", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&start)).await;
        receiver.wait_for(2).await;
        gate.wait_for_arrivals(2).await;
        assert_eq!(receiver.received().len(), 2, "the third waits for a place");
        gate.release(1);
        receiver.wait_for(3).await;
        gate.open();
        let frames = stream.take(8).await;
        let completed = frames.iter().filter(|frame| frame.event == "tool.completed").count();
        assert_eq!(completed, 3, "{frames:?}");
    }
}

#[tokio::test]
async fn a_model_corrects_arguments_that_do_not_fit_and_nothing_is_sent_until_then() {
    both(async |server| {
        let receiver = Receiver::start().await;
        register(&server, "void", json!({"execution": "webhook", "url": receiver.url()})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "void", 0).and_tool_call("c2", "fly", json!({})));
        upstream.answer(asks_for("c1", "void", 1));
        upstream.answer(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["void"]).await;
        let run = smith.run(&Smith::says("Void")).await;
        assert_eq!(run["output"]["content"], "Done.");
        assert_eq!(receiver.received().len(), 1);
        let given = results(&upstream);
        assert!(given[0].1.contains("/amount"), "{given:?}");
        assert!(given[1].1.contains("no such tool"), "{given:?}");
        assert_eq!(given[2].0, "c1_2", "ids of calls are unique in their run");
    })
    .await;
}

#[tokio::test]
async fn a_model_that_repeats_itself_is_told_and_a_long_result_is_cut() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let limits = "[engine]\nmax_same_calls = 2\nmax_tool_result_bytes = 64\nmax_calls_per_answer = 1\n";
        let server = Setup::on(engine).with_configuration(limits).start().await;
        let receiver = Receiver::start().await;
        receiver.answer(200, &"long ".repeat(100));
        register(&server, "look", json!({"execution": "webhook", "url": receiver.url()})).await;
        let upstream = Upstream::start().await;
        for _ in 0..3 {
            upstream.answer(asks_for("c1", "look", 1).and_tool_call("c2", "look", json!({"amount": 2})));
        }
        upstream.answer(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["look"]).await;
        let run = smith.run(&Smith::says("Look")).await;
        assert_eq!(run["output"]["content"], "Done.");
        assert_eq!(receiver.received().len(), 2);
        let given: Vec<_> = results(&upstream).into_iter().map(|(_, output)| output).collect();
        assert!(given[0].contains("[Cut here: the result had 500 bytes, and 64"), "{given:?}");
        assert!(given[1].contains("at most"), "{given:?}");
        assert!(given[4].contains("2 times"), "{given:?}");
    }
}

#[tokio::test]
async fn a_cancelled_run_lets_go_of_its_calls() {
    both(async |server| {
        let peer = McpServer::start(Wire::Stateless).await;
        let gate = Gate::hold();
        peer.offer(Tool::new("slow").answers(Answer::text("late").gated(&gate)));
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        server.admin().put("/v1/tenant/mcp/slow", &body).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "slow", json!({})));
        let smith = server.smith_on(&upstream).await;
        let start = json!({"input": "Go", "stream": true});
        let stream = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&start)).await;
        peer.wait_for_calls(1).await;
        let path = smith.path(&format!("/runs/{}/submit", stream.header("ic-run-id")));
        server.admin().post(&path, &json!({"kind": "cancel"})).await.expect(200);
        assert_eq!(stream.collect_until_end().await.last().unwrap().event, "run.cancelled");
        peer.wait_for_abandoned(1).await;
    })
    .await;
}
