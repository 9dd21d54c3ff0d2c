use domain::tools::{Annotations, Execution, MOST_PROJECT_TOOLS, OnReject};
use http::Method;
use serde_json::{Value, json};
use store::project_tools::NewProjectTool;
use testkit::upstream::{Reply, Upstream};

use crate::testing::both;

const PATH: &str = "/v1/tenant/tools";

fn webhook() -> Value {
    json!({
        "description": "Looks an order up.",
        "input_schema": {"type": "object", "properties": {"z": {}, "a": {}}},
        "execution": "webhook",
        "url": "https://tools.example/order",
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn a_tool_is_registered_shown_replaced_and_removed() {
    both(async |server| {
        let admin = server.admin_token().await;
        let one = format!("{PATH}/order");
        let made = server.call(&admin, Method::PUT, &one, webhook()).await;
        assert_eq!(made.status, 200, "{}", made.text);
        assert!(made.body["secret"].as_str().unwrap().starts_with("whsec_"));
        assert_eq!(made.body["approval"], "never");
        assert_eq!(made.body["timeout_seconds"], 30);
        assert_eq!(
            made.body["annotations"],
            json!({"read_only": false, "idempotent": false, "destructive": false})
        );
        assert!(made.text.contains(r#""input_schema":{"type":"object","properties":{"z":{},"a":{}}}"#));

        let changed = with(webhook(), "approval", json!("always"));
        let changed =
            server.call(&admin, Method::PUT, &one, with(changed, "on_reject", json!("continue"))).await;
        assert!(changed.body.get("secret").is_none(), "the secret stays, and is not shown again");
        assert_eq!(changed.body["created_at"], made.body["created_at"]);
        assert_eq!(
            (&changed.body["approval"], &changed.body["on_reject"]),
            (&json!("always"), &json!("continue"))
        );
        let shown = server.call(&admin, Method::GET, &one, Value::Null).await;
        assert_eq!(shown.body, changed.body);

        let external = json!({"description": "x", "input_schema": {}, "execution": "external", "url": null});
        let made = server.call(&admin, Method::PUT, &format!("{PATH}/meter"), external).await;
        assert_eq!((&made.body["url"], made.body.get("secret")), (&Value::Null, None));
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await;
        assert_eq!(listed.body["data"], json!([made.body, changed.body]));

        assert_eq!(server.call(&admin, Method::DELETE, &one, Value::Null).await.status, 204);
        for gone in [one.as_str(), &format!("{PATH}/a%20b"), &format!("{PATH}/%00")] {
            for method in [Method::GET, Method::DELETE] {
                assert_eq!(server.refused(&admin, method, gone, Value::Null).await.1, "not_found");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_tool_is_named_and_nothing_is_kept() {
    both(async |server| {
        let admin = server.admin_token().await;
        let good = webhook();
        let without = |field: &str| {
            let mut body = webhook();
            body.as_object_mut().unwrap().shift_remove(field);
            body
        };
        for (name, body, code, param) in [
            ("a%20b", good.clone(), "invalid_name", "name"),
            (&"x".repeat(65), good.clone(), "invalid_name", "name"),
            ("a", without("description"), "invalid_input", "description"),
            ("a", with(good.clone(), "description", json!("")), "invalid_input", "description"),
            (
                "a",
                with(good.clone(), "description", json!("x".repeat(4_001))),
                "invalid_input",
                "description",
            ),
            ("a", without("input_schema"), "invalid_input", "input_schema"),
            ("a", with(good.clone(), "input_schema", json!([])), "invalid_input", "input_schema"),
            (
                "a",
                with(good.clone(), "input_schema", json!({"type": "nonsense"})),
                "schema_error",
                "input_schema",
            ),
            (
                "a",
                with(good.clone(), "input_schema", json!({"title": "x".repeat(65_536)})),
                "schema_error",
                "input_schema",
            ),
            (
                "a",
                with(good.clone(), "input_schema", json!({"type": "object", "allOf": [{"$ref": "#"}]})),
                "schema_error",
                "input_schema",
            ),
            ("a", without("execution"), "invalid_input", "execution"),
            ("a", with(good.clone(), "execution", json!("hosted")), "invalid_input", "execution"),
            ("a", without("url"), "url_required", "url"),
            ("a", with(good.clone(), "url", json!(" ")), "url_required", "url"),
            ("a", with(good.clone(), "url", json!("tools.example")), "invalid_url", "url"),
            ("a", with(good.clone(), "url", json!("ftp://tools.example")), "invalid_url", "url"),
            ("a", with(good.clone(), "url", json!("https://me:hush@tools.example")), "invalid_url", "url"),
            ("a", with(good.clone(), "url", json!("http://169.254.169.254/")), "invalid_url", "url"),
            ("a", with(good.clone(), "execution", json!("external")), "invalid_input", "url"),
            ("a", with(good.clone(), "approval", json!("sometimes")), "invalid_input", "approval"),
            ("a", with(good.clone(), "on_reject", json!("stop")), "invalid_input", "on_reject"),
            ("a", with(good.clone(), "annotations", json!([])), "invalid_input", "annotations"),
            (
                "a",
                with(good.clone(), "annotations", json!({"read_only": 1})),
                "invalid_input",
                "annotations.read_only",
            ),
            ("a", with(good.clone(), "timeout_seconds", json!(0)), "invalid_input", "timeout_seconds"),
            ("a", with(good.clone(), "timeout_seconds", json!(601)), "invalid_input", "timeout_seconds"),
        ] {
            let refused = server.refused(&admin, Method::PUT, &format!("{PATH}/{name}"), body.clone()).await;
            assert_eq!(
                (refused.0, refused.1.as_str(), refused.2.as_str()),
                (422, code, param),
                "{name} {body}"
            );
        }
        assert_eq!(server.call(&admin, Method::GET, PATH, Value::Null).await.body["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_tool_can_be_tried_out() {
    both(async |server| {
        let admin = server.admin_token().await;
        let upstream = Upstream::start().await;
        let one = format!("{PATH}/order");
        let test = format!("{one}/test");
        let url = format!("{}/chat/completions", upstream.openai_url());
        server.call(&admin, Method::PUT, &one, with(webhook(), "url", json!(url))).await;
        let tried = server.call(&admin, Method::POST, &test, json!({"args": {"n": 12}})).await;
        assert_eq!((tried.status.as_u16(), &tried.body["ok"]), (200, &json!(true)), "{}", tried.text);
        assert_eq!((&tried.body["status"], &tried.body["error"]), (&json!(200), &Value::Null));
        assert!(tried.body["result"].is_object());
        let asked = upstream.last_request().body;
        assert_eq!((&asked["tool"], &asked["args"]), (&json!("order"), &json!({"n": 12})));
        let shown = server.call(&admin, Method::GET, &one, Value::Null).await;
        assert_eq!(shown.body["last_call_error"], Value::Null);

        upstream.answer(Reply::status(500));
        let tried = server.call(&admin, Method::POST, &test, Value::Null).await;
        assert_eq!((&tried.body["ok"], &tried.body["status"]), (&json!(false), &json!(500)));
        assert!(tried.body["error"].is_string() && tried.body["result"].is_null());
        let shown = server.call(&admin, Method::GET, &one, Value::Null).await;
        assert_eq!(shown.body["last_call_error"], tried.body["error"]);
        assert!(shown.body["last_call_error_at"].is_string());

        let refused = server.refused(&admin, Method::POST, &test, json!({"args": []})).await;
        assert_eq!(refused, (422, "invalid_input".to_owned(), "args".to_owned()));
        let external = json!({"description": "x", "input_schema": {}, "execution": "external"});
        server.call(&admin, Method::PUT, &one, external).await;
        let refused = server.refused(&admin, Method::POST, &test, json!({})).await;
        assert_eq!(refused, (422, "invalid_input".to_owned(), "name".to_owned()));
        let refused = server.refused(&admin, Method::POST, &format!("{PATH}/nobody/test"), json!({})).await;
        assert_eq!(refused.1, "not_found");
        assert_eq!(upstream.requests().len(), 2, "nothing else was called");
    })
    .await;
}

#[tokio::test]
async fn one_tool_too_many_is_refused_until_another_is_gone() {
    both(async |server| {
        let admin = server.admin_token().await;
        let project = server.app.store.project(server.first.project);
        for number in 0..MOST_PROJECT_TOOLS {
            let new = NewProjectTool {
                name: format!("tool_{number}"),
                description: "x".to_owned(),
                input_schema: json!({}),
                execution: Execution::External,
                url: None,
                always_asks: false,
                on_reject: OnReject::End,
                annotations: Annotations::default(),
                timeout_seconds: 30,
            };
            project.put_project_tool(&new, "").await.unwrap();
        }
        let more = format!("{PATH}/more");
        let refused = server.refused(&admin, Method::PUT, &more, webhook()).await;
        assert_eq!(refused, (422, "invalid_input".to_owned(), "name".to_owned()));
        assert_eq!(server.call(&admin, Method::PUT, &format!("{PATH}/tool_7"), webhook()).await.status, 200);
        assert_eq!(
            server.call(&admin, Method::DELETE, &format!("{PATH}/tool_8"), Value::Null).await.status,
            204
        );
        assert_eq!(server.call(&admin, Method::PUT, &more, webhook()).await.status, 200);
    })
    .await;
}
