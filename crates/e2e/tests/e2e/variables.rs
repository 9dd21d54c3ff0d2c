//! Variables of an agent's instructions: filled in for each person, when a run starts.

use e2e::{Engine, Server, Setup};
use serde_json::{Value, json};

use crate::support::id;

/// Says what its instructions say.
const ECHO: &str = "[[rule]]\nwhen = { instructions = \"(?s)(.*)\" }\nsay = \"{{ instructions.1 }}\"\n[[rule]]\nsay = \"none\"\n";

const TEMPLATE: &str = "Call them {{ display_name }} of {{ city }}, on {{ plan }}. {{ unknown }} {{date}}";

/// Publishes a version of a new agent that says this, and returns the agent's id.
async fn published(server: &Server, design: &Value) -> String {
    let made = server.admin().post("/v1/agents", design).await.expect(201);
    let path = format!("/v1/agents/{}/versions", id(&made));
    server.admin().post(&path, &json!({})).await.expect(201);
    id(&made).to_owned()
}

fn concierge() -> Value {
    json!({
        "name": "Concierge",
        "model": "scripted/echo",
        "instructions": TEMPLATE,
        "variables": [
            {"required": false, "name": "display_name", "default": "friend"},
            {"name": "city", "description": "Where they live"},
            {"name": "plan", "required": true},
            {"name": "date", "default": "today"},
        ],
    })
}

async fn said(server: &Server, path: &str) -> Value {
    let run = server.admin().post(path, &json!({"input": "Hello"})).await.expect(200);
    assert_eq!(run["status"], "completed", "{run:#}");
    run["output"]["content"].clone()
}

#[tokio::test]
async fn each_person_is_read_their_own_instructions() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_script("echo", ECHO).start().await;
        let agent = published(&server, &concierge()).await;
        let body =
            json!({"agent_id": agent, "display_name": "{{ plan }}", "metadata": {"plan": "gold", "city": 7}});
        let ana = server.smith(body).await;
        let shown = server.admin().get(&ana.path("")).await.expect(200);
        let rendered = "Call them {{ plan }} of 7, on gold. {{ unknown }} today";
        assert_eq!(
            (&shown["instructions"], &shown["rendered_instructions"]),
            (&json!(TEMPLATE), &json!(rendered))
        );
        assert_eq!(said(&server, &ana.path("/runs")).await, rendered);

        // A run that is made again reads what was read then.
        let run = ana.run(&json!({"input": "Hello"})).await;
        let change = json!({"display_name": null, "metadata": {"plan": "free"}});
        server.admin().patch(&ana.path(""), &change).await.expect(200);
        let replay = server.admin().post(&ana.path(&format!("/runs/{}/replay", id(&run))), &json!({})).await;
        assert_eq!(replay.expect(200)["output"]["content"], rendered);
        let now = "Call them friend of , on free. {{ unknown }} today";
        assert_eq!(said(&server, &ana.path("/runs")).await, now);

        // Own instructions are templates as well; what they do not ask for is not missed.
        let own = json!({"instructions": "Be brief with {{ display_name }}.", "metadata": null});
        let changed = server.admin().patch(&ana.path(""), &own).await.expect(200);
        assert_eq!(changed["rendered_instructions"], "Be brief with friend.");
    }
}

#[tokio::test]
async fn what_is_required_and_missing_starts_no_run() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_script("echo", ECHO).start().await;
        let agent = published(&server, &concierge()).await;
        let bo = server.smith(json!({"agent_id": agent})).await;
        let shown = server.admin().get(&bo.path("")).await.expect(200);
        assert_eq!(shown["rendered_instructions"], Value::Null);
        let answer = server.admin().post(&bo.path("/runs"), &json!({"input": "Hello"})).await;
        answer.expect_error_about(422, "invalid_variables", "variables.plan");
        assert_eq!(server.admin().get("/v1/runs").await.expect(200)["data"], json!([]));
        server.admin().patch(&bo.path(""), &json!({"metadata": {"plan": "free"}})).await.expect(200);
        said(&server, &bo.path("/runs")).await;
    }
}

#[tokio::test]
async fn where_nothing_is_declared_braces_are_text() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_script("echo", ECHO).start().await;
        let instructions = "Be kind to {{ display_name }}. {{#if x}} {{";
        let body = json!({"model": "scripted/echo", "instructions": instructions, "display_name": "Ana"});
        let ana = server.smith(body).await;
        let shown = server.admin().get(&ana.path("")).await.expect(200);
        assert_eq!(shown["rendered_instructions"], instructions);
        assert_eq!(said(&server, &ana.path("/runs")).await, instructions);
    }
}

#[tokio::test]
async fn what_cannot_be_filled_in_is_not_published() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_script("echo", ECHO).start().await;
        let admin = server.admin();
        for (variables, param) in [
            (json!([{"name": "plan"}, {"name": "plan"}]), "variables[1].name"),
            (json!([{"name": "two words"}]), "variables[0].name"),
            (json!([{"name": "plan", "default": 1}]), "variables[0].default"),
        ] {
            let answer = admin.post("/v1/agents", &json!({"name": "Wrong", "variables": variables})).await;
            answer.expect_error_about(422, "invalid_variables", param);
        }
        let mut design = concierge();
        design["instructions"] = "One line.\nOn {{ plan }.".into();
        let made = admin.post("/v1/agents", &design).await.expect(201);
        assert_eq!(made["draft"]["variables"].to_string(), design["variables"].to_string(), "key for key");
        let agent = format!("/v1/agents/{}", id(&made));
        let refused = admin.post(&format!("{agent}/versions"), &json!({})).await;
        refused.expect_error_about(422, "invalid_variables", "instructions");
        assert!(refused.error("message").contains("`plan` in line 2"), "{refused}");
        admin.patch(&agent, &json!({"instructions": "On {{ plan }}."})).await.expect(200);
        let version = admin.post(&format!("{agent}/versions"), &json!({})).await.expect(201);
        assert_eq!(version["snapshot"]["variables"].to_string(), design["variables"].to_string());
    }
}
