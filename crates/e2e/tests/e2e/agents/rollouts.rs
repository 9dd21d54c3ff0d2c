use std::collections::BTreeSet;

use e2e::{Engine, Server, Setup, both};
use serde_json::{Value, json};

use super::{SMITHS, agent, path, publish, published, roll_out, smith};
use crate::support::{id, pages};

/// Reads every smith of the agent.
async fn smiths(server: &Server, agent: &Value) -> Vec<Value> {
    pages(&server.admin(), &format!("{SMITHS}?agent_id={}", id(agent)), 200).await
}

/// Lists which smiths run a version.
async fn on_version(server: &Server, agent: &Value, version: u32) -> BTreeSet<String> {
    let all = smiths(server, agent).await;
    all.iter().filter(|smith| smith["agent_version"] == version).map(|smith| id(smith).to_owned()).collect()
}

/// Reads what only changes when the row of a smith is written, where the test can look.
async fn rows(server: &Server) -> Vec<(Vec<u8>, i64, i64, String)> {
    let Some(database) = server.database() else { return Vec::new() };
    let sql = "select id, version, updated_at, xmin::text from smiths order by id";
    let rows = database.client().await.query(sql, &[]).await.expect("the tables are there");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

#[tokio::test]
async fn one_rollout_changes_every_smith_and_writes_none_and_another_takes_it_back() {
    both(async |server| {
        let made = published(&server, json!({"name": "a", "instructions": "one", "model": "gpt-5"})).await;
        for number in 0..40 {
            let body = match number {
                0 => json!({"instructions": "own"}),
                1 => json!({"pin": 1}),
                2 => json!({"pin": 1, "model": "own"}),
                _ => json!({}),
            };
            smith(&server, &made, body).await;
        }
        let (before, rows_before) = (smiths(&server, &made).await, rows(&server).await);
        let change = json!({"instructions": "two", "tools": ["lookup"]});
        server.admin().patch(&path(&made, ""), &change).await.expect(200);
        assert_eq!(smiths(&server, &made).await, before, "a draft is no version");
        publish(&server, &made).await;
        assert_eq!(smiths(&server, &made).await, before, "a version is not live by being published");

        let live = roll_out(&server, &made, 2, 100).await;
        assert_eq!((&live["active_version"], &live["rollout_percent"]), (&json!(2), &json!(0)));
        let after = smiths(&server, &made).await;
        for (before, after) in before.iter().zip(&after) {
            let is_pinned = before["pin"] == 1;
            let is_own = before["instructions"] == "own";
            let version = if is_pinned { 1 } else { 2 };
            let inherited = if is_pinned { "one" } else { "two" };
            assert_eq!((&after["agent_version"], &after["pin"]), (&json!(version), &before["pin"]));
            assert_eq!(after["inherited"]["instructions"], inherited);
            assert_eq!(after["instructions"], if is_own { "own" } else { inherited });
            assert_eq!(after["model"], before["model"]);
            assert_eq!(
                (&after["override_keys"], &after["created_at"]),
                (&before["override_keys"], &before["created_at"])
            );
            assert_eq!(after["tools"], if is_pinned { Value::Null } else { json!(["lookup"]) });
        }
        roll_out(&server, &made, 1, 100).await;
        assert_eq!(smiths(&server, &made).await, before, "rolled back");
        assert_eq!(rows(&server).await, rows_before, "no row of a smith was written");
        // An override that is cleared inherits what is live now.
        roll_out(&server, &made, 2, 100).await;
        let own = before.iter().find(|smith| smith["instructions"] == "own").unwrap();
        let own = format!("{SMITHS}/{}", id(own));
        let cleared = server.admin().patch(&own, &json!({"instructions": null})).await.expect(200);
        assert_eq!((&cleared["instructions"], &cleared["config_source"]), (&json!("two"), &json!("agent")));
    })
    .await;
}

#[tokio::test]
async fn a_growing_share_only_adds_smiths_and_the_same_are_found_again() {
    both(async |server| {
        let made = published(&server, json!({"name": "a"})).await;
        publish(&server, &made).await;
        for _ in 0..60 {
            smith(&server, &made, json!({})).await;
        }
        let mut last = BTreeSet::new();
        let mut at_half = BTreeSet::new();
        for share in [1, 10, 20, 50, 80, 99] {
            let live = roll_out(&server, &made, 2, share).await;
            let state = (&live["active_version"], &live["rollout_version"], &live["rollout_percent"]);
            assert_eq!(state, (&json!(1), &json!(2), &json!(share)));
            assert_eq!(roll_out(&server, &made, 2, share).await, live, "a repetition changes nothing");
            let reached = on_version(&server, &made, 2).await;
            assert!(reached.is_superset(&last), "{share}");
            if share == 50 {
                at_half.clone_from(&reached);
            }
            last = reached;
        }
        assert!((10..=50).contains(&at_half.len()), "{}", at_half.len());
        roll_out(&server, &made, 2, 0).await;
        assert_eq!(on_version(&server, &made, 2).await.len(), 0);
        roll_out(&server, &made, 2, 50).await;
        assert_eq!(on_version(&server, &made, 2).await, at_half);
        let live = roll_out(&server, &made, 2, 100).await;
        assert_eq!((&live["active_version"], &live["rollout_version"]), (&json!(2), &Value::Null));
        assert_eq!(on_version(&server, &made, 2).await.len(), 60);
    })
    .await;
}

#[tokio::test]
async fn all_that_publish_at_once_get_numbers_of_their_own() {
    both(async |server| {
        let made = agent(&server, json!({"name": "a"})).await;
        let published = futures::future::join_all((0..10).map(|_| publish(&server, &made))).await;
        let numbers: BTreeSet<u64> =
            published.iter().map(|version| version["version"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=10).collect());
        let live = server.admin().get(&path(&made, "")).await.expect(200);
        assert_eq!(live["active_version"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_rollout_on_one_replica_is_in_force_on_the_others() {
    let server = Setup::on(Engine::Postgres).start().await;
    let other = server.replica().await;
    let made = published(&server, json!({"name": "a", "instructions": "one"})).await;
    let person = smith(&server, &made, json!({})).await;
    let shown = format!("{SMITHS}/{}", id(&person));
    assert_eq!(other.admin().get(&shown).await.expect(200)["instructions"], "one");
    for (instructions, version) in [("two", 2), ("three", 3)] {
        let change = json!({ "instructions": instructions });
        server.admin().patch(&path(&made, ""), &change).await.expect(200);
        publish(&server, &made).await;
        roll_out(&server, &made, version, 100).await;
        assert_eq!(other.admin().get(&shown).await.expect(200)["instructions"], instructions);
    }
    let body = json!({"version": 1});
    other.admin().post(&path(&made, "/rollout"), &body).await.expect(200);
    assert_eq!(server.admin().get(&shown).await.expect(200)["instructions"], "one");
}
