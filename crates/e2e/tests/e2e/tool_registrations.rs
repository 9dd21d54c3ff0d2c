//! Tools of a project's own: registered, tried out, and refused.

use e2e::{Engine, Setup, both};
use insta::assert_json_snapshot;
use ring::hmac;
use serde_json::{Value, json};
use testkit::http::Answer;
use testkit::upstream::{Reply, Upstream};

use crate::support::{TRIED, entries, held_tool, pages, redacted};

const TOOLS: &str = "/v1/tenant/tools";
const CANARY: &str = "canary-7f3a9b2e51";

fn webhook(url: &str) -> Value {
    json!({
        "description": "Looks an order up.",
        "input_schema": {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"const": null}}, "required": ["z"]},
        "execution": "webhook",
        "url": url,
        "annotations": {"read_only": true, "unknown": 1},
        "timeout_seconds": 5,
    })
}

/// Takes out what differs by run, the secret of signatures too.
fn shown(value: &Value) -> Value {
    let mut value = redacted(value);
    if value.get("secret").is_some() {
        value["secret"] = json!("whsec_[secret]");
    }
    value
}

/// Where the fake provider takes what any tool is sent.
fn receiver(upstream: &Upstream) -> String {
    format!("{}/chat/completions", upstream.openai_url())
}

