use e2e::both;
use futures::future::join_all;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{AGENTS, SMITHS, agent, path, publish, published, smith};
use crate::support::{NOBODY, entries, id, organization, project, redacted};

#[tokio::test]
async fn every_wrong_field_is_named_and_changes_nothing() {
    both(async |server| {
        let made = published(&server, json!({"name": "a"})).await;
        let before = server.admin().get(AGENTS).await.expect(200);
        let mut errors = Map::new();
        for (field, value, code) in [
            ("name", json!(1), "invalid_input"),
            ("name", json!(""), "name_required"),
            ("name", json!("n".repeat(256)), "invalid_input"),
            ("name", json!("a\0b"), "invalid_input"),
            ("instructions", json!({}), "invalid_input"),
            ("instructions", json!("i".repeat(200_001)), "invalid_input"),
            ("model", json!(true), "invalid_input"),
            ("model", json!("m".repeat(256)), "invalid_input"),
            ("enabled_hosted_tools", json!(["nope"]), "invalid_input"),
            ("vector_store_ids", json!("vs_1"), "invalid_input"),
            ("mcp_servers", json!({}), "invalid_input"),
            ("mcp_servers", json!(vec!["m"; 101]), "invalid_input"),
            ("skills", json!([{"skill_id": "skl_1", "version": 0}]), "invalid_input"),
            ("skills", json!([{"skill_id": "skl_1", "x": "y".repeat(300_000)}]), "invalid_input"),
            ("auto_memory", json!("yes"), "invalid_input"),
            ("memory_consolidation", json!(1), "invalid_input"),
            ("tools", json!([null]), "invalid_input"),
            ("variables", json!("plan"), "invalid_variables"),
            ("variables", json!([{"default": "x"}]), "invalid_variables"),
            ("variables", json!(vec![json!({"name": "a"}); 101]), "invalid_variables"),
        ] {
            let create = server.admin().post(AGENTS, &json!({"name": "b", field: value})).await;
            // An entry of a list of variables is named itself.
            let param = if value == json!([{"default": "x"}]) { "variables[0].name" } else { field };
            create.expect_error_about(422, code, param);
            let patch = server.admin().patch(&path(&made, ""), &json!({"model": "x", field: value})).await;
            patch.expect_error_about(422, code, param);
            assert_eq!(create.error("message"), patch.error("message"));
            let value = value.to_string();
            let shown = if value.len() > 60 { "[long]" } else { &value };
            errors.insert(format!("{field}: {shown}"), create.json);
        }
        for (rest, body, status, code, param) in [
            ("", json!({"name": "b", "slug": "Not a slug"}), 422, "invalid_slug", "slug"),
            ("", json!({"name": "b", "slug": "a"}), 409, "agent_exists", "slug"),
            ("", json!({}), 422, "name_required", "name"),
            (
                "/import",
                json!({"name": "b", "from_smith": format!("smt_{NOBODY}")}),
                404,
                "not_found",
                "from_smith",
            ),
            ("/import", json!({"name": "b"}), 422, "invalid_input", "from_smith"),
            ("/one/versions", json!({"note": 1}), 422, "invalid_input", "note"),
            ("/one/rollout", json!({"version": 2}), 404, "not_found", "version"),
            ("/one/rollout", json!({"version": 1, "percent": 101}), 422, "invalid_percent", "percent"),
            ("/one/attach", json!({}), 422, "invalid_input", "smith_ids"),
            ("/one/attach", json!({"all": true, "smith_ids": []}), 400, "invalid_request", "smith_ids"),
        ] {
            let path = match rest.strip_prefix("/one") {
                Some(rest) => path(&made, rest),
                None => format!("{AGENTS}{rest}"),
            };
            let answer = server.admin().post(&path, &body).await;
            answer.expect_error_about(status, code, param);
            errors.insert(
                redacted(&json!(format!("{AGENTS}{rest} {body}"))).as_str().unwrap().to_owned(),
                answer.json,
            );
        }
        assert_json_snapshot!("agents_refused", Value::Object(errors));
        assert_eq!(server.admin().get(AGENTS).await.expect(200), before);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_agent_is_not_found() {
    both(async |server| {
        let organization = organization(&server).await;
        let (other, _) = project(&server, &organization, "other").await;
        let foreign = other.post(AGENTS, &json!({"name": "foreign"})).await.expect(201);
        let archived = agent(&server, json!({"name": "archived"})).await;
        server.admin().delete(&path(&archived, "")).await.expect(204);
        let person = server.smith(json!({})).await;
        for unknown in ["nobody", &format!("agt_{NOBODY}"), id(&foreign), id(&archived), &person.id] {
            for (method, rest, body) in [
                (Method::GET, "", None),
                (Method::PATCH, "", Some(json!({"name": "x"}))),
                (Method::DELETE, "", None),
                (Method::GET, "/versions", None),
                (Method::POST, "/versions", Some(json!({}))),
                (Method::POST, "/rollout", Some(json!({"version": 1}))),
                (Method::POST, "/attach", Some(json!({"all": true}))),
            ] {
                let answer =
                    server.admin().send(method, &format!("{AGENTS}/{unknown}{rest}"), body.as_ref()).await;
                answer.expect_error(404, "not_found");
            }
        }
        let bare = person.agent.trim_start_matches("agt_");
        server.admin().get(&format!("{AGENTS}/{bare}")).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn an_agent_without_a_version_takes_no_smith_and_one_with_smiths_stays() {
    both(async |server| {
        let made = agent(&server, json!({"name": "a"})).await;
        let person = server.smith(json!({"external_id": "ana"})).await;
        let on_it = json!({"agent_id": made["id"], "external_id": "bo"});
        let refused = server.admin().post(SMITHS, &on_it).await;
        refused.expect_error_about(409, "agent_unpublished", "agent_id");
        assert_eq!(refused.header("x-should-retry"), "false");
        let refused = server.admin().patch(&person.path(""), &on_it).await;
        refused.expect_error_about(409, "agent_unpublished", "agent_id");
        publish(&server, &made).await;
        let bo = server.admin().post(SMITHS, &on_it).await.expect(201);
        server.admin().patch(&person.path(""), &json!({"agent_id": made["id"]})).await.expect(200);
        for gone in [id(&bo), &person.id] {
            server.admin().delete(&path(&made, "")).await.expect_error(409, "agent_in_use");
            server.admin().delete(&format!("{SMITHS}/{gone}")).await.expect(204);
        }
        server.admin().delete(&path(&made, "")).await.expect(204);
        server.admin().delete(&path(&made, "")).await.expect_error(404, "not_found");
        server.admin().post(SMITHS, &on_it).await.expect_error_about(404, "not_found", "agent_id");
        // Its slug is free again.
        assert_eq!(agent(&server, json!({"name": "a"})).await["slug"], made["slug"]);
    })
    .await;
}

#[tokio::test]
async fn of_two_that_want_one_slug_at_once_one_is_told() {
    both(async |server| {
        let admin = server.admin();
        let body = json!({"name": "a", "slug": "support"});
        let answers = join_all((0..8).map(|_| admin.post(AGENTS, &body))).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in &refused {
            answer.expect_error_about(409, "agent_exists", "slug");
        }
        // The same request with its key is one request, however often it comes.
        let keyed = admin.with_header("idempotency-key", "k");
        let body = json!({"name": "a", "slug": "sales"});
        let answers = join_all((0..8).map(|_| keyed.post(AGENTS, &body))).await;
        let ids: std::collections::BTreeSet<String> =
            answers.into_iter().map(|answer| id(&answer.expect(201)).to_owned()).collect();
        assert_eq!(ids.len(), 1);
        let named = json!({"name": "Team"});
        let answers = join_all((0..8).map(|_| admin.post(AGENTS, &named))).await;
        let slugs: std::collections::BTreeSet<String> = answers
            .into_iter()
            .map(|answer| answer.expect(201)["slug"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(slugs.len(), 8, "{slugs:?}");
    })
    .await;
}

#[tokio::test]
async fn no_smith_slips_into_an_agent_that_is_being_deleted() {
    both(async |server| {
        let admin = server.admin();
        for round in 0..10 {
            let made = published(&server, json!({"name": format!("a{round}")})).await;
            let body = json!({"agent_id": made["id"]});
            let creates = join_all((0..4).map(|_| admin.post(SMITHS, &body)));
            let own_path = path(&made, "");
            let (creates, deleted) = futures::join!(creates, admin.delete(&own_path));
            let created = creates.iter().filter(|answer| answer.status == 201).count();
            if deleted.status == 204 {
                assert_eq!(created, 0, "round {round}");
                for answer in &creates {
                    answer.expect_error_about(404, "not_found", "agent_id");
                }
            } else {
                deleted.expect_error(409, "agent_in_use");
                let smiths = admin.get(&format!("{SMITHS}?agent_id={}", id(&made))).await.expect(200);
                assert_eq!(entries(&smiths).len(), created);
                assert_eq!(admin.get(&own_path).await.expect(200)["smith_count"], created);
                smith(&server, &made, json!({})).await;
            }
        }
    })
    .await;
}
