//! Bodies: what is read, what is refused, and how much.

use std::collections::BTreeMap;

use e2e::{Engine, Server, Setup, Smith, both};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Client;

use super::callable;
use crate::raw;
use crate::support::{Operation, acting, entries, id, minted, organization, own_path, project, redacted};

pub(super) async fn taking_bodies(server: &Server) -> Vec<(Operation, Client)> {
    let mut operations = callable(server).await;
    operations.retain(|(operation, _)| operation.takes_body);
    assert!(operations.len() >= 9, "{operations:?}");
    operations
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_everywhere() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let deep = |depth: usize| {
            format!("{{\"metadata\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
        };
        let before = server.admin().get("/v1/smiths").await.expect(200);
        let mut errors = BTreeMap::new();
        for (operation, client) in taking_bodies(&server).await {
            let path = own_path(&operation, &smith);
            for (name, body) in [
                ("half", b"{\"a\":".to_vec()),
                ("text", b"hunter2".to_vec()),
                ("two", b"{} {}".to_vec()),
                ("comma", b"{\"a\":1,}".to_vec()),
                ("single quotes", b"{'a':1}".to_vec()),
                ("no UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
                ("half a surrogate", br#"{"a":"\ud800"}"#.to_vec()),
                ("byte order mark", b"\xef\xbb\xbf{}".to_vec()),
                ("not a number", b"{\"a\":NaN}".to_vec()),
                ("deep", deep(127)),
                ("very deep", deep(500_000)),
            ] {
                let answer = client.send_bytes(operation.method.clone(), &path, Some(body.into())).await;
                answer.expect_error(400, "invalid_request");
                assert!(!answer.error("message").contains("hunter2"), "{answer}");
                errors.insert(name, answer.json);
            }
            for body in ["[]", "null", "7", "\"{}\"", "true"] {
                let answer = client.send_bytes(operation.method.clone(), &path, Some(body.into())).await;
                answer.expect_error_about(422, "invalid_input", "body");
                errors.insert("no object", answer.json);
            }
        }
        assert_json_snapshot!("bad_bodies", redacted(&json!(errors)));
        assert_eq!(server.admin().get("/v1/smiths").await.expect(200), before);
    })
    .await;
}

#[tokio::test]
async fn a_body_may_come_under_any_name_and_be_absent() {
    both(async |server| {
        for content_type in
            ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"]
        {
            let client = server.admin().with_header("content-type", content_type);
            let made = client.post("/v1/smiths", &json!({"locale": "de"})).await.expect(201);
            assert_eq!(made["locale"], "de");
        }
        for body in [None, Some(""), Some(" \r\n\t")] {
            server.admin().send_bytes(Method::POST, "/v1/smiths", body.map(Into::into)).await.expect(201);
        }
        let deep: Value = (0..120).fold(json!(1), |inner, _| json!([inner]));
        let made = server.admin().post("/v1/smiths", &json!({"metadata": {"deep": deep}})).await.expect(201);
        assert_eq!(made["metadata"]["deep"], deep);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_its_length() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_MAX_BODY_BYTES", "1000").start().await;
        let smith = server.smith(json!({})).await;
        let organization = minted(&server, &["--organization"]).await;
        let before = server.admin().get("/v1/smiths").await.expect(200);
        for (operation, client) in taking_bodies(&server).await {
            let path = own_path(&operation, &smith);
            let token = if operation.is_of_organization() { &organization } else { server.admin_token() };
            let (method, fits) = (operation.method.clone(), format!("{{\"a\":\"{}\"}}", "x".repeat(992)));
            assert_eq!(fits.len(), 1_000);
            assert_ne!(
                client.send_bytes(method.clone(), &path, Some(fits.into())).await.status,
                413,
                "{operation}"
            );
            let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(993));
            let answer = client.send_bytes(method.clone(), &path, Some(too_large.clone().into())).await;
            answer.expect_error(413, "payload_too_large");
            assert!(answer.error("message").contains("1000"), "{answer}");
            let request = raw::Request::new(method.as_str(), &path).bearer(token);
            let chunks: Vec<&str> = vec!["{\"a\":\"", &too_large[6..506], &too_large[506..]];
            let chunked = request.send_chunks(&server, &chunks).await;
            chunked.expect_error(413, "payload_too_large");
            // One that is announced is refused before it is sent.
            let announced = request.announce(&server, 1 << 40).await;
            announced.expect_error(413, "payload_too_large");
        }
        assert_eq!(
            server.admin().get("/v1/smiths").await.expect(200)["data"].as_array().unwrap().len(),
            entries(&before).len() + 1,
            "only the body that fits has made a smith"
        );
    }
}

#[tokio::test]
async fn the_usual_bound_of_a_body_is_32_mib() {
    let server = Setup::on(Engine::Sqlite).start().await;
    let body = |bytes: usize| format!("{{\"ignored\":\"{}\"}}", "x".repeat(bytes - 14));
    let bound = 32 * 1024 * 1024;
    server.admin().send_bytes(Method::POST, "/v1/smiths", Some(body(bound).into())).await.expect(201);
    let request = raw::Request::new("POST", "/v1/smiths").bearer(server.admin_token());
    request.announce(&server, bound as u64 + 1).await.expect_error(413, "payload_too_large");
    // Whoever sends all of it before reading an answer gets it, too.
    let too_large = body(bound + 1_000_000);
    request.send_text(&server, &too_large).await.expect_error(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_BODY_SILENCE_MS", "100").start().await;
        let request = raw::Request::new("POST", "/v1/smiths").bearer(server.admin_token());
        request.announce(&server, 100).await.expect_error(400, "invalid_request");
        assert_eq!(server.admin().get("/v1/smiths").await.expect(200)["data"], json!([]));
    }
}

/// Returns a body that the operation takes, where one needs something: a route that is not named here fails.
pub(super) fn good_body(operation: &Operation, smith: &Smith) -> Value {
    match operation.id.as_str() {
        "smiths.create" | "organization.keys.create" | "organization.projects.tokens.create" => json!({}),
        "smiths.update" => json!({"locale": "de"}),
        "agents.create" | "agents.update" => json!({"name": "a"}),
        "agents.import" => json!({"name": "a", "from_smith": smith.id}),
        "agents.versions.create" => json!({}),
        "agents.rollout" => json!({"version": 1}),
        "agents.attach" => json!({"smith_ids": [smith.id]}),
        "smiths.runs.create" => json!({"input": "Hello"}),
        "smiths.runs.replay" | "smiths.revisions.restore" => json!({}),
        "smiths.runs.submit" => json!({"kind": "cancel"}),
        "tenant.tokens.create" => json!({"smith_id": smith.id, "permissions": ["runs:read"]}),
        "organization.projects.create" => json!({"name": "a"}),
        "tenant.custom.put" => json!({"description": "a", "input_schema": {}, "execution": "external"}),
        "tenant.custom.test" => json!({}),
        // Nobody listens there.
        "tenant.mcp.put" => json!({"url": "http://127.0.0.1:9/mcp", "auth": {"kind": "none"}}),
        "tenant.models.keys.put" | "smiths.models.keys.put" => {
            json!({"api_key": "k", "base_url": "https://host.example"})
        }
        "conversations.create" | "conversations.update" => json!({"title": "a"}),
        "embeddings.create" => json!({"input": "a"}),
        "responses.create" => json!({"input": "a"}),
        "completions.create" => json!({"messages": [{"role": "user", "content": "a"}]}),
        other => panic!("say here what {other} takes"),
    }
}

/// Makes a conversation of a smith, and returns its id.
pub(super) async fn conversation(server: &Server, smith: &Smith) -> String {
    let client = server.admin().with_header("ic-smith-id", &smith.id);
    id(&client.post("/v1/conversations", &json!({})).await.expect(200)).to_owned()
}

/// Fields of the answers to pauses, which a cancellation does not look at.
const NOT_LOOKED_AT: &[&str] =
    &["tool_call_id", "result", "results", "approval_id", "decision", "content", "args", "actor", "stream"];

#[tokio::test]
async fn every_field_of_a_wrong_type_is_named_and_nothing_is_done() {
    both(async |server| {
        let smith = server.smith(json!({"model": "scripted/demo"})).await;
        let run = smith.run(&json!({"input": "Hello"})).await;
        let organization = organization(&server).await;
        let (_, made) = project(&server, &organization, "shop").await;
        let conversation = conversation(&server, &smith).await;
        let lists = [
            "/v1/agents",
            "/v1/smiths",
            "/v1/runs",
            "/v1/tenant/tokens",
            "/v1/tenant/model_keys",
            "/v1/tenant/tools",
            "/v1/tenant/mcp",
        ];
        let state = async || {
            let mut state = Vec::new();
            for list in lists {
                state.push(server.admin().get(list).await.expect(200));
            }
            for list in ["/v1/organization/projects", "/v1/organization/keys"] {
                state.push(organization.get(list).await.expect(200));
            }
            state
        };
        let taking_bodies = taking_bodies(&server).await;
        let before = state().await;
        let document = server.anonymous().get("/openapi.json").await.expect(200);
        let mut checked = 0;
        for (operation, client) in taking_bodies {
            let owner = if operation.is_of_organization() { &made } else { &smith.id };
            let path = operation.path(&[
                ("pid", owner),
                ("aid", &smith.agent),
                ("rid", id(&run)),
                ("provider", "openai"),
                ("name", "card"),
                ("version", "1"),
                ("cnvId", &conversation),
                ("id", id(&run)),
            ]);
            let client = acting(&client, &operation, &smith.id);
            let method = operation.method.as_str().to_lowercase();
            let schema = &document["paths"][&operation.template][method]["requestBody"]["content"];
            let name = schema["application/json"]["schema"]["$ref"].as_str().expect("a body has a schema");
            let name = name.trim_start_matches("#/components/schemas/");
            let properties = document["components"]["schemas"][name]["properties"].as_object();
            for (field, schema) in properties.expect("a body has fields") {
                if operation.id == "smiths.runs.submit" && NOT_LOOKED_AT.contains(&field.as_str()) {
                    continue;
                }
                for wrong in [json!(7.5), json!("x"), json!(true), json!({"a": 1}), json!([{"a": 1}])] {
                    // A text as input is a message.
                    if may_be(schema, &wrong) || (field == "input" && wrong.is_string()) {
                        continue;
                    }
                    let mut body = good_body(&operation, &smith);
                    body[field] = wrong;
                    let answer = client.send(operation.method.clone(), &path, Some(&body)).await;
                    assert_eq!(answer.status, 422, "{operation} {body}: {answer}");
                    let (code, param) = (answer.error("code"), answer.error("param"));
                    let within = param.strip_prefix(field.as_str());
                    let is_named = within.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
                    assert!(is_named, "{body}: {answer}");
                    let own_codes = [
                        "invalid_kind",
                        "invalid_percent",
                        "invalid_timezone",
                        "invalid_response_format",
                        "invalid_variables",
                        "invalid_auth_kind",
                        "invalid_approval_policy",
                        "unsupported_policy_rule",
                        "invalid_reasoning_effort",
                        "invalid_tool_choice",
                        "unsupported_tools",
                    ];
                    assert!(code == "invalid_input" || own_codes.contains(&code), "{body}: {answer}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 200, "{checked}");
        assert_eq!(state().await, before, "nothing was done");
    })
    .await;
}

/// Tells whether the schema names the type of a value. Of lists it does not matter: the value is a wrong entry of any.
fn may_be(schema: &Value, value: &Value) -> bool {
    let kind = match value {
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        _ => return false,
    };
    let types = &schema["type"];
    types == kind || types.as_array().is_some_and(|types| types.iter().any(|one| one == kind))
}
