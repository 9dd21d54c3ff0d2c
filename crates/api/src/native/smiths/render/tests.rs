use domain::ids::RunId;
use domain::smiths::Config;
use http::Method;
use serde_json::{Value, json};
use store::Batch;
use store::db::Value as Column;

use crate::testing::{TestApp, both};

const PATH: &str = "/v1/smiths";

/// Makes the version that new smiths run say this.
async fn design(server: &TestApp, config: Value) {
    let config: Config = serde_json::from_value(config).unwrap();
    let mut batch = Batch::new();
    let snapshot = Column::Text(serde_json::to_string(&config).unwrap());
    batch.exec("update agent_versions set snapshot = $1", vec![snapshot]);
    server.app.store.db().commit(batch).await.unwrap();
}

fn concierge() -> Value {
    json!({
        "model": "scripted/demo",
        "instructions": "Call them {{ display_name }}, on {{ plan }}. It is {{ weekday }}. {{ other }}",
        "variables": [
            {"name": "display_name", "default": "friend"},
            {"name": "plan", "required": true},
            {"name": "weekday", "default": "some day"},
        ],
    })
}

async fn patched(server: &TestApp, token: &str, path: &str, body: Value) -> Value {
    server.call(token, Method::PATCH, path, body).await.body
}

#[tokio::test]
async fn a_smith_is_shown_with_its_variables_filled_in() {
    both(async |server| {
        let admin = server.admin_token().await;
        design(&server, concierge()).await;
        let made = server.call(&admin, Method::POST, PATH, json!({})).await.body;
        assert_eq!(made["instructions"], concierge()["instructions"]);
        assert_eq!(made["rendered_instructions"], Value::Null, "a required variable has no value");
        let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
        let body = json!({"display_name": "{{ plan }}", "metadata": {"plan": "gold", "weekday": 7}});
        let changed = patched(&server, &admin, &path, body).await;
        let rendered = "Call them {{ plan }}, on gold. It is 7. {{ other }}";
        assert_eq!(changed["rendered_instructions"], rendered);
        assert_eq!(changed["instructions"], concierge()["instructions"]);
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await.body;
        assert_eq!(listed["data"][0], changed);
        assert_eq!(server.call(&admin, Method::GET, &path, Value::Null).await.body, changed);
        // Own instructions are filled in from what the version declares.
        let changed = patched(&server, &admin, &path, json!({"instructions": "{{plan}}!"})).await;
        assert_eq!(changed["rendered_instructions"], "gold!");
    })
    .await;
}

#[tokio::test]
async fn a_run_keeps_the_instructions_as_they_were_read_and_so_does_its_replay() {
    both(async |server| {
        let admin = server.admin_token().await;
        design(&server, concierge()).await;
        let body = json!({"metadata": {"plan": "gold"}, "display_name": "Ana"});
        let made = server.call(&admin, Method::POST, PATH, body).await.body;
        let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
        let project = server.app.store.project(server.first.project);
        let kept = async |run: &Value| {
            let run: RunId = run["id"].as_str().unwrap().parse().unwrap();
            project.run_config(run).await.unwrap().unwrap()
        };
        let start = json!({"input": "Hello"});
        let run = server.call(&admin, Method::POST, &format!("{path}/runs"), start.clone()).await.body;
        let config = kept(&run).await;
        assert_eq!(config.instructions(), "Call them Ana, on gold. It is some day. {{ other }}");
        assert_eq!(config.config.instructions.as_deref(), concierge()["instructions"].as_str());
        patched(&server, &admin, &path, json!({"display_name": "Bo", "metadata": {}})).await;
        let replay = format!("{path}/runs/{}/replay", run["id"].as_str().unwrap());
        let again = server.call(&admin, Method::POST, &replay, json!({})).await.body;
        assert_eq!(kept(&again).await.instructions(), config.instructions());

        // What is required and not there keeps a run from being stored.
        let refused = server.refused(&admin, Method::POST, &format!("{path}/runs"), start).await;
        assert_eq!(refused, (422, "invalid_variables".into(), "variables.plan".into()));
        let runs = server.call(&admin, Method::GET, "/v1/runs", Value::Null).await.body;
        assert_eq!(runs["data"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn instructions_that_grow_too_long_are_not_shown_and_start_no_run() {
    both(async |server| {
        let admin = server.admin_token().await;
        let instructions = "{{ long }}".repeat(1_000);
        design(&server, json!({"instructions": instructions, "variables": [{"name": "long"}]})).await;
        let body = json!({"metadata": {"long": "x".repeat(10_000)}});
        let made = server.call(&admin, Method::POST, PATH, body).await.body;
        assert_eq!(made["rendered_instructions"], Value::Null);
        let path = format!("{PATH}/{}/runs", made["id"].as_str().unwrap());
        let refused = server.refused(&admin, Method::POST, &path, json!({"input": "Hello"})).await;
        assert_eq!(refused, (422, "invalid_variables".into(), "instructions".into()));
    })
    .await;
}
