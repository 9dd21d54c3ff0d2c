//! Who may call what, for every operation of the server's own document.

use e2e::{Server, both};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Client;

use crate::support::{
    NOBODY, Operation, id, minted, operations, organization, own_path, redacted, smith_client_without,
};

/// What chapter 3 of the contract wants of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Organization,
    Admin,
    /// A smith token with any permission will do.
    AnyPermission,
    Permission(&'static str),
}

/// A route that is not named here is for administrators: a new one that is not fails until it is added.
fn need(operation: &Operation) -> Need {
    let is_read = operation.method == Method::GET;
    let one = |read, write| Need::Permission(if is_read { read } else { write });
    let path = operation.template.as_str();
    if operation.is_of_organization() {
        Need::Organization
    } else if path.starts_with("/v1/models") {
        Need::Permission("runs:read")
    } else if path == "/v1/chat/completions" {
        Need::Permission("runs:write")
    } else if path.starts_with("/v1/responses") {
        one("runs:read", "runs:write")
    } else if path == "/v1/embeddings" {
        Need::Permission("embeddings:write")
    } else if path.starts_with("/v1/conversations") {
        one("conversations:read", "conversations:write")
    } else if operation.id == "smiths.get" {
        Need::AnyPermission
    } else if path == "/v1/runs" || path.starts_with("/v1/smiths/{pid}/runs") {
        one("runs:read", "runs:write")
    } else if path.starts_with("/v1/approvals") {
        Need::Permission("approvals:read")
    } else if path.starts_with("/v1/smiths/{pid}/model_keys") {
        one("model_keys:read", "model_keys:write")
    } else {
        Need::Admin
    }
}

fn body(operation: &Operation) -> Option<Value> {
    operation.takes_body.then(|| json!({}))
}

async fn call(client: &Client, operation: &Operation, path: &str) -> testkit::http::Answer {
    client.send(operation.method.clone(), path, body(operation).as_ref()).await
}

async fn bearer_operations(server: &Server) -> Vec<Operation> {
    operations(server).await.into_iter().filter(|operation| operation.wants_bearer).collect()
}

#[tokio::test]
async fn every_bearer_route_wants_a_good_token() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let admin = server.admin_token();
        let broken = format!("{}{}", &admin[..admin.len() - 6], "AAAAAA");
        let as_smith = admin.replace("tha_live_", "thp_live_");
        let as_organization = admin.replace("tha_live_", "oka_live_");
        let bare = admin.trim_start_matches("tha_live_").to_owned();
        let unsigned = format!("tha_live_{}.", bare.rsplit_once('.').expect("a signature").0);
        for operation in bearer_operations(&server).await {
            let path = own_path(&operation, &smith);
            let missing = call(&server.anonymous(), &operation, &path).await;
            missing.expect_error(401, "auth_required");
            assert_eq!(missing.header("www-authenticate"), "Bearer", "{operation}");
            let other_scheme = server.anonymous().with_header("authorization", "Basic YTpi");
            call(&other_scheme, &operation, &path).await.expect_error(401, "auth_required");
            for garbage in
                ["x", "tha_live_", "tha_live_a.b.c", &broken, &as_smith, &as_organization, &bare, &unsigned]
            {
                let refused = call(&server.anonymous().with_bearer(garbage), &operation, &path).await;
                refused.expect_error(401, "unauthenticated");
                assert_eq!(refused.header("www-authenticate"), "Bearer", "{operation}");
                assert!(!refused.json.to_string().contains(garbage) || garbage.len() < 10, "{operation}");
            }
        }
        assert_eq!(server.admin().get("/v1/smiths").await.expect(200)["data"].as_array().unwrap().len(), 1);
        for secret in [admin, &admin[9..], &broken, &as_smith] {
            assert!(!server.log().contains(secret), "a token is in the log");
        }
    })
    .await;
}

