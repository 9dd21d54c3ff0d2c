//! Idempotency keys: what is asked for twice is done once.

use std::collections::HashSet;

use bytes::Bytes;
use e2e::{Engine, Server, Setup, Smith, both};
use futures::future::join_all;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::json;
use testkit::http::{Answer, Client};
use testkit::mcp::{McpServer, Wire};
use testkit::upstream::{Gate, Reply, Upstream};

use crate::raw;
use crate::support::{
    FORM, Operation, agent_of, entries, form, id, minted, operations, organization, project, redacted, token,
};

fn keyed(client: &Client, key: &str) -> Client {
    client.with_header("idempotency-key", key)
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

/// A request of a kind that may be sent, another body for it, and who sends it.
struct Sendable {
    path: String,
    body: Bytes,
    other: Bytes,
    client: Client,
    /// What has to be there while it is sent.
    _mcp: Option<McpServer>,
}

/// Says how each `POST` of the server is sent: a route that is not named here fails.
async fn sendable(
    server: &Server,
    operation: &Operation,
    smith: &Smith,
    organization: &Client,
    upstream: &Upstream,
) -> Sendable {
    let mut mcp = None;
    let start = json!({"input": "Hello"});
    let admin = server.admin();
    if operation.takes_upload {
        let path = operation.path(&[("aid", &agent_of(&admin, &smith.id).await)]);
        let body = |html: &str| form(&[("file", html), ("metadata", r#"{"name": "card"}"#)]);
        let client = admin.with_header("content-type", FORM);
        return Sendable { path, body: body("<p>a</p>"), other: body("<p>b</p>"), client, _mcp: mcp };
    }
    let (path, body, other, client) = match operation.id.as_str() {
        "smiths.revisions.restore" => {
            (smith.path("/revisions/1/restore"), json!({}), json!({"note": "b"}), admin)
        }
        "smiths.create" => (operation.path(&[]), json!({}), json!({"locale": "de"}), admin),
        "agents.create" => (operation.path(&[]), json!({"name": "a"}), json!({"name": "b"}), admin),
        "agents.import" => {
            let body = |name: &str| json!({"from_smith": smith.id, "name": name});
            (operation.path(&[]), body("a"), body("b"), admin)
        }
        "agents.versions.create" => {
            (operation.path(&[("aid", &smith.agent)]), json!({}), json!({"note": "b"}), admin)
        }
        "agents.rollout" => {
            let body = |percent: u32| json!({"version": 1, "percent": percent});
            (operation.path(&[("aid", &smith.agent)]), body(10), body(20), admin)
        }
        "agents.attach" => {
            let body = json!({"smith_ids": [smith.id]});
            (operation.path(&[("aid", &smith.agent)]), body, json!({"all": true}), admin)
        }
        "smiths.erase" => {
            let path = server.smith(json!({})).await.path("/erase");
            (path, json!({}), json!({"other": 1}), admin)
        }
        "tenant.tokens.create" => {
            (operation.path(&[]), json!({"scope": "admin"}), json!({"scope": "admin", "name": "b"}), admin)
        }
        "organization.keys.create" => {
            (operation.path(&[]), json!({}), json!({"name": "b"}), organization.clone())
        }
        "organization.projects.create" => {
            (operation.path(&[]), json!({"name": "a"}), json!({"name": "b"}), organization.clone())
        }
        "organization.projects.tokens.create" => {
            let (_, made) = project(server, organization, "tokens").await;
            (operation.path(&[("pid", &made)]), json!({}), json!({"name": "b"}), organization.clone())
        }
        "smiths.runs.create" => (smith.path("/runs"), start, json!({"input": "Good bye"}), admin),
        "smiths.runs.replay" => {
            let run = smith.run(&start).await;
            (smith.path(&format!("/runs/{}/replay", id(&run))), json!({}), json!({"other": 1}), admin)
        }
        "smiths.runs.submit" => {
            let body = json!({"input": "Wait", "stream": true});
            let stream = admin.stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
            let path = smith.path(&format!("/runs/{}/submit", stream.header("ic-run-id")));
            (path, json!({"kind": "cancel"}), json!({"kind": "cancel", "reason": "b"}), admin)
        }
        "tenant.custom.test" => {
            let url = format!("{}/chat/completions", upstream.openai_url());
            let tool = json!({"description": "a", "input_schema": {}, "execution": "webhook", "url": url});
            admin.put("/v1/tenant/tools/card", &tool).await.expect(200);
            (operation.path(&[("name", "card")]), json!({}), json!({"args": {"a": 1}}), admin)
        }
        "tenant.mcp.refresh" => {
            let peer = McpServer::start(Wire::Stateless).await;
            let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
            admin.put("/v1/tenant/mcp/card", &body).await.expect(200);
            mcp = Some(peer);
            (operation.path(&[("name", "card")]), json!({}), json!({"other": 1}), admin)
        }
        "conversations.create" => (
            operation.path(&[]),
            json!({}),
            json!({"title": "b"}),
            admin.with_header("ic-smith-id", &smith.id),
        ),
        "conversations.update" => {
            let client = admin.with_header("ic-smith-id", &smith.id);
            let made = client.post("/v1/conversations", &json!({})).await.expect(200);
            let path = operation.path(&[("cnvId", id(&made))]);
            (path, json!({"title": "a"}), json!({"title": "b"}), client)
        }
        "completions.create" => {
            let body = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
            (operation.path(&[]), body("a"), body("b"), admin.with_header("ic-smith-id", &smith.id))
        }
        "responses.create" => {
            let client = admin.with_header("ic-smith-id", &smith.id);
            (operation.path(&[]), json!({"input": "a"}), json!({"input": "b"}), client)
        }
        "responses.cancel" => {
            let run = smith.run(&start).await;
            (operation.path(&[("id", id(&run))]), json!({}), json!({"b": 1}), admin)
        }
        "embeddings.create" => {
            let key = json!({"api_key": "sk", "base_url": upstream.openai_url()});
            admin.put("/v1/tenant/model_keys/openai", &key).await.expect(200);
            (operation.path(&[]), json!({"input": "a"}), json!({"input": "b"}), admin)
        }
        other => panic!("say here how {other} is sent"),
    };
    let (body, other) = (body.to_string().into(), other.to_string().into());
    Sendable { path, body, other, client, _mcp: mcp }
}

#[tokio::test]
async fn every_post_is_done_once_and_answered_alike() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let upstream = Upstream::start().await;
        let server = Setup::on(engine).start().await;
        let smith = server.smith_on(&upstream).await;
        let organization = organization(&server).await;
        let posts = operations(&server).await;
        let posts =
            posts.iter().filter(|operation| operation.wants_bearer && operation.method == Method::POST);
        let mut checked = 0;
        for operation in posts {
            let gate = Gate::hold();
            let waits = operation.id == "smiths.runs.submit";
            upstream.answer_otherwise(if waits {
                Reply::text("Yes.").through(&gate)
            } else {
                Reply::text("Yes.")
            });
            let Sendable { path, body, other, client, _mcp } =
                sendable(&server, operation, &smith, &organization, &upstream).await;
            let client = keyed(&client, "the same");
            let send = async |client: &Client, body: &Bytes| {
                client.send_bytes(Method::POST, &path, Some(body.clone())).await
            };
            let first = send(&client, &body).await;
            assert!([200, 201].contains(&first.status) && !is_replayed(&first), "{first}");
            for _ in 0..2 {
                let again = send(&client, &body).await;
                assert_eq!((again.status, &again.body), (first.status, &first.body), "{again}");
                assert!(is_replayed(&again), "{again}");
                assert_eq!(again.header("content-type"), first.header("content-type"));
                assert_eq!(again.header("ic-run-id"), first.header("ic-run-id"));
            }
            let reused = send(&client, &other).await;
            reused.expect_error_about(409, "idempotency_key_reused", "Idempotency-Key");
            assert_eq!(reused.header("x-should-retry"), "false");
            assert_json_snapshot!("key_reused", redacted(&reused.json));
            if !waits {
                // Another key is another request, and so is none.
                let plain = client.without_header("idempotency-key");
                for client in [keyed(&plain, "another"), plain] {
                    let answer = send(&client, &body).await;
                    assert!(answer.status == first.status && !is_replayed(&answer), "{answer}");
                    // What is adopted or changed has its name already, and some answers name nothing.
                    let is_adopted = matches!(
                        operation.id.as_str(),
                        "organization.projects.create"
                            | "agents.rollout"
                            | "agents.attach"
                            | "agents.ui.put"
                            | "smiths.erase"
                            | "conversations.update"
                            | "embeddings.create"
                            | "responses.cancel"
                            | "tenant.custom.test"
                            | "tenant.mcp.refresh"
                    );
                    let is_same = ["id", "version"].iter().all(|key| answer.json[key] == first.json[key]);
                    assert_eq!(is_same, is_adopted, "{answer}");
                }
            }
            checked += 1;
        }
        assert!(checked >= 8, "{checked}");
    }
}

#[tokio::test]
async fn a_body_is_the_same_when_its_json_is() {
    both(async |server| {
        let client = keyed(&server.admin(), "k");
        let send =
            async |text: &'static str| client.send_bytes(Method::POST, "/v1/smiths", Some(text.into())).await;
        let first = send(r#"{"locale":"de","metadata":{"a":1,"b":[true,null]}}"#).await.expect(201);
        for same in [
            r#"{ "metadata" : { "b" : [ true , null ] , "a" : 1 } , "locale" : "de" }"#,
            r#"{"locale":"\u0064e","metadata":{"a":1,"b":[true,null]}}"#,
        ] {
            assert_eq!(send(same).await.expect(201), first);
        }
        for other in [
            r#"{"locale":"de","metadata":{"a":1,"b":[null,true]}}"#,
            r#"{"locale":"de","metadata":{"a":"1","b":[true,null]}}"#,
            r#"{"locale":"de","metadata":{"a":1,"b":[true,null]},"unknown":1}"#,
            "{}",
            "",
        ] {
            send(other).await.expect_error(409, "idempotency_key_reused");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_belongs_to_its_project_subject_and_route() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let organization = organization(&server).await;
        let (other_project, _) = project(&server, &organization, "other").await;
        let (ana, bo) = (server.smith_on(&upstream).await, server.smith_on(&upstream).await);
        let start = json!({"input": "Hello"});
        let mut runs = HashSet::new();
        for (client, smith) in [
            (server.admin(), &ana),
            (server.admin(), &bo),
            (server.smith_client(&ana, &["runs:write"]).await, &ana),
            (server.smith_client(&bo, &["runs:write"]).await, &bo),
        ] {
            let answer = keyed(&client, "k").post(&smith.path("/runs"), &start).await;
            assert!(!is_replayed(&answer), "{answer}");
            assert!(runs.insert(id(&answer.expect(200)).to_owned()));
        }
        // Two tokens of one subject are one sender.
        let twin = server.anonymous().with_bearer(&minted(&server, &["--admin"]).await);
        let answer = keyed(&twin, "k").post(&ana.path("/runs"), &start).await;
        assert!(is_replayed(&answer) && runs.contains(id(&answer.json)), "{answer}");
        let twin = server.smith_client(&ana, &["runs:write", "runs:read"]).await;
        let answer = keyed(&twin, "k").post(&ana.path("/runs"), &start).await;
        assert!(is_replayed(&answer) && runs.contains(id(&answer.json)), "{answer}");

        let made = keyed(&server.admin(), "k").post("/v1/smiths", &json!({})).await.expect(201);
        let elsewhere = keyed(&other_project, "k").post("/v1/smiths", &json!({})).await.expect(201);
        assert_ne!(made["id"], elsewhere["id"]);
        // The same body to another route is another request.
        let token = keyed(&server.admin(), "k").post("/v1/tenant/tokens", &json!({"scope": "admin"})).await;
        assert!(!is_replayed(&token) && token.status == 201, "{token}");
        assert_eq!(entries(&server.admin().get("/v1/runs").await.expect(200)).len(), runs.len());
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_uses_up_no_key() {
    both(async |server| {
        let smith = server.smith(json!({"model": "gpt-5"})).await;
        let key = keyed(&server.admin(), "k");
        key.post("/v1/smiths", &json!({"metadata": 1})).await.expect_error(422, "invalid_input");
        key.send_bytes(Method::POST, "/v1/smiths", Some("{".into()))
            .await
            .expect_error(400, "invalid_request");
        keyed(&server.anonymous(), "k")
            .post("/v1/smiths", &json!({}))
            .await
            .expect_error(401, "auth_required");
        let answer = key.post("/v1/smiths", &json!({})).await;
        assert!(answer.status == 201 && !is_replayed(&answer), "{answer}");

        // A missing key is set, and then the same request works.
        let start = json!({"input": "Hello"});
        for _ in 0..2 {
            let answer = key.post(&smith.path("/runs"), &start).await;
            answer.expect_error(422, "model_key_missing");
            assert!(!is_replayed(&answer));
        }
        server.admin().patch(&smith.path(""), &json!({"model": "scripted/demo"})).await.expect(200);
        let answer = key.post(&smith.path("/runs"), &start).await;
        assert!(answer.status == 200 && !is_replayed(&answer), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_malformed_key_is_refused_and_one_on_other_methods_ignored() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for key in ["", &"k".repeat(256), "a\tb"] {
            let answer = keyed(&server.admin(), key).post("/v1/smiths", &json!({})).await;
            answer.expect_error_about(400, "invalid_request", "Idempotency-Key");
        }
        for key in ["k", &"k".repeat(255), "a b!~"] {
            keyed(&server.admin(), key).post("/v1/smiths", &json!({})).await.expect(201);
        }
        let client = keyed(&server.admin(), "k");
        for locale in ["de", "pt"] {
            let changed = client.patch(&smith.path(""), &json!({ "locale": locale })).await;
            assert!(!is_replayed(&changed));
            assert_eq!(changed.expect(200)["locale"], locale);
        }
        client.delete(&smith.path("")).await.expect(204);
        client.delete(&smith.path("")).await.expect_error(404, "not_found");
    })
    .await;
}

#[tokio::test]
async fn a_key_survives_a_restart() {
    both(async |mut server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let requests = [
            ("/v1/smiths".to_owned(), json!({"locale": "de"})),
            ("/v1/tenant/tokens".to_owned(), json!({"scope": "admin"})),
            (smith.path("/runs"), json!({"input": "Hello"})),
        ];
        let send = async |server: &Server| {
            let client = keyed(&server.admin(), "k");
            let answers = requests.iter().map(async |(path, body)| client.post(path, body).await);
            join_all(answers).await
        };
        let first = send(&server).await;
        server.kill().await;
        server.start_again().await;
        for (first, again) in first.iter().zip(send(&server).await) {
            assert!(!is_replayed(first) && is_replayed(&again), "{again}");
            assert_eq!((first.status, &first.json), (again.status, &again.json));
        }
        // The token that was answered twice works, and it is one.
        let client = server.anonymous().with_bearer(token(&first[1].json));
        assert_eq!(entries(&client.get("/v1/tenant/tokens").await.expect(200)).len(), 2);
        assert_eq!(upstream.requests().len(), 1);
        // It is not kept in the open, on disk or elsewhere.
        assert!(!server.log().contains(token(&first[1].json)));
    })
    .await;
}

#[tokio::test]
async fn a_storm_of_equal_requests_on_breaking_connections_has_one_effect() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let before = entries(&server.admin().get("/v1/smiths").await.expect(200)).len();
        for (path, body, list) in [
            ("/v1/smiths".to_owned(), json!({"locale": "de"}), "/v1/smiths"),
            ("/v1/tenant/tokens".to_owned(), json!({"scope": "admin"}), "/v1/tenant/tokens"),
            (smith.path("/runs"), json!({"input": "Hello"}), "/v1/runs"),
        ] {
            let text = body.to_string();
            let broken = raw::Request::new("POST", &path)
                .bearer(server.admin_token())
                .header("idempotency-key", "storm");
            let leave = join_all((0..10).map(|_| broken.send_and_leave(&server, &text)));
            let client = keyed(&server.admin(), "storm");
            let stay = join_all((0..10).map(|_| client.post(&path, &body)));
            let (_, answers) = futures::join!(leave, stay);
            let mut ids = HashSet::new();
            for answer in &answers {
                if answer.status == 409 {
                    // Only a run takes longer than its request needs to be kept.
                    answer.expect_error(409, "idempotency_in_progress");
                    assert_eq!((list, answer.header("retry-after")), ("/v1/runs", "1"));
                } else {
                    ids.insert(id(&answer.json).to_owned());
                }
            }
            assert!(ids.len() <= 1, "{ids:?}");
            let listed = server.admin().get(list).await.expect(200);
            let known = if list == "/v1/runs" {
                0
            } else if list == "/v1/smiths" {
                before
            } else {
                1
            };
            assert_eq!(entries(&listed).len(), known + 1, "{listed:#}");
            assert!(ids.iter().all(|one| one == id(&entries(&listed)[0])), "{ids:?}");
        }
        // Whoever comes later is told of the one run.
        let runs = server.admin().get("/v1/runs").await.expect(200);
        let run = id(&entries(&runs)[0]).to_owned();
        let path = smith.path(&format!("/runs/{run}/events"));
        server.admin().follow(&path, None).await.collect_until_end().await;
        let client = keyed(&server.admin(), "storm");
        let answer = client.post(&smith.path("/runs"), &json!({"input": "Hello"})).await;
        assert!(is_replayed(&answer), "{answer}");
        assert_eq!(id(&answer.expect(200)), run);
        assert_eq!(upstream.requests().len(), 1);
    })
    .await;
}
