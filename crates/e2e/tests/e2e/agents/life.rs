use e2e::both;
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use super::{AGENTS, SMITHS, agent, path, publish, published, roll_out, smith};
use crate::support::{entries, id, pages, redacted};

/// A design that says everything, in an order of keys of its own.
fn design() -> Value {
    json!({
        "name": "Support (EU)",
        "instructions": "Be kind to {{ display_name }}.",
        "model": "openai_compatible/mock",
        "enabled_hosted_tools": ["calculator", "web_search"],
        "vector_store_ids": ["vs_1"],
        "mcp_servers": [],
        "skills": [{"version": 2, "skill_id": "skl_1"}, {"skill_id": "skl_2"}],
        "auto_memory": true,
        "memory_consolidation": false,
        "tools": ["lookup"],
        "variables": [{"required": false, "name": "display_name", "default": null}],
    })
}

#[tokio::test]
async fn a_design_is_kept_verbatim_and_frozen_by_a_version() {
    both(async |server| {
        let made = agent(&server, design()).await;
        assert_json_snapshot!("agent_made", redacted(&made));
        let first = server.admin().post(&path(&made, "/versions"), &json!({"note": "First."})).await;
        let first = first.expect(201);
        assert_json_snapshot!("agent_version", redacted(&first));
        for shown in [&made["draft"], &first["snapshot"]] {
            for key in ["skills", "variables"] {
                assert_eq!(shown[key].to_string(), design()[key].to_string());
            }
        }
        let live = server.admin().get(&path(&made, "")).await.expect(200);
        assert_eq!((&live["active_version"], &live["rollout_version"]), (&json!(1), &Value::Null));
        // Every field is cleared by null, and the version stays as it was.
        for key in design().as_object().unwrap().keys().filter(|key| *key != "name") {
            server.admin().patch(&path(&made, ""), &json!({key: null})).await.expect(200);
        }
        let cleared = server.admin().patch(&path(&made, ""), &json!({"name": null})).await.expect(200);
        let bare = agent(&server, json!({"name": "Bare"})).await;
        assert_eq!((&cleared["draft"], &cleared["name"]), (&bare["draft"], &json!("Support (EU)")));
        assert_json_snapshot!("agent_bare", redacted(&bare));
        let versions = server.admin().get(&path(&made, "/versions")).await.expect(200);
        assert_eq!(versions["data"], json!([first]));
    })
    .await;
}

#[tokio::test]
async fn slugs_are_made_chosen_and_never_change() {
    both(async |server| {
        for (body, slug) in [
            (json!({"name": "Support"}), "support"),
            (json!({"name": "support!"}), "support-2"),
            (json!({"name": "SUPPORT", "slug": null}), "support-3"),
            (json!({"name": "Any", "slug": "support-4"}), "support-4"),
            (json!({"name": "Support"}), "support-5"),
            (json!({"name": "客服"}), "agent"),
            (json!({"name": "💬"}), "agent-2"),
        ] {
            let made = agent(&server, body).await;
            assert_eq!(made["slug"], slug);
            let patched = server
                .admin()
                .patch(&path(&made, ""), &json!({"slug": "other", "name": "Renamed"}))
                .await
                .expect(200);
            assert_eq!((&patched["slug"], &patched["name"]), (&made["slug"], &json!("Renamed")));
        }
        let taken = server.admin().post(AGENTS, &json!({"name": "x", "slug": "support-2"})).await;
        taken.expect_error_about(409, "agent_exists", "slug");
        assert_eq!(taken.header("x-should-retry"), "false");
    })
    .await;
}