#[tokio::test]
async fn every_bearer_route_of_the_native_surface_wants_the_version() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for operation in bearer_operations(&server).await {
            let path = own_path(&operation, &smith);
            let missing = call(&server.admin().without_header("ic-api-version"), &operation, &path).await;
            if operation.is_of_openai() {
                assert_ne!(missing.status, 400, "clients of OpenAI know no version: {missing}");
            } else {
                missing.expect_error(400, "unsupported_api_version");
                assert!(missing.error("message").contains("IC-Api-Version: 2026-05-01"), "{missing}");
            }
            for version in ["2025-01-01", "2026-05-02", "latest", ""] {
                let client = server.admin().with_header("ic-api-version", version);
                call(&client, &operation, &path).await.expect_error(400, "unsupported_api_version");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn routes_without_a_bearer_need_no_version_and_refuse_a_wrong_one() {
    both(async |server| {
        let open = operations(&server).await.into_iter().filter(|operation| !operation.wants_bearer);
        for operation in open {
            let plain = server.anonymous().without_header("ic-api-version");
            let status = plain.get(&operation.template).await.status;
            assert_eq!(status, if operation.template == "/metrics" { 401 } else { 200 }, "{operation}");
            let wrong = server.anonymous().with_header("ic-api-version", "2025-01-01");
            let answer = wrong.get(&operation.template).await;
            answer.expect_error_about(400, "unsupported_api_version", "IC-Api-Version");
        }
    })
    .await;
}

#[tokio::test]
async fn every_route_is_closed_to_the_wrong_kind_of_token() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let organization = organization(&server).await;
        let everything = smith_client_without(&server, &smith, &[]).await;
        let mut refusals = serde_json::Map::new();
        for operation in bearer_operations(&server).await {
            let path = own_path(&operation, &smith);
            let mut keep = |answer: testkit::http::Answer| {
                refusals.insert(answer.error("code").to_owned(), answer.json);
            };
            if need(&operation) == Need::Organization {
                for client in [&server.admin(), &everything] {
                    let answer = call(client, &operation, &path).await;
                    answer.expect_error(403, "organization_required");
                    keep(answer);
                }
                continue;
            }
            let answer = call(&organization, &operation, &path).await;
            answer.expect_error(403, "tenant_token_required");
            keep(answer);
            match need(&operation) {
                Need::Admin => {
                    let answer = call(&everything, &operation, &path).await;
                    answer.expect_error(403, "admin_required");
                    keep(answer);
                }
                Need::Permission(permission) => {
                    let without = smith_client_without(&server, &smith, &[permission]).await;
                    let answer = call(&without, &operation, &path).await;
                    answer.expect_error(403, "insufficient_scope");
                    assert!(answer.error("message").contains(permission), "{answer}");
                }
                Need::AnyPermission | Need::Organization => {}
            }
        }
        assert_json_snapshot!("scopes_refused", redacted(&Value::Object(refusals)));
    })
    .await;
}

#[tokio::test]
async fn the_needed_permission_alone_opens_a_route_for_the_own_smith() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for operation in bearer_operations(&server).await {
            let client = match need(&operation) {
                Need::Permission(permission) => server.smith_client(&smith, &[permission]).await,
                Need::AnyPermission => server.smith_client(&smith, &["skills:read"]).await,
                Need::Admin | Need::Organization => continue,
            };
            let answer = call(&client, &operation, &own_path(&operation, &smith)).await;
            assert!(![401, 403].contains(&answer.status), "{answer}");
        }
        // An approval is decided with its own permission, and nothing else is.
        let client = server.smith_client(&smith, &["approvals:write"]).await;
        let submit = smith.path(&format!("/runs/run_{NOBODY}/submit"));
        let decision = json!({"kind": "approval_decision", "approval_id": "a", "decision": "approve"});
        client.post(&submit, &decision).await.expect_error(404, "not_found");
        client.post(&submit, &json!({"kind": "cancel"})).await.expect_error(403, "insufficient_scope");
        client.post(&submit, &json!({})).await.expect_error(403, "insufficient_scope");
        let client = smith_client_without(&server, &smith, &["approvals:write"]).await;
        client.post(&submit, &decision).await.expect_error(403, "insufficient_scope");
    })
    .await;
}

#[tokio::test]
async fn tokens_that_the_command_line_mints_reach_what_others_do() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let token =
            minted(&server, &["--smith", &smith.id, "--permission", "runs:read", "--ttl", "1h"]).await;
        let client = server.anonymous().with_bearer(&token);
        assert_eq!(id(&client.get(&smith.path("")).await.expect(200)), smith.id);
        client.get("/v1/runs").await.expect(200);
        client.post(&smith.path("/runs"), &json!({})).await.expect_error(403, "insufficient_scope");
        let key = organization(&server).await;
        key.post("/v1/organization/projects", &json!({"name": "shop"})).await.expect(201);
        let token = minted(&server, &["--admin", "--project", "shop"]).await;
        let client = server.anonymous().with_bearer(&token);
        assert_eq!(client.get("/v1/smiths").await.expect(200)["data"], json!([]));
    })
    .await;
}
