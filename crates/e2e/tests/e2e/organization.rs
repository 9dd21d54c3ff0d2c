//! Organizations: their keys, projects, and the tokens of those.

use e2e::both;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::sse::Reader;
use testkit::upstream::{Reply, Upstream};

use crate::support::{NOBODY, entries, id, organization, pages, project, redacted, token};

const TOKENS: &str = "/v1/tenant/tokens";
const KEYS: &str = "/v1/organization/keys";
const PROJECTS: &str = "/v1/organization/projects";

#[tokio::test]
async fn organization_keys_are_minted_listed_and_revoked() {
    both(async |server| {
        let organization = organization(&server).await;
        let body = json!({"name": "ci", "ttl_seconds": 60});
        let made = organization.post(KEYS, &body).await.expect(201);
        let bare = organization.post(KEYS, &json!({})).await.expect(201);
        let listed = organization.get(KEYS).await.expect(200);
        assert_json_snapshot!(
            "organization_keys",
            redacted(&json!({"minted": [made, bare], "listed": listed}))
        );
        assert!(!listed.to_string().contains(token(&made)));
        let client = server.anonymous().with_bearer(token(&made));
        client.get(PROJECTS).await.expect(200);
        let path = format!("{KEYS}/{}", id(&made));
        organization.delete(&path).await.expect(204);
        client.get(PROJECTS).await.expect_error(401, "unauthenticated");
        organization.delete(&path).await.expect(204);
        for unknown in ["nobody", &format!("tok_{NOBODY}")] {
            organization.delete(&format!("{KEYS}/{unknown}")).await.expect_error(404, "not_found");
        }
        for (body, param) in [
            (json!({"ttl_seconds": 0}), "ttl_seconds"),
            (json!({"ttl_seconds": true}), "ttl_seconds"),
            (json!({"name": []}), "name"),
        ] {
            organization.post(KEYS, &body).await.expect_error_about(422, "invalid_input", param);
        }
        assert_eq!(pages(&organization, KEYS, 1).await.len(), 3);
        // A key may revoke itself.
        let own = server.anonymous().with_bearer(token(&bare));
        own.delete(&format!("{KEYS}/{}", id(&bare))).await.expect(204);
        own.get(KEYS).await.expect_error(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn projects_are_made_adopted_by_name_and_found() {
    both(async |server| {
        let organization = organization(&server).await;
        let body = json!({"name": "Läden & Söhne", "metadata": {"z": 1, "a": {"c": [], "b": null}}});
        let made = organization.post(PROJECTS, &body).await.expect(201);
        assert_eq!(made["metadata"].to_string(), r#"{"z":1,"a":{"c":[],"b":null}}"#);
        let adopted = organization.post(PROJECTS, &json!({"name": "Läden & Söhne"})).await.expect(201);
        assert_eq!(adopted, made, "a live project is adopted as it is");
        let path = format!("{PROJECTS}/{}", id(&made));
        assert_eq!(organization.get(&path).await.expect(200), made);
        let found = organization.get(&format!("{PROJECTS}?name=L%C3%A4den+%26+S%C3%B6hne")).await.expect(200);
        assert_eq!(found["data"], json!([made]));
        let listed = organization.get(PROJECTS).await.expect(200);
        assert_json_snapshot!("projects_listed", redacted(&listed));
        for name in ["b", "c", "d"] {
            organization.post(PROJECTS, &json!({ "name": name })).await.expect(201);
        }
        let names: Vec<Value> =
            pages(&organization, PROJECTS, 2).await.iter().map(|project| project["name"].clone()).collect();
        assert_eq!(names[..3], ["d", "c", "b"], "newest first");
        assert_eq!(names.len(), 5);
        for (body, code, param) in [
            (json!({}), "name_required", "name"),
            (json!({"name": null}), "name_required", "name"),
            (json!({"name": " \t"}), "name_required", "name"),
            (json!({"name": 1}), "invalid_input", "name"),
            (json!({"name": "a".repeat(256)}), "invalid_input", "name"),
            (json!({"name": "a\0b"}), "invalid_input", "name"),
            (json!({"name": "a", "metadata": "x"}), "invalid_input", "metadata"),
        ] {
            organization.post(PROJECTS, &body).await.expect_error_about(422, code, param);
        }
        for unknown in ["nobody", &format!("proj_{NOBODY}"), NOBODY, "a%20b", "%F0%9F%98%80", "...", "a%2Fb"]
        {
            organization.get(&format!("{PROJECTS}/{unknown}")).await.expect_error(404, "not_found");
            organization.delete(&format!("{PROJECTS}/{unknown}")).await.expect_error(404, "not_found");
        }
        assert_eq!(pages(&organization, PROJECTS, 200).await.len(), 5);
    })
    .await;
}

/// Starts a run of this smith whose model says nothing, and follows it.
async fn run_under_way(client: &Client, smith: &str) -> (Upstream, Reader) {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::silence());
    let key =
        json!({"provider": "openai_compatible", "api_key": "sk-test", "base_url": upstream.openai_url()});
    client.put("/v1/tenant/model_keys/openai_compatible", &key).await.expect(200);
    let model = json!({"model": "openai_compatible/any"});
    client.patch(&format!("/v1/smiths/{smith}"), &model).await.expect(200);
    let body = json!({"input": "Wait.", "stream": true});
    let stream = client.stream(Method::POST, &format!("/v1/smiths/{smith}/runs"), Some(&body)).await;
    upstream.wait_for_requests(1).await;
    (upstream, stream)
}

#[tokio::test]
async fn an_archived_project_is_gone_with_its_tokens_and_frees_its_name() {
    both(async |server| {
        let organization = organization(&server).await;
        let (client, made) = project(&server, &organization, "shop").await;
        let smith = client.post("/v1/smiths", &json!({})).await.expect(201);
        let of_smith = client
            .post(TOKENS, &json!({"smith_id": smith["id"], "permissions": ["runs:read"]}))
            .await
            .expect(201);
        let of_smith = server.anonymous().with_bearer(token(&of_smith));
        of_smith.get("/v1/runs").await.expect(200);
        let (upstream, stream) = run_under_way(&client, id(&smith)).await;
        let path = format!("{PROJECTS}/{made}");
        organization.delete(&path).await.expect(204);
        // Long before a round would come to it: what nobody may read any more is not paid for.
        let last = stream.collect_until_end().await.pop().unwrap();
        assert_eq!(
            (&*last.event, &last.data["reason"]),
            ("run.cancelled", &json!("The project was archived."))
        );
        upstream.wait_for_abandoned(1).await;
        client.get("/v1/smiths").await.expect_error(401, "unauthenticated");
        of_smith.get("/v1/runs").await.expect_error(401, "unauthenticated");
        organization.get(&path).await.expect_error(404, "not_found");
        organization.delete(&path).await.expect_error(404, "not_found");
        organization.post(&format!("{path}/tokens"), &json!({})).await.expect_error(404, "not_found");
        let listed = organization.get(PROJECTS).await.expect(200);
        assert!(entries(&listed).iter().all(|project| project["id"] != made.as_str()));
        let (fresh, again) = project(&server, &organization, "shop").await;
        assert_ne!(again, made);
        assert_eq!(fresh.get("/v1/smiths").await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn tokens_of_a_project_are_minted_and_revoked_by_its_organization() {
    both(async |server| {
        let organization = organization(&server).await;
        let (first, first_id) = project(&server, &organization, "first").await;
        let (_, second_id) = project(&server, &organization, "second").await;
        let path = format!("{PROJECTS}/{first_id}/tokens");
        let body = json!({"name": "deploy", "ttl_seconds": 315_360_000, "scope": "smith"});
        let made = organization.post(&path, &body).await.expect(201);
        assert_json_snapshot!("project_token", redacted(&made));
        assert_eq!(made["sub"], first_id.as_str());
        let client = server.anonymous().with_bearer(token(&made));
        client.get(TOKENS).await.expect(200);
        let elsewhere = format!("{PROJECTS}/{second_id}/tokens/{}", id(&made));
        organization.delete(&elsewhere).await.expect_error(404, "not_found");
        client.get(TOKENS).await.expect(200);
        for (body, param) in
            [(json!({"ttl_seconds": 315_360_001}), "ttl_seconds"), (json!({"name": {}}), "name")]
        {
            organization.post(&path, &body).await.expect_error_about(422, "invalid_input", param);
        }
        organization.delete(&format!("{path}/{}", id(&made))).await.expect(204);
        organization.delete(&format!("{path}/{}", id(&made))).await.expect(204);
        client.get(TOKENS).await.expect_error(401, "unauthenticated");
        assert_eq!(entries(&first.get(TOKENS).await.expect(200)).len(), 2);
    })
    .await;
}
