//! Revisions of a smith's own configuration: listed, restored, never rewritten.

use e2e::both;
use futures::future::join_all;
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::support::{entries, id, pages, redacted};

/// Reads all revisions as their numbers and snapshots.
fn history(revisions: &[Value]) -> Vec<(u64, String)> {
    let said = |revision: &Value| (revision["version"].as_u64().unwrap(), revision["snapshot"].to_string());
    revisions.iter().map(said).collect()
}

#[tokio::test]
async fn every_configuration_that_a_smith_has_had_can_be_had_again() {
    both(async |mut server| {
        let skills = json!([{"version": 2, "skill_id": "skl_1"}, {"skill_id": "skl_2"}]);
        let smith =
            server.smith(json!({"instructions": "one", "skills": skills, "display_name": "Ana"})).await;
        let changes = [
            json!({"instructions": "two"}),
            json!({"instructions": "two", "locale": "pt"}),
            json!({"display_name": "Bo", "metadata": {"a": 1}}),
            json!({"instructions": null, "skills": null, "tools": ["lookup"]}),
        ];
        for change in &changes {
            server.admin().patch(&smith.path(""), change).await.expect(200);
        }
        let wanted = [
            (3, r#"{"tools":["lookup"]}"#.to_owned()),
            (2, json!({"instructions": "two", "skills": skills}).to_string()),
            (1, json!({"instructions": "one", "skills": skills}).to_string()),
        ];
        let listed = server.admin().get(&smith.path("/revisions")).await.expect(200);
        assert_eq!(history(entries(&listed)), wanted);
        for limit in [1, 2, 3, 4] {
            assert_eq!(history(&pages(&server.admin(), &smith.path("/revisions"), limit).await), wanted);
        }
        let body = json!({"note": "It was better before."});
        let restored = server.admin().post(&smith.path("/revisions/1/restore"), &body).await.expect(200);
        assert_json_snapshot!("revision_restored", redacted(&restored));

        server.kill().await;
        server.start_again().await;
        let shown = server.admin().get(&smith.path("")).await.expect(200);
        assert_eq!((&shown["instructions"], &shown["tools"]), (&json!("one"), &Value::Null));
        assert_eq!(shown["skills"].to_string(), skills.to_string());
        assert_eq!(
            (&shown["display_name"], &shown["locale"]),
            (&json!("Bo"), &json!("pt")),
            "the person stays"
        );
        let listed = server.admin().get(&smith.path("/revisions")).await.expect(200);
        assert_eq!(entries(&listed)[0], restored);
        assert_eq!(history(&entries(&listed)[1..]), wanted);
    })
    .await;
}

#[tokio::test]
async fn changes_at_the_same_time_are_each_one_revision() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let (admin, path) = (server.admin(), smith.path(""));
        let changes: Vec<Value> = (0..8).map(|number| json!({"instructions": format!("{number}")})).collect();
        for answer in join_all(changes.iter().map(|change| admin.patch(&path, change))).await {
            answer.expect(200);
        }
        let revisions = pages(&admin, &smith.path("/revisions"), 3).await;
        let numbers: Vec<u64> = history(&revisions).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (1..=9).rev().collect::<Vec<_>>());
        let shown = admin.get(&path).await.expect(200);
        assert_eq!(revisions[0]["snapshot"]["instructions"], shown["instructions"]);
    })
    .await;
}

#[tokio::test]
async fn what_was_never_there_cannot_be_restored() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for number in ["0", "2", "99999999999", "one", "1e0", "%31%20"] {
            let path = smith.path(&format!("/revisions/{number}/restore"));
            server.admin().post(&path, &json!({})).await.expect_error(404, "not_found");
        }
        let path = smith.path("/revisions/1/restore");
        let answer = server.admin().post(&path, &json!({"note": "n".repeat(501)})).await;
        answer.expect_error_about(422, "invalid_input", "note");
        server.admin().delete(&smith.path("")).await.expect(204);
        server.admin().post(&path, &json!({})).await.expect_error(404, "not_found");
        server.admin().get(&smith.path("/revisions")).await.expect_error(404, "not_found");
    })
    .await;
}

#[tokio::test]
async fn a_move_and_a_pin_are_no_revisions_and_none_brings_them_back() {
    both(async |server| {
        let admin = server.admin();
        let mut agents = Vec::new();
        for name in ["one", "two"] {
            let agent =
                admin.post("/v1/agents", &json!({"name": name, "instructions": name})).await.expect(201);
            let path = format!("/v1/agents/{}/versions", id(&agent));
            for _ in 0..2 {
                admin.post(&path, &json!({})).await.expect(201);
            }
            agents.push(id(&agent).to_owned());
        }
        let smith = server.smith(json!({"model": "scripted/demo"})).await;
        let revisions = async || history(entries(&admin.get(&smith.path("/revisions")).await.expect(200)));
        let made = revisions().await;
        assert_eq!(made, [(1, json!({"model": "scripted/demo"}).to_string())]);
        let body = json!({"smith_ids": [smith.id]});
        admin.post(&format!("/v1/agents/{}/attach", agents[0]), &body).await.expect(200);
        admin.patch(&smith.path(""), &json!({"pin": 1})).await.expect(200);
        admin.patch(&smith.path(""), &json!({"pin": null})).await.expect(200);
        admin.patch(&smith.path(""), &json!({"agent_id": agents[1], "pin": 2})).await.expect(200);
        assert_eq!(revisions().await, made, "what the smith overrides is what it was");
        admin.patch(&smith.path(""), &json!({"model": null})).await.expect(200);
        admin.post(&smith.path("/revisions/1/restore"), &json!({})).await.expect(200);
        let shown = admin.get(&smith.path("")).await.expect(200);
        let stays = (&shown["agent_id"], &shown["agent_version"], &shown["instructions"], &shown["model"]);
        assert_eq!(stays, (&json!(agents[1]), &json!(2), &json!("two"), &json!("scripted/demo")));
        assert_eq!(revisions().await.len(), 3);
    })
    .await;
}
