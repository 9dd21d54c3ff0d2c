//! What all routes have in common: bodies, lists, methods, headers, browsers, probes, limits.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use e2e::{Engine, Server, Setup, both};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::{Answer, Client};

use crate::raw;
use crate::support::{Operation, entries, operations, organization, own_path, redacted};

/// The operations with a bearer, with a client that may call each.
async fn callable(server: &Server) -> Vec<(Operation, Client)> {
    let organization = organization(server).await;
    let with_client = |operation: Operation| {
        let client = if operation.is_of_organization() { organization.clone() } else { server.admin() };
        (operation, client)
    };
    let operations = operations(server).await.into_iter().filter(|operation| operation.wants_bearer);
    operations.map(with_client).collect()
}

async fn taking_bodies(server: &Server) -> Vec<(Operation, Client)> {
    let mut operations = callable(server).await;
    operations.retain(|(operation, _)| operation.takes_body);
    assert!(operations.len() >= 9, "{operations:?}");
    operations
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_everywhere() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let deep = |depth: usize| {
            format!("{{\"metadata\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
        };
        let before = server.admin().get("/v1/smiths").await.expect(200);
        let mut errors = BTreeMap::new();
        for (operation, client) in taking_bodies(&server).await {
            let path = own_path(&operation, &smith);
            for (name, body) in [
                ("half", b"{\"a\":".to_vec()),
                ("text", b"hunter2".to_vec()),
                ("two", b"{} {}".to_vec()),
                ("comma", b"{\"a\":1,}".to_vec()),
                ("single quotes", b"{'a':1}".to_vec()),
                ("no UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
                ("half a surrogate", br#"{"a":"\ud800"}"#.to_vec()),
                ("byte order mark", b"\xef\xbb\xbf{}".to_vec()),
                ("not a number", b"{\"a\":NaN}".to_vec()),
                ("deep", deep(127)),
                ("very deep", deep(500_000)),
            ] {
                let answer = client.send_bytes(operation.method.clone(), &path, Some(body.into())).await;
                answer.expect_error(400, "invalid_request");
                assert!(!answer.error("message").contains("hunter2"), "{answer}");
                errors.insert(name, answer.json);
            }
            for body in ["[]", "null", "7", "\"{}\"", "true"] {
                let answer = client.send_bytes(operation.method.clone(), &path, Some(body.into())).await;
                answer.expect_error_about(422, "invalid_input", "body");
                errors.insert("no object", answer.json);
            }
        }
        assert_json_snapshot!("bad_bodies", redacted(&json!(errors)));
        assert_eq!(server.admin().get("/v1/smiths").await.expect(200), before);
    })
    .await;
}

#[tokio::test]
async fn a_body_may_come_under_any_name_and_be_absent() {
    both(async |server| {
        for content_type in
            ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"]
        {
            let client = server.admin().with_header("content-type", content_type);
            let made = client.post("/v1/smiths", &json!({"locale": "de"})).await.expect(201);
            assert_eq!(made["locale"], "de");
        }
        for body in [None, Some(""), Some(" \r\n\t")] {
            server.admin().send_bytes(Method::POST, "/v1/smiths", body.map(Into::into)).await.expect(201);
        }
        let deep: Value = (0..120).fold(json!(1), |inner, _| json!([inner]));
        let made = server.admin().post("/v1/smiths", &json!({"metadata": {"deep": deep}})).await.expect(201);
        assert_eq!(made["metadata"]["deep"], deep);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_its_length() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_MAX_BODY_BYTES", "1000").start().await;
        let smith = server.smith(json!({})).await;
        let organization = crate::support::minted(&server, &["--organization"]).await;
        let before = server.admin().get("/v1/smiths").await.expect(200);
        for (operation, client) in taking_bodies(&server).await {
            let path = own_path(&operation, &smith);
            let token = if operation.is_of_organization() { &organization } else { server.admin_token() };
            let (method, fits) = (operation.method.clone(), format!("{{\"a\":\"{}\"}}", "x".repeat(992)));
            assert_eq!(fits.len(), 1_000);
            assert_ne!(
                client.send_bytes(method.clone(), &path, Some(fits.into())).await.status,
                413,
                "{operation}"
            );
            let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(993));
            let answer = client.send_bytes(method.clone(), &path, Some(too_large.clone().into())).await;
            answer.expect_error(413, "payload_too_large");
            assert!(answer.error("message").contains("1000"), "{answer}");
            let request = raw::Request::new(method.as_str(), &path).bearer(token);
            let chunks: Vec<&str> = vec!["{\"a\":\"", &too_large[6..506], &too_large[506..]];
            let chunked = request.send_chunks(&server, &chunks).await;
            chunked.expect_error(413, "payload_too_large");
            // One that is announced is refused before it is sent.
            let announced = request.announce(&server, 1 << 40).await;
            announced.expect_error(413, "payload_too_large");
        }
        assert_eq!(
            server.admin().get("/v1/smiths").await.expect(200)["data"].as_array().unwrap().len(),
            entries(&before).len() + 1,
            "only the body that fits has made a smith"
        );
    }
}

#[tokio::test]
async fn the_usual_bound_of_a_body_is_32_mib() {
    let server = Setup::on(Engine::Sqlite).start().await;
    let body = |bytes: usize| format!("{{\"ignored\":\"{}\"}}", "x".repeat(bytes - 14));
    let bound = 32 * 1024 * 1024;
    server.admin().send_bytes(Method::POST, "/v1/smiths", Some(body(bound).into())).await.expect(201);
    let request = raw::Request::new("POST", "/v1/smiths").bearer(server.admin_token());
    request.announce(&server, bound as u64 + 1).await.expect_error(413, "payload_too_large");
}

#[tokio::test]
async fn every_list_checks_its_limit_and_cursor() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        server.smith(json!({})).await;
        let mut lists = callable(&server).await;
        lists.retain(|(operation, _)| operation.query.iter().any(|name| name == "limit"));
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
async fn what_is_no_route_is_not_found_whoever_asks() {
    both(async |server| {
        let organization = organization(&server).await;
        for path in [
            "/",
            "/nope",
            "/v1",
            "/v1/",
            "/v1/nope",
            "/v1/smiths/",
            "//v1/smiths",
            "/v1//smiths",
            "/V1/smiths",
            "/v1/smiths/x/y/z",
            "/v1/tenant",
            "/v2/smiths",
            "/openapi.yaml",
            "/metrics/",
            "/v1/smiths%2f",
            "/.env",
        ] {
            for client in [&server.anonymous(), &server.admin(), &organization] {
                for method in [Method::GET, Method::POST, Method::DELETE] {
                    let answer = client.send(method, path, None).await;
                    answer.expect_error(404, "not_found");
                }
            }
        }
        let answer = server.anonymous().get("/nope").await;
        assert_json_snapshot!("no_such_route", answer.json);
    })
    .await;
}

#[tokio::test]
async fn text_that_is_no_id_is_not_found_however_it_is_written() {
    both(async |server| {
        let organization = crate::support::minted(&server, &["--organization"]).await;
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
async fn a_method_that_a_route_does_not_know_is_told_which_it_does() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for operation in operations(&server).await {
            methods.entry(own_path(&operation, &smith)).or_default().insert(operation.method.to_string());
        }
        for (path, known) in methods {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
                if known.contains(method) {
                    continue;
                }
                let method: Method = method.parse().unwrap();
                for client in [server.anonymous(), server.admin()] {
                    let answer = client.send(method.clone(), &path, None).await;
                    answer.expect_error(405, "invalid_request");
                    let allowed: BTreeSet<String> =
                        answer.header("allow").split(',').map(|name| name.trim().to_owned()).collect();
                    let mut expected = known.clone();
                    if known.contains("GET") {
                        expected.insert("HEAD".to_owned());
                    }
                    assert_eq!(allowed, expected, "{answer}");
                }
            }
        }
        let answer = server.anonymous().send(Method::PUT, "/v1/smiths", None).await;
        assert_json_snapshot!("no_such_method", answer.json);
    })
    .await;
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let head = |client: &Client| client.with_extra_routes(&["/*"]);
        for operation in operations(&server).await.iter().filter(|operation| operation.method == Method::GET)
        {
            if operation.id == "smiths.runs.events" {
                continue;
            }
            let path = own_path(operation, &smith);
            for client in [server.admin(), server.anonymous()] {
                let got = client.get(&path).await;
                let headed = head(&client).send(Method::HEAD, &path, None).await;
                assert_eq!((headed.status, headed.body.len()), (got.status, 0), "{path}");
                assert_eq!(headed.header("content-type"), got.header("content-type"), "{path}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_the_version() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = server.admin().with_header("x-request-id", "req_1111111111111111111111");
        let mut seen = HashSet::new();
        for path in [
            "/health",
            "/nope",
            "/v1/smiths",
            "/v1/smiths?limit=0",
            &smith.path(""),
            "/openapi.json",
            "/metrics",
        ] {
            for client in [&client, &server.anonymous()] {
                let answer = client.get(path).await;
                assert_eq!(answer.header("ic-api-version"), "2026-05-01", "{answer}");
                assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
                assert!(
                    seen.insert(answer.header("x-request-id").to_owned()),
                    "the caller's id, or one twice: {answer}"
                );
            }
        }
        assert!(!seen.contains("req_1111111111111111111111"));
    })
    .await;
}

#[tokio::test]
async fn pages_of_any_origin_may_call_what_wants_a_bearer() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let browser = server.anonymous().without_header("ic-api-version").with_header("origin", "https://app.example");
        let asking = |method: &Method| {
            let client = browser.with_extra_routes(&["/*"]).with_header("access-control-request-method", method.as_str());
            client.with_header(
                "access-control-request-headers",
                "authorization,content-type,ic-api-version,ic-smith-id,ic-thread-id,idempotency-key,last-event-id",
            )
        };
        for operation in operations(&server).await {
            let path = own_path(&operation, &smith);
            if !operation.wants_bearer {
                let answer = browser.get(&path).await;
                assert_eq!(answer.header("access-control-allow-origin"), "", "{answer}");
                continue;
            }
            let answer = asking(&operation.method).send(Method::OPTIONS, &path, None).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer}");
            let methods: Vec<&str> = answer.header("access-control-allow-methods").split(", ").collect();
            assert!(methods.contains(&operation.method.as_str()), "{answer}");
            let headers = answer.header("access-control-allow-headers");
            assert!(headers.contains("idempotency-key") && headers.contains("authorization"), "{answer}");
            // A page is also shown why it was refused.
            let answer = browser.send(operation.method.clone(), &path, None).await;
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer}");
            let exposed = answer.header("access-control-expose-headers").to_lowercase();
            for header in [
                "ic-api-version", "x-request-id", "ic-run-id", "ic-thread-id", "idempotency-replayed", "retry-after",
                "x-should-retry", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ] {
                assert!(exposed.split(", ").any(|name| name == header), "{header}: {answer}");
            }
        }
        let client = server.admin().with_header("origin", "https://app.example");
        let answer = client.get("/v1/smiths").await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    })
    .await;
}

