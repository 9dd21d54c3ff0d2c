//! MCP servers that a request brings along: called for this response, with the same gates and guards as registered ones.

use e2e::{Engine, Server, Setup, Smith, both};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::upstream::{Gate, Reply, Upstream};

use super::{PATH, acting, shown, text};
use crate::erase::unzipped;

const CANARY: &str = "canary-0123456789";

struct Desk {
    upstream: Upstream,
    dictionary: McpServer,
    smith: Smith,
    client: Client,
}

/// A smith whose model asks for `lookup` first, and a server that has it.
async fn desk(server: &Server) -> Desk {
    let dictionary = McpServer::start(Wire::Both).await;
    dictionary.offer(Tool::new("lookup").answers(Answer::text("a surname")));
    dictionary.offer_too(Tool::new("burn").hint("destructiveHint").answers(Answer::text("burnt")));
    let upstream = Upstream::start().await;
    upstream.answer(Reply::tool_call("c1", "lookup", json!({})));
    upstream.answer_otherwise(Reply::text("It is a surname."));
    let smith = server.smith_on(&upstream).await;
    let client = acting(server, &smith);
    Desk { upstream, dictionary, smith, client }
}

fn asking(dictionary: &McpServer, more: &Value) -> Value {
    let mut tool = json!({
        "type": "mcp",
        "server_label": "Dictionary-1",
        "server_description": "Knows words.",
        "server_url": dictionary.url(),
    });
    tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"input": "What is Ingram?", "tools": [tool]})
}

