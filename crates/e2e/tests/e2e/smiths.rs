//! Smiths: ensured, found, changed, archived.

use e2e::{Server, both};
use futures::future::join_all;
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::upstream::{Gate, Reply, Upstream};

use crate::support::{NOBODY, entries, id, organization, pages, project, redacted};

const SMITHS: &str = "/v1/smiths";

/// A configuration that overrides everything.
fn overridden() -> Value {
    json!({
        "model": "openai_compatible/mock",
        "instructions": "Be kind to {{ display_name }}.",
        "enabled_hosted_tools": ["calculator", "web_search"],
        "vector_store_ids": ["vs_1"],
        "mcp_servers": [],
        "skills": [{"version": 2, "skill_id": "skl_1"}, {"skill_id": "skl_2"}],
        "auto_memory": true,
        "memory_consolidation": true,
        "tools": ["lookup"],
    })
}

#[tokio::test]
async fn a_smith_is_made_once_for_a_pair_and_answered_unchanged_after_that() {
    both(async |server| {
        let body = json!({
            "external_id": "ana", "display_name": "Ana", "locale": "pt-PT", "timezone": "Europe/Lisbon",
            "metadata": {"zeta": 1, "alpha": {"y": [1.5, true, null], "b": ""}, "10": "ten", "9": "nine"},
            "unknown": {"ignored": true},
        });
        let made = server.admin().post(SMITHS, &body).await.expect(201);
        assert_json_snapshot!("smith_made", redacted(&made));
        let other = json!({"external_id": "ana", "display_name": "Other", "instructions": "Be rude."});
        assert_eq!(server.admin().post(SMITHS, &other).await.expect(200), made);
        let named = json!({"external_id": "ana", "agent_id": made["agent_id"]});
        assert_eq!(server.admin().post(SMITHS, &named).await.expect(200), made);
        assert_eq!(server.admin().get(&format!("{SMITHS}/{}", id(&made))).await.expect(200), made);
        let bare = id(&made).trim_start_matches("smt_");
        assert_eq!(server.admin().get(&format!("{SMITHS}/{bare}")).await.expect(200), made);
        // Without a name for the person there is always a new smith.
        let first = server.admin().post(SMITHS, &json!({})).await.expect(201);
        let second = server.admin().send_bytes(reqwest::Method::POST, SMITHS, None).await.expect(201);
        assert_ne!(id(&first), id(&second));
        assert_json_snapshot!("smith_bare", redacted(&first));
    })
    .await;
}