#[tokio::test]
async fn only_listed_origins_may_call_where_the_operator_lists_them() {
    let setup = Setup::on(Engine::Sqlite);
    let server = setup.with_variable("INGRAM_HTTP_CORS_ORIGINS", r#"["https://app.example"]"#).start().await;
    let of = |origin: &str| server.admin().with_header("origin", origin);
    let answer = of("https://app.example").get("/v1/smiths").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    assert!(answer.header("vary").to_lowercase().contains("origin"));
    for other in ["https://other.example", "https://app.example.evil", "http://app.example", "null"] {
        let answer = of(other).get("/v1/smiths").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer}");
        let asking = of(other).with_header("access-control-request-method", "GET");
        let answer = asking.send(Method::OPTIONS, "/v1/smiths", None).await;
        answer.expect_error(405, "invalid_request");
    }
}

#[tokio::test]
async fn probes_tell_whether_the_database_answers() {
    both(async |server| {
        let plain = server.anonymous().without_header("ic-api-version");
        assert_eq!(plain.get("/health").await.expect(200)["ok"], true);
        assert_json_snapshot!("ready", plain.get("/ready").await.expect(200));
        let Some(database) = server.database() else { return };
        // From another database, because nobody can lock the one that they are connected to.
        let other = testkit::postgres::database().await;
        let operator = other.client().await;
        let allow = async |may: bool| {
            let statement = format!("alter database \"{}\" allow_connections {may}", database.name());
            operator.batch_execute(&statement).await.expect("the operator may do that");
        };
        allow(false).await;
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        operator.query(cut, &[&database.name()]).await.expect("the operator may do that");
        let answer = plain.get("/ready").await;
        assert_json_snapshot!("not_ready", answer.expect(503));
        assert_eq!(plain.get("/health").await.expect(200)["ok"], true);
        let answer = server.admin().get("/v1/smiths").await;
        assert_eq!(answer.status, 503, "{answer}");
        assert!(!answer.error("message").contains(database.name()), "{answer}");
        allow(true).await;
        assert_eq!(plain.get("/ready").await.expect(200)["ok"], true);
        server.admin().get("/v1/smiths").await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn metrics_want_their_own_token_and_hold_nothing_personal() {
    for variable in ["INGRAM_METRICS_TOKEN", "IC_METRICS_TOKEN"] {
        let server = Setup::on(Engine::Sqlite).with_variable(variable, "meter").start().await;
        let smith = server.smith(json!({"external_id": "canary-person"})).await;
        server.admin().get("/v1/smiths?external_id=canary-person").await.expect(200);
        server.admin().get("/v1/canary-person").await.expect_error(404, "not_found");
        for client in [server.anonymous(), server.admin(), server.anonymous().with_bearer("mete")] {
            let answer = client.get("/metrics").await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{answer}");
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
        let answer = server.anonymous().with_bearer("meter").get("/metrics").await;
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("ingram_http_requests_total{"), "{text}");
        assert!(text.contains("route=\"/v1/smiths\""), "{text}");
        for hidden in ["canary-person", &smith.id, server.admin_token(), "meter\""] {
            assert!(!text.contains(hidden), "{hidden}");
        }
        assert!(!server.log().contains("canary-person"), "{}", server.log());
    }
    let server = Setup::on(Engine::Sqlite).start().await;
    for client in
        [server.anonymous(), server.anonymous().with_bearer("meter"), server.anonymous().with_bearer("\"\"")]
    {
        assert_eq!(client.get("/metrics").await.status, 401);
    }
}

fn standing(answer: &Answer) -> [String; 3] {
    ["limit", "remaining", "reset"]
        .map(|part| answer.header(&format!("x-ratelimit-{part}-requests")).to_owned())
}

#[tokio::test]
async fn a_token_that_has_spent_its_minute_is_told_when_to_come_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_REQUESTS_PER_MINUTE", "6").start().await;
        for left in ["5", "4", "3", "2", "1", "0"] {
            let answer = server.admin().post("/v1/smiths", &json!({})).await;
            let [limit, remaining, reset] = standing(&answer);
            assert_eq!((answer.status, limit.as_str(), remaining.as_str()), (201, "6", left), "{answer}");
            assert!(reset.ends_with('s'), "{answer}");
        }
        let answer = server.admin().post("/v1/smiths", &json!({})).await;
        answer.expect_error(429, "rate_limit_exceeded");
        assert_eq!(standing(&answer)[1], "0");
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=11).contains(&seconds), "{answer}");
        // Other tokens have a minute of their own, and errors carry the headers too.
        let token = crate::support::minted(&server, &["--admin"]).await;
        let other = server.anonymous().with_bearer(&token);
        assert_eq!(entries(&other.get("/v1/smiths").await.expect(200)).len(), 6, "nothing was done");
        let answer = other.get("/v1/smiths?limit=0").await;
        assert_eq!((answer.status, standing(&answer)[1].as_str()), (400, "4"), "{answer}");
        // Probes and strangers are not counted.
        for path in ["/health", "/ready", "/openapi.json", "/v1/smiths"] {
            for _ in 0..8 {
                let answer = server.anonymous().get(path).await;
                assert_eq!(standing(&answer), ["", "", ""]);
                assert_ne!(answer.status, 429);
            }
        }
    }
}

#[tokio::test]
async fn requests_are_not_bounded_unless_the_operator_wants_it() {
    both(async |server| {
        let answer = server.admin().get("/v1/smiths").await;
        assert_eq!(standing(&answer), ["", "", ""]);
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
async fn a_server_that_is_full_says_so_and_its_probes_still_answer() {
    let server = Setup::on(Engine::Sqlite).with_variable("INGRAM_HTTP_MAX_REQUESTS", "1").start().await;
    // A request whose body does not come keeps the only place.
    let slow = raw::Request::new("POST", "/v1/smiths").bearer(server.admin_token());
    let pending = slow.wait_for_its_turn(&server, 100).await;
    for path in ["/v1/smiths", "/v1/runs", "/openapi.json"] {
        let refused = server.admin().get(path).await;
        refused.expect_error(503, "service_overloaded");
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{refused}");
    }
    for path in ["/health", "/ready"] {
        server.anonymous().get(path).await.expect(200);
    }
    drop(pending);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.admin().get("/v1/smiths").await.status != 200 {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}