fn types(response: &Value) -> Vec<&str> {
    response["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect()
}

fn offered(upstream: &Upstream) -> Vec<String> {
    let tools = upstream.last_request().body["tools"].clone();
    let names = tools.as_array().into_iter().flatten();
    names.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_tool_of_a_request_is_called_with_what_the_request_says_and_nothing_of_that_is_shown() {
    both(async |server| {
        let Desk { upstream, dictionary, smith, client } = desk(&server).await;
        let more = json!({
            "require_approval": "never",
            "authorization": CANARY,
            "headers": {"X-Tenant": format!("tenant-{CANARY}")},
        });
        let body = asking(&dictionary, &more);
        let response = client.post(PATH, &body).await.expect(200);
        assert_eq!(types(&response), ["mcp_call", "message"]);
        let mut output = shown(&response);
        let address = output["tools"][0]["server_url"].take();
        assert_eq!(address, dictionary.url().replace("/mcp", "/<redacted>"));
        let shown = json!({"output": output["output"], "tools": output["tools"]});
        assert_json_snapshot!("a_call_of_a_server_of_the_request", shown);
        let call = dictionary.calls_of("lookup").pop().unwrap();
        assert_eq!(call.headers["authorization"], format!("Bearer {CANARY}"));
        assert_eq!(call.headers["x-tenant"], format!("tenant-{CANARY}"));
        for request in dictionary.requests() {
            assert_eq!(request.header("x-tenant"), format!("tenant-{CANARY}"), "{}", request.rpc());
        }
        assert_eq!(offered(&upstream), ["lookup", "burn"]);

        let id = response["id"].as_str().unwrap();
        assert_eq!(client.get(&format!("{PATH}/{id}")).await.expect(200), response);
        let mut seen = response.to_string();
        for path in [format!("/runs/{id}"), "/runs".to_owned(), format!("/runs/{id}/events")] {
            let answer = server.admin().get(&smith.path(&path)).await;
            seen.push_str(&String::from_utf8_lossy(&answer.body));
        }
        let export = server.admin().get(&smith.path("/export")).await;
        let export = unzipped(&export);
        let requests = String::from_utf8(export["run_requests.jsonl"].clone()).unwrap();
        assert!(requests.contains("Dictionary-1") && !requests.contains("/mcp"), "{requests}");
        for content in export.values() {
            seen.push_str(&String::from_utf8_lossy(content));
        }
        let replay = smith.path(&format!("/runs/{id}/replay"));
        server.admin().post(&replay, &json!({})).await.expect_error(422, "replay_unsupported");
        seen.push_str(&server.log());
        assert!(!seen.contains(CANARY));
        if server.database().is_none() {
            for file in std::fs::read_dir(server.data()).unwrap() {
                let path = file.unwrap().path();
                let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
                assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{}", path.display());
            }
        }

        // The next turn holds the call as the client has got it.
        let mut input = response["output"].as_array().unwrap().clone();
        input.push(json!({"role": "user", "content": "Sure?"}));
        let again = client.post(PATH, &json!({"input": input, "tools": body["tools"]})).await.expect(200);
        assert_eq!(types(&again), ["message"]);
    })
    .await;
}

#[tokio::test]
async fn unless_a_request_says_otherwise_a_human_must_agree() {
    both(async |server| {
        for (approve, result) in [(true, "a surname"), (false, "Not today.")] {
            let Desk { upstream, dictionary, smith: _smith, client } = desk(&server).await;
            let paused = client.post(PATH, &asking(&dictionary, &json!({}))).await.expect(200);
            assert_eq!(types(&paused), ["mcp_approval_request"]);
            let request = &paused["output"][0];
            assert_eq!(
                (&request["server_label"], &request["name"]),
                (&json!("Dictionary-1"), &json!("lookup"))
            );
            assert_eq!(dictionary.calls().len(), 0);
            // Some clients send the tools again, and some do not: the run has its own.
            let decision = json!({
                "input": [{
                    "type": "mcp_approval_response",
                    "approval_request_id": request["id"],
                    "approve": approve,
                    "reason": "Not today.",
                }],
            });
            let response = client.post(PATH, &decision).await.expect(200);
            assert_eq!(text(&response), "It is a surname.");
            assert_eq!(dictionary.calls().len(), usize::from(approve));
            let told = upstream.last_request().body["messages"].to_string();
            assert!(told.contains(result), "the model goes on with what was decided: {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_says_which_tools_there_are_and_which_of_them_need_consent() {
    both(async |server| {
        let Desk { upstream, dictionary, smith: _smith, client } = desk(&server).await;
        let more =
            json!({"require_approval": {"never": {"tool_names": ["lookup"]}}, "allowed_tools": ["lookup"]});
        let response = client.post(PATH, &asking(&dictionary, &more)).await.expect(200);
        assert_eq!(text(&response), "It is a surname.");
        assert_eq!(offered(&upstream), ["lookup"]);
        upstream.answer(Reply::tool_call("c1", "burn", json!({})));
        let more = json!({"require_approval": {"never": {"tool_names": ["lookup"]}}});
        let response = client.post(PATH, &asking(&dictionary, &more)).await.expect(200);
        assert_eq!(types(&response), ["mcp_approval_request"]);
    })
    .await;
}

#[tokio::test]
async fn functions_of_the_caller_stand_beside_them_under_their_own_names() {
    both(async |server| {
        let Desk { upstream, dictionary, smith: _smith, client } = desk(&server).await;
        let function = json!({"type": "function", "name": "lookup", "parameters": {"type": "object"}});
        let mut body = asking(&dictionary, &json!({"require_approval": "never"}));
        body["tools"].as_array_mut().unwrap().push(function);
        let response = client.post(PATH, &body).await.expect(200);
        assert_eq!(types(&response), ["function_call"]);
        assert_eq!(offered(&upstream), ["lookup", "Dictionary-1_lookup", "burn"]);

        // An answer that asks for both: what runs here goes first, and the model comes back for the rest.
        upstream.answer(Reply::tool_call("c1", "Dictionary-1_lookup", json!({})).and_tool_call(
            "c2",
            "lookup",
            json!({}),
        ));
        upstream.answer(Reply::tool_call("c3", "lookup", json!({})));
        let response = client.post(PATH, &body).await.expect(200);
        assert_eq!(types(&response), ["mcp_call", "function_call"]);
        assert_eq!(response["output"][1]["call_id"], "c3");
        assert_eq!(response["output"][0]["output"], "a surname");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_down_costs_a_warning_and_not_the_response() {
    both(async |server| {
        let Desk { upstream, mut dictionary, smith, client } = desk(&server).await;
        let body = asking(&dictionary, &json!({"require_approval": "never"}));
        dictionary.stop().await;
        let response = client.post(PATH, &body).await.expect(200);
        assert_eq!(text(&response), "It is a surname.");
        assert!(upstream.last_request().body["messages"].to_string().contains("no tools here"));
        let path = smith.path(&format!("/runs/{}", response["id"].as_str().unwrap()));
        let run = server.admin().get(&path).await.expect(200);
        let warning = &run["warnings"][0];
        assert_eq!(warning["code"], "tool_source_unavailable");
        assert!(warning["message"].as_str().unwrap().contains("`Dictionary-1`"), "{run:#}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_opens_before_a_server_has_listed_its_tools() {
    both(async |server| {
        let Desk { upstream: _upstream, dictionary, client, .. } = desk(&server).await;
        let gate = Gate::hold();
        let tools = json!({"tools": [{"name": "lookup", "inputSchema": {"type": "object"}}]});
        dictionary.answer_method("tools/list", Answer::result(tools).gated(&gate));
        let mut body = asking(&dictionary, &json!({"require_approval": "never"}));
        body["stream"] = true.into();
        let mut stream = client.stream(Method::POST, PATH, Some(&body)).await;
        let first = stream.next().await.unwrap();
        assert_eq!(first.event, "response.created");
        gate.open();
        let last = stream.collect_until_end().await.pop().unwrap();
        assert_eq!(last.event, "response.completed", "{}", last.data);
    })
    .await;
}

#[tokio::test]
async fn a_pause_outlives_the_server_with_what_the_request_brought_along() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut server = Setup::on(engine).start().await;
        let Desk { upstream: _upstream, dictionary, smith, .. } = desk(&server).await;
        let body = asking(&dictionary, &json!({"authorization": CANARY}));
        let paused = acting(&server, &smith).post(PATH, &body).await.expect(200);
        server.kill().await;
        server.start_again().await;
        let approve = json!({
            "type": "mcp_approval_response",
            "approval_request_id": paused["output"][0]["id"],
            "approve": true,
        });
        let response = acting(&server, &smith).post(PATH, &json!({"input": [approve]})).await.expect(200);
        assert_eq!(text(&response), "It is a surname.");
        let call = dictionary.calls_of("lookup").pop().unwrap();
        assert_eq!(call.headers["authorization"], format!("Bearer {CANARY}"));
    }
}

#[tokio::test]
async fn servers_that_cannot_be_called_are_refused_by_their_place() {
    both(async |server| {
        let Desk { upstream, dictionary, smith: _smith, client } = desk(&server).await;
        let refused = async |body: &Value, code: &str, param: &str| {
            client.post(PATH, body).await.expect_error_about(422, code, param);
        };
        let with = |more: Value| asking(&dictionary, &more);
        refused(&with(json!({"server_label": "a b"})), "invalid_input", "tools[0].server_label").await;
        refused(&with(json!({"server_url": null})), "url_required", "tools[0].server_url").await;
        refused(&with(json!({"server_url": "ftp://a.example"})), "invalid_url", "tools[0].server_url").await;
        refused(&with(json!({"connector_id": "c"})), "unsupported_tools", "tools[0].connector_id").await;
        refused(&with(json!({"headers": {"host": "a"}})), "invalid_input", "tools[0].headers").await;
        refused(&with(json!({"require_approval": 7})), "invalid_input", "tools[0].require_approval").await;
        let mut twice = with(json!({}));
        let again = twice["tools"][0].clone();
        twice["tools"].as_array_mut().unwrap().push(again);
        refused(&twice, "invalid_input", "tools[1].server_label").await;
        let many: Vec<_> = (0..17)
            .map(|number| with(json!({"server_label": format!("s{number}")}))["tools"][0].clone())
            .collect();
        refused(&json!({"input": "Hi", "tools": many}), "invalid_input", "tools").await;
        assert_eq!((upstream.requests().len(), dictionary.requests().len()), (0, 0));
    })
    .await;
    let server = Setup::on(Engine::Sqlite).open_to_others().start().await;
    let dictionary = McpServer::start(Wire::Both).await;
    let smith = server.smith(json!({})).await;
    let answer = acting(&server, &smith).post(PATH, &asking(&dictionary, &json!({}))).await;
    answer.expect_error_about(422, "invalid_url", "tools[0].server_url");
    // A name is looked at when it is called.
    let named = dictionary.url().replace("127.0.0.1", "localhost").replace("http:", "https:");
    let body = asking(&dictionary, &json!({"server_url": named}));
    acting(&server, &smith).post(PATH, &body).await.expect(200);
    assert_eq!(dictionary.requests().len(), 0);
}