#[tokio::test]
async fn many_at_once_make_one_smith() {
    both(async |server| {
        let admin = server.admin();
        let body = json!({"external_id": "ana"});
        let answers = join_all((0..20).map(|_| admin.post(SMITHS, &body))).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(made, 1);
        let ids: std::collections::HashSet<&str> = answers.iter().map(|answer| id(&answer.json)).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(entries(&admin.get(SMITHS).await.expect(200)).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_was_stored_comes_back_verbatim() {
    both(async |server| {
        let metadata = r#"{"z":0,"a":{"q":[],"b":{"k":null}},"ü":"ß","empty":"","1":1,"0":0,"big":9007199254740993,"f":1.25}"#;
        let body = format!(r#"{{"metadata":{metadata},"skills":[{{"version":3,"skill_id":"skl_b"}},{{"skill_id":"skl_a"}}]}}"#);
        let made = server.admin().send_bytes(reqwest::Method::POST, SMITHS, Some(body.into())).await.expect(201);
        for smith in [&made, &server.admin().get(&format!("{SMITHS}/{}", id(&made))).await.expect(200)] {
            assert_eq!(smith["metadata"].to_string(), metadata);
            assert_eq!(
                smith["skills"].to_string(),
                r#"[{"version":3,"skill_id":"skl_b"},{"skill_id":"skl_a"}]"#
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_field_that_is_given_overrides_and_null_inherits_again() {
    both(async |server| {
        let mut body = overridden();
        body["external_id"] = "ana".into();
        body["display_name"] = "Ana".into();
        let made = server.admin().post(SMITHS, &body).await.expect(201);
        assert_json_snapshot!("smith_overridden", redacted(&made));
        let path = format!("{SMITHS}/{}", id(&made));
        let mut left: Vec<String> = overridden().as_object().unwrap().keys().cloned().collect();
        for key in overridden().as_object().unwrap().keys() {
            let changed = server.admin().patch(&path, &json!({key: null})).await.expect(200);
            left.retain(|other| other != key);
            assert_eq!(changed["override_keys"], json!(left), "{key}");
            let source = if left.is_empty() { "agent" } else { "override" };
            assert_eq!(changed["config_source"], source, "{key}");
        }
        let inherited = server.admin().get(&path).await.expect(200);
        assert_json_snapshot!("smith_inherited", redacted(&inherited));
        for (key, value) in overridden().as_object().unwrap() {
            let changed = server.admin().patch(&path, &json!({key: value})).await.expect(200);
            assert_eq!(&changed[key], value);
            assert_eq!(changed["override_keys"], json!([key]));
            assert_eq!(changed["inherited"], inherited["inherited"], "{key}");
            server.admin().patch(&path, &json!({key: null})).await.expect(200);
        }
    })
    .await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    both(async |server| {
        let mut body = overridden();
        body["external_id"] = "ana".into();
        body["metadata"] = json!({"a": 1});
        body["locale"] = "pt".into();
        let made = server.admin().post(SMITHS, &body).await.expect(201);
        let path = format!("{SMITHS}/{}", id(&made));
        let mut expected = made.clone();
        for (change, field, value) in [
            (json!({"display_name": "Ana"}), "display_name", json!("Ana")),
            (json!({"timezone": "America/Sao_Paulo"}), "timezone", json!("America/Sao_Paulo")),
            (json!({"locale": null}), "locale", Value::Null),
            (json!({"metadata": {"z": 1, "b": 2}}), "metadata", json!({"z": 1, "b": 2})),
            (json!({"metadata": null}), "metadata", json!({})),
            (json!({"pin": 1}), "pin", json!(1)),
            (json!({"pin": null}), "pin", Value::Null),
            (json!({"customer_id": ""}), "customer_id", Value::Null),
            (json!({"customer_id": null}), "customer_id", Value::Null),
            (json!({"agent_id": made["agent_id"]}), "agent_id", made["agent_id"].clone()),
            (json!({"external_id": "other", "locale": "de"}), "locale", json!("de")),
        ] {
            expected[field] = value;
            let changed = server.admin().patch(&path, &change).await.expect(200);
            assert_eq!(changed, expected, "{change}");
            assert_eq!(server.admin().get(&path).await.expect(200), expected, "{change}");
        }
        for empty in [json!({}), json!({"unknown": 1}), json!({"id": "smt_x", "created_at": null})] {
            server.admin().patch(&path, &empty).await.expect_error(422, "empty_patch");
        }
        let answer = server.admin().send_bytes(reqwest::Method::PATCH, &path, None).await;
        answer.expect_error(422, "empty_patch");
        assert_eq!(server.admin().get(&path).await.expect(200), expected);
        for unknown in ["nobody", &format!("smt_{NOBODY}"), NOBODY, made["agent_id"].as_str().unwrap()] {
            let path = format!("{SMITHS}/{unknown}");
            server.admin().patch(&path, &json!({"locale": "de"})).await.expect_error(404, "not_found");
            server.admin().get(&path).await.expect_error(404, "not_found");
            server.admin().delete(&path).await.expect_error(404, "not_found");
        }
    })
    .await;
}

#[tokio::test]
async fn changes_at_the_same_time_lose_nothing() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let (admin, path) = (server.admin(), smith.path(""));
        let changes = overridden();
        let changes = changes.as_object().unwrap().iter().map(|(key, value)| json!({key: value}));
        let changes: Vec<Value> =
            changes.chain([json!({"locale": "pt"}), json!({"display_name": "Ana"})]).collect();
        for answer in join_all(changes.iter().map(|change| admin.patch(&path, change))).await {
            answer.expect(200);
        }
        let changed = admin.get(&path).await.expect(200);
        for (key, value) in changes.iter().flat_map(|change| change.as_object().unwrap()) {
            assert_eq!(&changed[key], value, "{changed:#}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_wrong_field_is_named_and_changes_nothing() {
    both(async |server| {
        let organization = organization(&server).await;
        let (other, _) = project(&server, &organization, "other").await;
        let foreign = other.post(SMITHS, &json!({})).await.expect(201);
        let made = server.admin().post(SMITHS, &json!({"external_id": "ana"})).await.expect(201);
        let path = format!("{SMITHS}/{}", id(&made));
        let names: Vec<String> = (0..101).map(|number| format!("name_{number}")).collect();
        let mut errors = serde_json::Map::new();
        for (field, value, status, code) in [
            ("display_name", json!(1), 422, "invalid_input"),
            ("display_name", json!("n".repeat(256)), 422, "invalid_input"),
            ("locale", json!([]), 422, "invalid_input"),
            ("timezone", json!(2), 422, "invalid_input"),
            ("timezone", json!("Mars/Base"), 422, "invalid_timezone"),
            ("timezone", json!(""), 422, "invalid_timezone"),
            ("timezone", json!("../../etc/passwd"), 422, "invalid_timezone"),
            ("customer_id", json!(1), 422, "invalid_input"),
            ("customer_id", json!(format!("cus_{NOBODY}")), 404, "not_found"),
            ("metadata", json!([]), 422, "invalid_input"),
            ("metadata", json!("x"), 422, "invalid_input"),
            ("metadata", json!({"a": "x".repeat(17_000)}), 422, "invalid_input"),
            ("agent_id", json!(1), 422, "invalid_input"),
            ("agent_id", json!("nobody"), 404, "not_found"),
            ("agent_id", json!(format!("agt_{NOBODY}")), 404, "not_found"),
            ("agent_id", foreign["agent_id"].clone(), 404, "not_found"),
            ("pin", json!(0), 422, "invalid_input"),
            ("pin", json!("1"), 422, "invalid_input"),
            ("pin", json!(1.5), 422, "invalid_input"),
            ("pin", json!(7), 404, "not_found"),
            ("pin", json!(4_294_967_295_u32), 404, "not_found"),
            ("pin", json!(4_294_967_296_u64), 422, "invalid_input"),
            ("model", json!(true), 422, "invalid_input"),
            ("model", json!("m".repeat(256)), 422, "invalid_input"),
            ("instructions", json!({}), 422, "invalid_input"),
            ("instructions", json!("i".repeat(200_001)), 422, "invalid_input"),
            ("enabled_hosted_tools", json!("calculator"), 422, "invalid_input"),
            ("enabled_hosted_tools", json!(["calculator", "nope"]), 422, "invalid_input"),
            ("vector_store_ids", json!([1]), 422, "invalid_input"),
            ("mcp_servers", json!({}), 422, "invalid_input"),
            ("mcp_servers", json!(names), 422, "invalid_input"),
            ("skills", json!(["skl_1"]), 422, "invalid_input"),
            ("skills", json!([{"version": 1}]), 422, "invalid_input"),
            ("skills", json!([{"skill_id": "skl_1", "version": 0}]), 422, "invalid_input"),
            ("auto_memory", json!("yes"), 422, "invalid_input"),
            ("memory_consolidation", json!(1), 422, "invalid_input"),
            ("tools", json!([null]), 422, "invalid_input"),
        ] {
            let create = server.admin().post(SMITHS, &json!({"external_id": "new", field: value})).await;
            create.expect_error_about(status, code, field);
            let patch = server.admin().patch(&path, &json!({"locale": "de", field: value})).await;
            patch.expect_error_about(status, code, field);
            assert_eq!(create.error("message"), patch.error("message"));
            let value = value.to_string();
            let shown = if value.len() > 60 { "[long]" } else { &value };
            errors.insert(
                redacted(&json!(format!("{field}: {shown}"))).as_str().unwrap().to_owned(),
                create.json,
            );
        }
        assert_json_snapshot!("smiths_refused", Value::Object(errors));
        for external_id in [json!(""), json!("e".repeat(256)), json!(7), json!("a\0b")] {
            let answer = server.admin().post(SMITHS, &json!({"external_id": external_id})).await;
            answer.expect_error_about(422, "invalid_input", "external_id");
        }
        assert_eq!(server.admin().get(SMITHS).await.expect(200)["data"], json!([made]));
    })
    .await;
}

#[tokio::test]
async fn an_external_id_may_be_any_text_of_255_characters() {
    both(async |server| {
        for external_id in
            ["ü".repeat(255), " ".to_owned(), "a/b?c=d&e#f%00".to_owned(), "👩‍🚀\u{202e}'\";--".to_owned()]
        {
            let body = json!({ "external_id": external_id });
            let made = server.admin().post(SMITHS, &body).await.expect(201);
            assert_eq!(made["external_id"], external_id.as_str());
            assert_eq!(server.admin().post(SMITHS, &body).await.expect(200), made);
        }
    })
    .await;
}

async fn found(server: &Server, query: &str) -> Vec<String> {
    let page = server.admin().get(&format!("{SMITHS}?{query}")).await.expect(200);
    entries(&page).iter().map(|smith| smith["external_id"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn filters_find_what_they_name() {
    both(async |server| {
        for external_id in ["ana", "anna", "Ana", "an%", "an_", "bo", "böse", "b\u{10ffff}z"] {
            server.admin().post(SMITHS, &json!({"external_id": external_id})).await.expect(201);
        }
        let unnamed = server.admin().post(SMITHS, &json!({})).await.expect(201);
        for (query, expected) in [
            ("external_id=ana", &["ana"][..]),
            ("external_id=an%25", &["an%"]),
            ("external_id=nobody", &[]),
            ("external_id=%00", &[]),
            ("external_id_prefix=an", &["an_", "an%", "anna", "ana"]),
            ("external_id_prefix=an%25", &["an%"]),
            ("external_id_prefix=an_", &["an_"]),
            ("external_id_prefix=b", &["b\u{10ffff}z", "böse", "bo"]),
            ("external_id_prefix=b%F4%8F%BF%BF", &["b\u{10ffff}z"]),
            ("external_id_prefix=zz", &[]),
            ("external_id_prefix=an&external_id=anna", &["anna"]),
            ("external_id_prefix=an&external_id=bo", &[]),
            ("agent_id=nobody", &[]),
            (&format!("agent_id=agt_{NOBODY}"), &[]),
            ("customer_id=nobody", &[]),
            (&format!("customer_id=cus_{NOBODY}"), &[]),
            ("external_id=ana&unknown=1&order=asc&order=", &["ana"]),
        ] {
            assert_eq!(found(&server, query).await, expected, "{query}");
        }
        let of_agent = format!("agent_id={}", unnamed["agent_id"].as_str().unwrap());
        assert_eq!(found(&server, &of_agent).await.len(), 9);
        // An empty filter is none.
        let empty = "external_id_prefix=&external_id=&agent_id=&customer_id=";
        assert_eq!(found(&server, empty).await.len(), 9);
    })
    .await;
}

#[tokio::test]
async fn pages_hold_every_smith_once_newest_first() {
    both(async |server| {
        let mut made = Vec::new();
        for number in 0..11 {
            let external_id = format!("user_{:02}", number % 6 * 2 + number / 6);
            made.push(server.admin().post(SMITHS, &json!({"external_id": external_id})).await.expect(201));
        }
        made.reverse();
        for limit in [1, 2, 3, 5, 10, 11, 12, 200] {
            assert_eq!(pages(&server.admin(), SMITHS, limit).await, made, "{limit}");
        }
        let page = server.admin().get(&format!("{SMITHS}?limit=2")).await.expect(200);
        assert_json_snapshot!("smiths_page", redacted(&page));
        let ids: Vec<&str> = made.iter().map(id).collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "the order of texts is that of time");
        // What is made or archived meanwhile moves nothing of what is still to come.
        let first = server.admin().get(&format!("{SMITHS}?limit=5")).await.expect(200);
        server.admin().post(SMITHS, &json!({})).await.expect(201);
        server.admin().delete(&format!("{SMITHS}/{}", id(&made[4]))).await.expect(204);
        server.admin().delete(&format!("{SMITHS}/{}", id(&made[5]))).await.expect(204);
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = server.admin().get(&format!("{SMITHS}?limit=50&cursor={cursor}")).await.expect(200);
        assert_eq!(entries(&rest), &made[6..]);
        let prefix = pages(&server.admin(), "/v1/smiths?external_id_prefix=user_0", 2).await;
        assert!(prefix.iter().all(|smith| smith["external_id"].as_str().unwrap().starts_with("user_0")));
        assert_eq!(
            prefix.len(),
            made[6..]
                .iter()
                .chain(&made[..4])
                .filter(|smith| { smith["external_id"].as_str().unwrap().starts_with("user_0") })
                .count()
        );
    })
    .await;
}

#[tokio::test]
async fn an_archived_smith_frees_its_pair_and_takes_its_tokens_and_runs_along() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::chunks(["One ", "two."]).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"external_id": "ana", "model": "openai_compatible/mock"});
        let ana = server.admin().post(SMITHS, &body).await.expect(201);
        let path = format!("{SMITHS}/{}", id(&ana));
        let minted = server
            .admin()
            .post(
                "/v1/tenant/tokens",
                &json!({"smith_id": ana["id"], "permissions": ["runs:read", "runs:write"]}),
            )
            .await
            .expect(201);
        let client = server.anonymous().with_bearer(minted["token"].as_str().unwrap());
        let start = json!({"input": "Count", "stream": true});
        let mut stream = client.stream(reqwest::Method::POST, &format!("{path}/runs"), Some(&start)).await;
        stream.take(1).await;
        let run = stream.header("ic-run-id").to_owned();
        let bystander =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&start)).await;

        server.admin().delete(&path).await.expect(204);
        assert_eq!(stream.drain().await.last().unwrap().event, "run.cancelled");
        client.get("/v1/runs").await.expect_error(401, "unauthenticated");
        for (method, rest) in [
            (reqwest::Method::GET, String::new()),
            (reqwest::Method::DELETE, String::new()),
            (reqwest::Method::PATCH, String::new()),
            (reqwest::Method::GET, "/runs".to_owned()),
            (reqwest::Method::POST, "/runs".to_owned()),
            (reqwest::Method::GET, "/model_keys".to_owned()),
        ] {
            let body = json!({"locale": "de", "input": "x"});
            let answer = server.admin().send(method, &format!("{path}{rest}"), Some(&body)).await;
            answer.expect_error(404, "not_found");
        }
        let listed = server.admin().get("/v1/tenant/tokens").await.expect(200);
        let of_ana = entries(&listed).iter().find(|token| token["id"] == minted["id"]).unwrap();
        assert!(of_ana["revoked_at"].is_string());
        let runs = server.admin().get("/v1/runs").await.expect(200);
        let record = entries(&runs).iter().find(|record| record["id"] == run.as_str());
        assert!(record.is_none_or(|record| record["status"] == "cancelled"), "{record:?}");

        let again = server.admin().post(SMITHS, &body).await.expect(201);
        assert_ne!(again["id"], ana["id"]);
        gate.open();
        assert_eq!(bystander.collect_until_end().await.last().unwrap().event, "run.completed");
    })
    .await;
}