#[tokio::test]
async fn pages_hold_every_agent_and_version_once_newest_first() {
    both(async |server| {
        server.smith(json!({})).await;
        let mut made = Vec::new();
        for number in 0..7 {
            made.insert(0, agent(&server, json!({"name": format!("a{number}")})).await);
        }
        let all = server.admin().get("/v1/agents?limit=200").await.expect(200);
        let default = entries(&all).last().unwrap().clone();
        assert_eq!((&default["is_default"], &default["active_version"]), (&json!(true), &json!(1)));
        assert_eq!((&default["slug"], &default["smith_count"]), (&Value::Null, &json!(1)));
        made.push(default);
        let mut versions = Vec::new();
        for _ in 0..5 {
            versions.insert(0, publish(&server, &made[0]).await);
        }
        made[0] = server.admin().get(&path(&made[0], "")).await.expect(200);
        for limit in [1, 2, 3, 7, 8, 200] {
            assert_eq!(pages(&server.admin(), AGENTS, limit).await, made, "{limit}");
            assert_eq!(pages(&server.admin(), &path(&made[0], "/versions"), limit).await, versions);
        }
        // A cursor leads on in the versions of its own agent only.
        publish(&server, &made[1]).await;
        let page = server.admin().get(&path(&made[0], "/versions?limit=1")).await.expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        let foreign = server.admin().get(&path(&made[1], &format!("/versions?cursor={cursor}"))).await;
        foreign.expect_error_about(400, "invalid_cursor", "cursor");
        let page = server.admin().get("/v1/agents?limit=2").await.expect(200);
        assert_json_snapshot!("agents_page", redacted(&page));
    })
    .await;
}

#[tokio::test]
async fn an_agent_tells_how_many_smiths_it_has_and_when_one_was_busy() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        server.smith_on(&upstream).await;
        let made = published(&server, json!({"name": "a", "model": "openai_compatible/mock"})).await;
        let shown = async || server.admin().get(&path(&made, "")).await.expect(200);
        assert_eq!(
            (&shown().await["smith_count"], &shown().await["last_activity_at"]),
            (&json!(0), &Value::Null)
        );
        let mut smiths = Vec::new();
        for number in 0..3 {
            smiths.push(smith(&server, &made, json!({"external_id": format!("user_{number}")})).await);
        }
        smith_again(&server, &made).await;
        assert_eq!(
            (&shown().await["smith_count"], &shown().await["last_activity_at"]),
            (&json!(3), &Value::Null)
        );
        let runs = format!("{SMITHS}/{}/runs", id(&smiths[0]));
        let first = server.admin().post(&runs, &json!({"input": "Hello"})).await.expect(200);
        assert_eq!(shown().await["last_activity_at"], first["created_at"]);
        let second = server.admin().post(&runs, &json!({"input": "Hello"})).await.expect(200);
        assert_eq!(shown().await["last_activity_at"], second["created_at"]);
        server.admin().delete(&format!("{SMITHS}/{}", id(&smiths[0]))).await.expect(204);
        assert_eq!(shown().await["smith_count"], 2);
        let listed = server.admin().get(AGENTS).await.expect(200);
        assert_eq!(entries(&listed)[0], shown().await);
    })
    .await;
}

async fn smith_again(server: &e2e::Server, agent: &Value) {
    let body = json!({"external_id": "user_0", "agent_id": agent["id"]});
    server.admin().post(SMITHS, &body).await.expect(200);
}

#[tokio::test]
async fn the_default_agent_is_designed_like_any_other_and_cannot_be_deleted() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let person = server.smith_on(&upstream).await;
        let default = json!({"id": person.agent});
        let change = json!({"instructions": "Speak like a pirate."});
        server.admin().patch(&path(&default, ""), &change).await.expect(200);
        assert_eq!(publish(&server, &default).await["version"], 2);
        let said = || upstream.last_request().body.to_string().contains("Speak like a pirate.");
        person.run(&json!({"input": "Hello"})).await;
        assert!(!said(), "nothing is rolled out yet");
        roll_out(&server, &default, 2, 100).await;
        person.run(&json!({"input": "Hello"})).await;
        assert!(said());
        let answer = server.admin().delete(&path(&default, "")).await;
        answer.expect_error(409, "default_agent");
        let versions = server.admin().get(&path(&default, "/versions")).await.expect(200);
        let first = entries(&versions).last().unwrap();
        assert_eq!((&first["version"], &first["created_by"]), (&json!(1), &Value::Null));
    })
    .await;
}
