use e2e::both;
use serde_json::{Value, json};

use super::{AGENTS, SMITHS, agent, now, path, published, smith};
use crate::support::{NOBODY, id};

#[tokio::test]
async fn a_smith_becomes_a_design_and_moves_onto_it() {
    both(async |server| {
        let base = json!({"name": "Base", "instructions": "base", "variables": [{"z": 1, "name": "plan"}]});
        let base = published(&server, base).await;
        let own = json!({"external_id": "ana", "model": "own", "skills": [{"version": 1, "skill_id": "skl_1"}]});
        let ana = smith(&server, &base, own).await;
        let body = json!({"from_smith": ana["id"], "name": "From Ana"});
        let imported = server.admin().post("/v1/agents/import", &body).await.expect(201);
        let draft = &imported["draft"];
        assert_eq!((&imported["slug"], &imported["active_version"]), (&json!("from-ana"), &Value::Null));
        assert_eq!((&draft["instructions"], &draft["model"]), (&json!("base"), &json!("own")));
        assert_eq!(draft["variables"].to_string(), r#"[{"z":1,"name":"plan"}]"#);
        assert_eq!(draft["skills"].to_string(), r#"[{"version":1,"skill_id":"skl_1"}]"#);
        assert_eq!(now(&server, &ana).await, ana, "the smith stays where it is");
        let again = server.admin().post("/v1/agents/import", &body).await.expect(201);
        assert_eq!(again["slug"], "from-ana-2");

        let body = json!({"smith_ids": [ana["id"]]});
        let attach = path(&imported, "/attach");
        server.admin().post(&attach, &body).await.expect_error(409, "agent_unpublished");
        super::publish(&server, &imported).await;
        let attached = server.admin().post(&attach, &body).await.expect(200);
        let expected = json!({
            "attached": [{"smith_id": ana["id"], "override_keys": ["model", "skills"]}], "count": 1, "has_more": false
        });
        assert_eq!(attached, expected);
        let moved = now(&server, &ana).await;
        assert_eq!((&moved["agent_id"], &moved["agent_version"]), (&imported["id"], &json!(1)));
        assert_eq!((&moved["override_keys"], &moved["model"]), (&ana["override_keys"], &json!("own")));
        let nothing = json!({"attached": [], "count": 0, "has_more": false});
        assert_eq!(server.admin().post(&attach, &body).await.expect(200), nothing);
    })
    .await;
}

#[tokio::test]
async fn all_smiths_of_the_project_move_at_once() {
    both(async |server| {
        let from = published(&server, json!({"name": "from"})).await;
        let to = published(&server, json!({"name": "to"})).await;
        let mut people = vec![server.admin().post(SMITHS, &json!({"external_id": "bo"})).await.expect(201)];
        for external_id in ["ana", "eve"] {
            people.push(smith(&server, &from, json!({"external_id": external_id, "pin": 1})).await);
        }
        let stays = smith(&server, &to, json!({"external_id": "joe"})).await;
        let gone = smith(&server, &from, json!({"external_id": "joe"})).await;
        server.admin().delete(&format!("{SMITHS}/{}", id(&gone))).await.expect(204);
        let attached = server.admin().post(&path(&to, "/attach"), &json!({"all": true})).await.expect(200);
        let expected: Vec<Value> =
            people.iter().map(|person| json!({"smith_id": person["id"], "override_keys": []})).collect();
        assert_eq!((&attached["attached"], &attached["count"]), (&json!(expected), &json!(3)));
        for person in &people {
            let moved = now(&server, person).await;
            assert_eq!((&moved["agent_id"], &moved["pin"]), (&to["id"], &Value::Null));
        }
        assert_eq!(now(&server, &stays).await, stays);
        for (agent, count) in [(&from, 0), (&to, 4)] {
            assert_eq!(server.admin().get(&path(agent, "")).await.expect(200)["smith_count"], count);
        }
        server.admin().delete(&path(&from, "")).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_move_keeps_all_where_they_are_and_is_named() {
    both(async |server| {
        let from = published(&server, json!({"name": "from"})).await;
        let to = published(&server, json!({"name": "to"})).await;
        let draft = agent(&server, json!({"name": "draft"})).await;
        let (ana, bo) = (
            smith(&server, &from, json!({"external_id": "ana"})).await,
            smith(&server, &from, json!({"external_id": "bo"})).await,
        );
        smith(&server, &to, json!({"external_id": "bo"})).await;
        let attach = async |to: &Value, body: Value| server.admin().post(&path(to, "/attach"), &body).await;
        let both = json!({"smith_ids": [ana["id"], bo["id"]]});
        let taken = attach(&to, both.clone()).await;
        taken.expect_error_about(409, "smith_exists", "smith_ids[1]");
        assert!(taken.error("message").contains(id(&bo)), "{taken}");
        attach(&to, json!({"all": true})).await.expect_error_about(409, "smith_exists", "smith_ids");
        attach(&draft, both.clone()).await.expect_error(409, "agent_unpublished");
        let nobody = json!({"smith_ids": [ana["id"], format!("smt_{NOBODY}")]});
        attach(&to, nobody).await.expect_error_about(404, "not_found", "smith_ids[1]");
        let missing = json!({"id": format!("agt_{NOBODY}")});
        attach(&missing, both).await.expect_error(404, "not_found");
        for person in [&ana, &bo] {
            assert_eq!(&now(&server, person).await, person);
        }
        let one = attach(&to, json!({"smith_ids": [ana["id"], ana["id"]]})).await.expect(200);
        assert_eq!(one["count"], 1);
        // The other way there is a change of the smith itself.
        let change = json!({"agent_id": to["id"]});
        let change = server.admin().patch(&format!("{SMITHS}/{}", id(&bo)), &change).await;
        change.expect_error_about(409, "smith_exists", "agent_id");
        assert_eq!(server.admin().get(AGENTS).await.expect(200)["data"][2]["smith_count"], 1);
    })
    .await;
}
