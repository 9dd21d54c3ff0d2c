//! Tokens, organization keys and projects.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::both;
use insta::assert_json_snapshot;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};
use testkit::http::Client;

use crate::support::{
    NOBODY, PERMISSIONS, entries, id, minted, organization, pages, project, redacted, token,
};

const TOKENS: &str = "/v1/tenant/tokens";
const KEYS: &str = "/v1/organization/keys";
const PROJECTS: &str = "/v1/organization/projects";

#[tokio::test]
async fn tokens_are_minted_shown_once_and_listed() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let admin =
            server.admin().post(TOKENS, &json!({"scope": "admin", "name": "backend"})).await.expect(201);
        let shuffled: Vec<&str> = PERMISSIONS.iter().rev().chain(PERMISSIONS).copied().collect();
        let body = json!({"smith_id": smith.id, "permissions": shuffled});
        let of_smith = server.admin().post(TOKENS, &body).await.expect(201);
        assert_json_snapshot!("tokens_minted", redacted(&json!([admin, of_smith])));
        assert_eq!(of_smith["scopes"], json!(PERMISSIONS));

        let listed = server.admin().get(TOKENS).await.expect(200);
        assert_json_snapshot!("tokens_listed", redacted(&listed));
        for minted in [&admin, &of_smith] {
            assert!(!listed.to_string().contains(token(minted)));
        }
        assert_eq!(lifetime(&entries(&listed)[0]), 3_600);
        let body = json!({"smith_id": smith.id, "permissions": ["runs:read"], "ttl_seconds": 86_400});
        server.admin().post(TOKENS, &body).await.expect(201);
        assert_eq!(lifetime(&entries(&server.admin().get(TOKENS).await.expect(200))[0]), 86_400);

        // A bare id names the smith as well.
        let bare = smith.id.trim_start_matches("smt_");
        let body = json!({"smith_id": bare, "permissions": ["runs:read"], "ttl_seconds": null, "name": null});
        let minted = server.admin().post(TOKENS, &body).await.expect(201);
        assert_eq!(minted["sub"], of_smith["sub"]);
    })
    .await;
}

