//! Tokens of a project: minted, listed, revoked, expired.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::both;
use insta::assert_json_snapshot;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};
use testkit::http::Client;

use crate::support::{NOBODY, PERMISSIONS, entries, id, minted, organization, project, redacted, token};

const TOKENS: &str = "/v1/tenant/tokens";

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
