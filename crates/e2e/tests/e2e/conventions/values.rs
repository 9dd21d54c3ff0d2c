//! Values in paths and queries.

use e2e::both;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::json;

use super::callable;
use crate::raw;
use crate::support::{NOBODY, acting, minted, operations, own_path};

#[tokio::test]
async fn every_list_checks_its_limit_and_cursor() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        server.smith(json!({})).await;
        let mut lists = callable(&server).await;
        lists.retain(|(operation, _)| operation.query.iter().any(|name| name == "cursor"));
        assert!(lists.len() >= 6, "{lists:?}");
        for (operation, client) in &lists {
            let path = own_path(operation, &smith);
            for limit in
                ["0", "201", "-1", "%2B1", "1.5", "1e2", "ten", "", "99999999999999999999999", "0x10", "%20"]
            {
                let answer = client.get(&format!("{path}?limit={limit}")).await;
                answer.expect_error_about(400, "invalid_limit", "limit");
            }
            for limit in ["1", "200", "007"] {
                client.get(&format!("{path}?limit={limit}")).await.expect(200);
            }
            let cursors =
                ["", "x", "null", "%00", "smt_1111111111111111111111", "AAAA", "%F0%9F%98%80", "-1"];
            for cursor in cursors.map(str::to_owned).into_iter().chain(["A".repeat(5_000)]) {
                let answer = client.get(&format!("{path}?cursor={cursor}")).await;
                answer.expect_error_about(400, "invalid_cursor", "cursor");
            }
            let page = client
                .get(&format!("{path}?what=ever&order=asc&limit=50&offset=3&limit=7"))
                .await
                .expect(200);
            let plain = client.get(&path).await.expect(200);
            assert_eq!(page, plain, "unknown keys are ignored");
        }
        // A cursor leads on in its own list only.
        let page = server.admin().get("/v1/smiths?limit=1").await.expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        for (operation, client) in &lists {
            let answer = client.get(&format!("{}?cursor={cursor}", own_path(operation, &smith))).await;
            if operation.id == "smiths.list" {
                answer.expect(200);
            } else {
                answer.expect_error_about(400, "invalid_cursor", "cursor");
            }
        }
        let answer = server.admin().get("/v1/smiths?limit=0").await;
        assert_json_snapshot!("invalid_limit", answer.json);
        let answer = server.admin().get("/v1/smiths?cursor=x").await;
        assert_json_snapshot!("invalid_cursor", answer.json);
    })
    .await;
}

#[tokio::test]
async fn text_that_is_no_id_is_not_found_however_it_is_written() {
    both(async |server| {
        let organization = minted(&server, &["--organization"]).await;
        for text in [
            "nobody",
            "%",
            "%zz",
            "%00",
            "%ff",
            "a%2Fb",
            "..%2f..",
            "ä",
            "\u{1f600}",
            "smt_",
            "_",
            "{pid}",
            "'\"",
            "%20",
            "a:b",
            "*",
            "~",
            "smt_0000000000000000000000",
            "smt_zzzzzzzzzzzzzzzzzzzzzz",
            "SMT_1111111111111111111111",
            "1111111111111111111111",
        ] {
            for (path, token) in
                [("/v1/organization/projects/", organization.as_str()), ("/v1/smiths/", server.admin_token())]
            {
                let answer =
                    raw::Request::new("GET", &format!("{path}{text}")).bearer(token).send(&server).await;
                answer.expect_error(404, "not_found");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_malformed_value_in_the_query_is_named() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let run = smith.run(&json!({"input": "Hello"})).await;
        let events = smith.path(&format!("/runs/{}/events", run["id"].as_str().unwrap()));
        for (query, code, param) in [
            ("follow=maybe", "invalid_request", "follow"),
            ("follow=", "invalid_request", "follow"),
            ("follow=False", "invalid_request", "follow"),
            ("after=x", "invalid_cursor", "after"),
            ("after=-1", "invalid_cursor", "after"),
            ("after=1.5", "invalid_cursor", "after"),
        ] {
            let answer = server.admin().get(&format!("{events}?{query}")).await;
            answer.expect_error_about(400, code, param);
        }
        let answer = server.admin().with_header("last-event-id", "x").get(&events).await;
        answer.expect_error_about(400, "invalid_cursor", "Last-Event-ID");
    })
    .await;
}

#[tokio::test]
async fn no_value_in_a_query_or_path_is_too_strange() {
    both(async |server| {
        let smith = server.smith(json!({"external_id": "ana"})).await;
        let long = "9".repeat(4_000);
        let strange = [
            "%00",
            "%ff%fe",
            "%F0%9F%98%80",
            "'%20or%201=1--",
            "%22",
            "%5C",
            "-1",
            "1e999",
            "null",
            "%",
            "a;b",
            &long,
        ];
        for (operation, client) in callable(&server).await {
            let path = own_path(&operation, &smith);
            let client = acting(&client, &operation, &smith.id);
            for name in &operation.query {
                for value in strange {
                    let answer = client.get(&format!("{path}?{name}={value}")).await;
                    assert!([200, 400, 404].contains(&answer.status), "{answer}");
                    if answer.status == 200 && answer.json["data"].is_array() {
                        assert_eq!(
                            answer.json["data"],
                            json!([]),
                            "{name}={value} matches nothing: {answer}"
                        );
                    }
                }
            }
            // Each place of the path in turn, the others as they should be.
            for place in [
                "pid", "rid", "tid", "kid", "provider", "aid", "name", "slug", "version", "cnvId", "model",
                "id",
            ] {
                if !operation.has(place) {
                    continue;
                }
                for value in strange.into_iter().filter(|value| *value != "%") {
                    let usual = [
                        ("pid", smith.id.as_str()),
                        ("aid", smith.agent.as_str()),
                        ("rid", NOBODY),
                        ("aprId", NOBODY),
                        ("tid", NOBODY),
                        ("kid", NOBODY),
                        ("provider", "gemini"),
                        ("aid", NOBODY),
                        ("name", "card"),
                        ("slug", "nothing"),
                        ("version", "1"),
                        ("cnvId", NOBODY),
                        ("model", "nothing"),
                        ("id", NOBODY),
                    ];
                    let places = usual.map(|(name, usual)| (name, if name == place { value } else { usual }));
                    let body =
                        operation.takes_body.then(|| json!({"api_key": "k", "input": "x", "kind": "cancel"}));
                    let answer =
                        client.send(operation.method.clone(), &operation.path(&places), body.as_ref()).await;
                    let is_put = operation.is_of_registration() && operation.method == Method::PUT;
                    // What is no text names nothing.
                    if is_put && answer.status != 404 {
                        // Some of them are names like others.
                        let is_name = ["-1", "null", "1e999"].contains(&value);
                        let param = if is_name { answer.error("param") } else { "name" };
                        assert_eq!((answer.status, answer.error("param")), (422, param), "{answer}");
                        assert_eq!(answer.error("code") == "invalid_name", !is_name, "{answer}");
                    } else if answer.status == 422 {
                        answer.expect_error_about(422, "unknown_provider", "provider");
                    } else if place == "cnvId" {
                        // What is not even text is no path that anything could have.
                        let code =
                            if value.starts_with("%ff") { "not_found" } else { "conversation_not_found" };
                        answer.expect_error(404, code);
                    } else {
                        answer.expect_error(404, "not_found");
                    }
                }
            }
        }
        assert!(operations(&server).await.iter().any(|operation| operation.has("kid")));
    })
    .await;
}