/// Returns the seconds from the making of a token to its end.
fn lifetime(token: &Value) -> u64 {
    let seconds = |name: &str| {
        let time = token[name].as_str().expect("a time");
        let part = |from: usize, to: usize| time.get(from..to).and_then(|part| part.parse::<u64>().ok());
        let day = part(8, 10).expect("a day");
        let of_day = part(11, 13).zip(part(14, 16)).zip(part(17, 19)).expect("a time of the day");
        (day, of_day.0.0 * 3_600 + of_day.0.1 * 60 + of_day.1)
    };
    let ((first_day, made), (last_day, ends)) = (seconds("created_at"), seconds("expires_at"));
    // Within a day, the date either stays or moves on by one.
    if first_day == last_day { ends - made } else { ends + 86_400 - made }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_named_and_nothing_is_minted() {
    both(async |server| {
        let smith = server.smith(json!({})).await.id;
        let organization = organization(&server).await;
        let (other, _) = project(&server, &organization, "other").await;
        let foreign = other.post("/v1/smiths", &json!({})).await.expect(201);
        let before = server.admin().get(TOKENS).await.expect(200);
        let good = ["runs:read"];
        let mut errors = Vec::new();
        for (body, code, param) in [
            (json!({"scope": "root"}), "invalid_token_scope", "scope"),
            (json!({"scope": "organization"}), "invalid_token_scope", "scope"),
            (json!({"scope": ""}), "invalid_token_scope", "scope"),
            (json!({"scope": 1}), "invalid_input", "scope"),
            (json!({}), "smith_required", "smith_id"),
            (json!({"scope": "smith", "smith_id": null, "permissions": good}), "smith_required", "smith_id"),
            (json!({"smith_id": 7, "permissions": good}), "invalid_input", "smith_id"),
            (json!({"smith_id": "nobody", "permissions": good}), "smith_unresolved", "smith_id"),
            (
                json!({"smith_id": format!("smt_{NOBODY}"), "permissions": good}),
                "smith_unresolved",
                "smith_id",
            ),
            (json!({"smith_id": foreign["id"], "permissions": good}), "smith_unresolved", "smith_id"),
            (json!({"smith_id": smith}), "permissions_required", "permissions"),
            (json!({"smith_id": smith, "permissions": []}), "permissions_required", "permissions"),
            (json!({"smith_id": smith, "permissions": "runs:read"}), "invalid_input", "permissions"),
            (json!({"smith_id": smith, "permissions": ["runs:read", 1]}), "invalid_input", "permissions[1]"),
            (json!({"smith_id": smith, "permissions": ["tenant:*"]}), "invalid_scope", "permissions"),
            (json!({"smith_id": smith, "permissions": ["organization:*"]}), "invalid_scope", "permissions"),
            (json!({"smith_id": smith, "permissions": ["operator:*"]}), "invalid_scope", "permissions"),
            (
                json!({"smith_id": smith, "permissions": ["runs:read", "runs"]}),
                "invalid_scope",
                "permissions",
            ),
            (json!({"smith_id": smith, "permissions": ["embeddings:read"]}), "invalid_scope", "permissions"),
            (
                json!({"smith_id": smith, "permissions": good, "ttl_seconds": 0}),
                "invalid_input",
                "ttl_seconds",
            ),
            (
                json!({"smith_id": smith, "permissions": good, "ttl_seconds": 86_401}),
                "invalid_input",
                "ttl_seconds",
            ),
            (
                json!({"smith_id": smith, "permissions": good, "ttl_seconds": "60"}),
                "invalid_input",
                "ttl_seconds",
            ),
            (json!({"scope": "admin", "ttl_seconds": 0}), "invalid_input", "ttl_seconds"),
            (json!({"scope": "admin", "ttl_seconds": -1}), "invalid_input", "ttl_seconds"),
            (json!({"scope": "admin", "ttl_seconds": 1.5}), "invalid_input", "ttl_seconds"),
            (json!({"scope": "admin", "ttl_seconds": 315_360_001}), "invalid_input", "ttl_seconds"),
            (json!({"scope": "admin", "name": 7}), "invalid_input", "name"),
            (json!({"scope": "admin", "name": "n".repeat(256)}), "invalid_input", "name"),
        ] {
            let answer = server.admin().post(TOKENS, &body).await;
            answer.expect_error_about(422, code, param);
            errors.push(json!([body, answer.json]));
        }
        let mut errors = redacted(&json!(errors)).to_string();
        errors = errors.replace(&"n".repeat(256), "[long]");
        let errors: Value = serde_json::from_str(&errors).unwrap();
        assert_json_snapshot!("tokens_refused", errors);
        assert_eq!(server.admin().get(TOKENS).await.expect(200), before);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_revoking_twice_is_no_error() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let minted = [
            server.admin().post(TOKENS, &json!({"scope": "admin"})).await.expect(201),
            server
                .admin()
                .post(TOKENS, &json!({"smith_id": smith.id, "permissions": ["runs:read"]}))
                .await
                .expect(201),
        ];
        for minted in &minted {
            let client = server.anonymous().with_bearer(token(minted));
            // Often enough that whatever could be kept in memory is.
            for _ in 0..3 {
                client.get(&smith.path("")).await.expect(200);
            }
            let path = format!("{TOKENS}/{}", id(minted));
            server.admin().delete(&path).await.expect(204);
            client.get(&smith.path("")).await.expect_error(401, "unauthenticated");
            server.admin().delete(&path).await.expect(204);
        }
        let listed = server.admin().get(TOKENS).await.expect(200);
        assert!(entries(&listed)[..2].iter().all(|token| token["revoked_at"].is_string()), "{listed:#}");
        assert_json_snapshot!("tokens_revoked", redacted(&listed));

        for unknown in ["nobody", NOBODY, &format!("tok_{NOBODY}"), &smith.id, "%00", "a%2Fb"] {
            let answer = server.admin().delete(&format!("{TOKENS}/{unknown}")).await;
            answer.expect_error(404, "not_found");
        }

        // A token may revoke itself.
        let own = server.admin().post(TOKENS, &json!({"scope": "admin"})).await.expect(201);
        let client = server.anonymous().with_bearer(token(&own));
        client.delete(&format!("{TOKENS}/{}", id(&own))).await.expect(204);
        client.get(TOKENS).await.expect_error(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    both(async |server| {
        let body = json!({"scope": "admin", "ttl_seconds": 1});
        let minted = server.admin().post(TOKENS, &body).await.expect(201);
        let client = server.anonymous().with_bearer(token(&minted));
        refused_in_time(&client).await;
        let listed = server.admin().get(TOKENS).await.expect(200);
        assert_eq!(entries(&listed)[0]["id"], minted["id"], "an expired token is listed");
        assert_eq!(entries(&listed)[0]["revoked_at"], Value::Null);
    })
    .await;
}

/// Asks until the token has expired; every answer before is a good one.
async fn refused_in_time(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.get("/v1/smiths").await;
        if answer.status == 401 {
            answer.expect_error(401, "unauthenticated");
            return;
        }
        answer.expect(200);
        assert!(Instant::now() < deadline, "the token does not expire");
    }
}

#[tokio::test]
async fn a_token_reaches_its_own_project_only() {
    both(async |server| {
        let organization = organization(&server).await;
        let (other, _) = project(&server, &organization, "other").await;
        let smith = server.smith(json!({"external_id": "ana"})).await;
        other.get(&smith.path("")).await.expect_error(404, "not_found");
        let twin = other.post("/v1/smiths", &json!({"external_id": "ana"})).await.expect(201);
        assert_ne!(twin["id"], smith.id.as_str());
        assert_ne!(twin["agent_id"], server.admin().get(&smith.path("")).await.expect(200)["agent_id"]);
        let own = server.admin().get(TOKENS).await.expect(200);
        let path = format!("{TOKENS}/{}", id(&entries(&own)[0]));
        other.delete(&path).await.expect_error(404, "not_found");
        server.admin().get(TOKENS).await.expect(200);
        assert_eq!(entries(&other.get(TOKENS).await.expect(200)).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_token_of_another_server_is_refused() {
    let first = e2e::Setup::on(e2e::Engine::Sqlite).start().await;
    let second = e2e::Setup::on(e2e::Engine::Sqlite).start().await;
    // Both have begun with the same signing key, so that only the register of tokens tells them apart.
    let minted = first.admin().post(TOKENS, &json!({"scope": "admin"})).await.expect(201);
    let client = second.anonymous().with_bearer(token(&minted));
    client.get(TOKENS).await.expect_error(401, "unauthenticated");
}

#[tokio::test]
async fn the_published_keys_verify_every_kind_of_token() {
    both(async |server| {
        let jwks = server.anonymous().without_header("ic-api-version").get("/.well-known/jwks.json").await;
        let jwks = jwks.expect(200);
        let smith = server.smith(json!({})).await;
        let of_smith = server
            .admin()
            .post(TOKENS, &json!({"smith_id": smith.id, "permissions": ["runs:write", "runs:read"]}))
            .await
            .expect(201);
        let admin = server.admin().post(TOKENS, &json!({"scope": "admin"})).await.expect(201);
        let key = minted(&server, &["--organization"]).await;
        for (text, prefix, scope) in [
            (token(&of_smith), "thp_live_", "runs:read runs:write"),
            (token(&admin), "tha_live_", "tenant:*"),
            (key.as_str(), "oka_live_", "organization:*"),
        ] {
            let claims = verified(&jwks, text.strip_prefix(prefix).unwrap());
            assert_eq!(claims["scope"], scope);
            assert!(claims["jti"].as_str().unwrap().starts_with("tok_"));
            assert!(claims["iss"].is_string() && claims["iat"].is_u64(), "{claims}");
            assert_eq!(claims.get("exp").is_some(), prefix == "thp_live_", "{claims}");
        }
        let claims = verified(&jwks, token(&of_smith).strip_prefix("thp_live_").unwrap());
        assert_eq!((&claims["sub"], &claims["jti"]), (&of_smith["sub"], &of_smith["id"]));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3_600);
        // Nothing of the private half is shown.
        let mut parts: Vec<&String> = jwks["keys"][0].as_object().unwrap().keys().collect();
        parts.sort();
        assert_eq!(parts, ["alg", "e", "kid", "kty", "n", "use"]);
    })
    .await;
}

/// Checks a token's signature with the key that its header names, and returns its claims.
fn verified(jwks: &Value, jwt: &str) -> Value {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("a part is base64url");
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("not three parts: {jwt}") };
    let described: Value = serde_json::from_slice(&decode(header)).expect("a header is JSON");
    assert_eq!(described["alg"], "RS256");
    let keys = jwks["keys"].as_array().expect("a set has keys");
    let key = keys.iter().find(|key| key["kid"] == described["kid"]).expect("the key is published");
    assert_eq!((&key["kty"], &key["use"]), (&json!("RSA"), &json!("sig")));
    let number = |name: &str| decode(key[name].as_str().expect("a number of the key"));
    let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
    let signed = format!("{header}.{claims}");
    let outcome = public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature));
    assert!(outcome.is_ok(), "the signature does not fit the published key");
    serde_json::from_slice(&decode(claims)).expect("claims are JSON")
}

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
        let path = format!("{PROJECTS}/{made}");
        organization.delete(&path).await.expect(204);
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