#[tokio::test]
async fn tools_are_registered_listed_replaced_and_removed() {
    both(async |mut server| {
        let admin = server.admin();
        assert_eq!(admin.get(TOOLS).await.expect(200)["data"], json!([]));
        let order = format!("{TOOLS}/order");
        let made = admin.put(&order, &webhook(&format!("https://tools.example/order?key={CANARY}"))).await;
        let made = made.expect(200);
        let secret = made["secret"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
        let external = json!({
            "description": "Reads the meter of a flat.",
            "input_schema": {"type": "object"},
            "execution": "external",
            "approval": "always",
            "on_reject": "continue",
        });
        let meter = admin.put(&format!("{TOOLS}/meter"), &external).await.expect(200);
        let listed = admin.get(TOOLS).await.expect(200);
        assert_json_snapshot!(
            "tools",
            json!({"made": shown(&made), "external": shown(&meter), "listed": shown(&listed)})
        );

        // Registered again, a tool keeps its place in the list and its secret.
        let changed = admin.put(&order, &webhook("https://tools.example/other")).await.expect(200);
        assert!(changed.get("secret").is_none() && changed["created_at"] == made["created_at"], "{changed}");
        assert_eq!(changed["url"], "https://tools.example/other");
        for name in ["a", "b", "c"] {
            admin.put(&format!("{TOOLS}/{name}"), &external).await.expect(200);
        }
        server.kill().await;
        server.start_again().await;
        let admin = server.admin();
        let names = |tools: &[Value]| tools.iter().map(|tool| tool["name"].clone()).collect::<Vec<_>>();
        let all = pages(&admin, TOOLS, 2).await;
        assert_eq!(names(&all), ["c", "b", "a", "meter", "order"]);
        assert_eq!(admin.get(&order).await.expect(200), changed);

        admin.delete(&order).await.expect(204);
        admin.delete(&order).await.expect_error(404, "not_found");
        admin.get(&order).await.expect_error(404, "not_found");
        assert_eq!(names(entries(&admin.get(TOOLS).await.expect(200))), ["c", "b", "a", "meter"]);
        // Whoever has the name next signs with a secret of its own.
        let again = admin.put(&order, &webhook("https://tools.example/order")).await.expect(200);
        assert!(again["secret"].is_string() && again["secret"] != made["secret"]);
        assert!(!server.log().contains(CANARY) && !server.log().contains(&secret));
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_tool_is_named_and_nothing_is_kept() {
    both(async |server| {
        let admin = server.admin();
        let good = webhook("https://tools.example/order");
        let with = |field: &str, value: Value| {
            let mut body = good.clone();
            body[field] = value;
            body
        };
        let remote = json!({"properties": {"a": {"$ref": "https://schemas.example/order.json"}}});
        let long_url = format!("https://tools.example/{}", "p".repeat(2_048));
        let mut errors = serde_json::Map::new();
        for (case, name, body, code, param) in [
            ("name", "a%20b", good.clone(), "invalid_name", "name"),
            ("nothing", "a", json!({}), "invalid_input", "description"),
            (
                "long description",
                "a",
                with("description", json!("x".repeat(4_001))),
                "invalid_input",
                "description",
            ),
            ("no schema", "a", with("input_schema", Value::Null), "invalid_input", "input_schema"),
            (
                "wrong schema",
                "a",
                with("input_schema", json!({"type": "object", "required": 1})),
                "schema_error",
                "input_schema",
            ),
            (
                "schema of no object",
                "a",
                with("input_schema", json!({"type": "array"})),
                "schema_error",
                "input_schema",
            ),
            ("remote schema", "a", with("input_schema", remote), "schema_error", "input_schema"),
            (
                "large schema",
                "a",
                with("input_schema", json!({"title": "x".repeat(65_536)})),
                "schema_error",
                "input_schema",
            ),
            ("execution", "a", with("execution", json!("hosted")), "invalid_input", "execution"),
            ("no url", "a", with("url", Value::Null), "url_required", "url"),
            ("no address", "a", with("url", json!("tools.example/order")), "invalid_url", "url"),
            ("long url", "a", with("url", json!(long_url)), "invalid_url", "url"),
            ("other scheme", "a", with("url", json!("file:///etc/passwd")), "invalid_url", "url"),
            ("user", "a", with("url", json!("https://me:hush@tools.example/")), "invalid_url", "url"),
            ("metadata service", "a", with("url", json!("http://169.254.169.254/")), "invalid_url", "url"),
            ("url of an external tool", "a", with("execution", json!("external")), "invalid_input", "url"),
            ("approval", "a", with("approval", json!("sometimes")), "invalid_input", "approval"),
            ("on_reject", "a", with("on_reject", json!("stop")), "invalid_input", "on_reject"),
            (
                "annotation",
                "a",
                with("annotations", json!({"destructive": "yes"})),
                "invalid_input",
                "annotations.destructive",
            ),
            ("timeout", "a", with("timeout_seconds", json!(601)), "invalid_input", "timeout_seconds"),
        ] {
            let answer = admin.put(&format!("{TOOLS}/{name}"), &body).await;
            answer.expect_error_about(422, code, param);
            errors.insert(case.to_owned(), answer.json["error"].clone());
        }
        assert_json_snapshot!("tools_refused", errors);
        assert!(!json!(errors).to_string().contains("hush"));
        assert_eq!(admin.get(TOOLS).await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_tool_is_tried_out_with_a_signed_call() {
    both(async |server| {
        let admin = server.admin();
        let upstream = Upstream::start().await;
        let order = format!("{TOOLS}/order");
        let test = format!("{order}/test");
        let made = admin.put(&order, &webhook(&receiver(&upstream))).await.expect(200);
        let tried = admin.post(&test, &json!({"args": {"z": 12, "a": null}})).await.expect(200);
        assert_eq!(
            (&tried["ok"], &tried["status"], &tried["error"]),
            (&json!(true), &json!(200), &Value::Null)
        );
        assert!(tried["result"].is_object() && tried["duration_ms"].is_u64(), "{tried}");

        let asked = upstream.last_request();
        assert_json_snapshot!("tool_called", redacted(&asked.body));
        let key = format!("{}::test", asked.body["run_id"].as_str().unwrap());
        assert_eq!(asked.header("idempotency-key"), key);
        assert_eq!(asked.header("webhook-id"), key);
        let (time, tag) = asked.header("x-ic-signature").split_once(",v1=").unwrap();
        let signed =
            [time.trim_start_matches("t=").as_bytes(), b".", asked.body.to_string().as_bytes()].concat();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, made["secret"].as_str().unwrap().as_bytes());
        let expected: String =
            hmac::sign(&secret, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(tag, expected);

        // One call, whatever the tool says of itself, and what went wrong is kept.
        assert_eq!(admin.get(&order).await.expect(200)["last_call_error"], Value::Null);
        upstream.answer(Reply::status(500));
        let mut failed = admin.post(&test, &json!({})).await.expect(200);
        failed["duration_ms"] = json!("[duration]");
        let shown = admin.get(&order).await.expect(200);
        let kept = [&shown["last_call_error"], &shown["last_call_error_at"]].map(redacted);
        assert_json_snapshot!("tool_failed", json!({"answer": failed, "kept": kept}));
        assert_eq!(upstream.requests().len(), 2);

        admin.put(&order, &webhook("http://127.0.0.1:9/tool")).await.expect(200);
        let unreachable = admin.post(&test, &json!({})).await.expect(200);
        assert_eq!((&unreachable["ok"], &unreachable["status"]), (&json!(false), &Value::Null));
        assert!(unreachable["error"].is_string(), "{unreachable}");

        let external = json!({"description": "x", "input_schema": {}, "execution": "external"});
        admin.put(&order, &external).await.expect(200);
        admin.post(&test, &json!({})).await.expect_error_about(422, "invalid_input", "name");
        admin.post(&format!("{TOOLS}/nobody/test"), &json!({})).await.expect_error(404, "not_found");
    })
    .await;
}

fn was_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

#[tokio::test]
async fn while_a_tool_is_tried_out_its_key_calls_it_no_second_time_on_any_replica() {
    both(async |server| {
        let (receiver, gate) = held_tool(&server).await;
        let replica = if server.database().is_some() { Some(server.replica().await) } else { None };
        let mut clients = vec![server.admin().with_header("idempotency-key", "k")];
        clients.extend(replica.iter().map(|replica| replica.admin().with_header("idempotency-key", "k")));
        let body = json!({"args": {}});
        let first = clients[0].post(TRIED, &body);
        let again = async {
            receiver.wait_for(1).await;
            for client in &clients {
                let early = client.post(TRIED, &body).await;
                assert_eq!(early.header("retry-after"), "1");
                early.expect_error_about(409, "idempotency_in_progress", "Idempotency-Key");
                let other = client.post(TRIED, &json!({"args": {"a": 1}})).await;
                other.expect_error(409, "idempotency_key_reused");
            }
            gate.open();
        };
        let (first, ()) = futures::join!(first, again);
        assert!(!was_replayed(&first));
        let first = first.expect(200);
        for client in &clients {
            let answer = client.post(TRIED, &body).await;
            assert!(was_replayed(&answer), "{answer}");
            assert_eq!(answer.expect(200), first);
        }
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_client_leaves_at_work_is_finished_and_kept_for_its_key() {
    both(async |server| {
        let (receiver, gate) = held_tool(&server).await;
        let body = json!({"args": {}});
        let client = server.admin().with_header("idempotency-key", "k");
        tokio::select! {
            answer = client.post(TRIED, &body) => panic!("nobody has answered the call: {answer}"),
            _calls = receiver.wait_for(1) => {}
        }
        gate.open();
        let kept = loop {
            let answer = client.post(TRIED, &body).await;
            if answer.status != 409 {
                break answer;
            }
            answer.expect_error(409, "idempotency_in_progress");
        };
        assert!(was_replayed(&kept), "{kept}");
        assert_eq!(kept.expect(200)["ok"], true);
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_others_can_reach_calls_public_addresses_with_tls_only() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine)
            .open_to_others()
            .with_variable("INGRAM_ENGINE_MAX_SCHEMA_BYTES", "200")
            .start()
            .await;
        for path in ["/v1/tenant/tools/a", "/v1/tenant/mcp/a"] {
            for url in ["http://tools.example/", "http://127.0.0.1:9/", "https://10.0.0.1/", "https://[::1]/"]
            {
                let mut body = webhook(url);
                body["auth"] = json!({"kind": "none"});
                server.admin().put(path, &body).await.expect_error_about(422, "invalid_url", "url");
            }
        }
        let mut large = webhook("https://tools.example/");
        server.admin().put("/v1/tenant/tools/a", &large).await.expect(200);
        large["input_schema"]["title"] = json!("x".repeat(100));
        let refused = server.admin().put("/v1/tenant/tools/a", &large).await;
        refused.expect_error_about(422, "schema_error", "input_schema");
    }
}
