use http::Method;
use serde_json::{Value, json};

use crate::testing::both;

const PATH: &str = "/v1/tenant/model_keys";

#[tokio::test]
async fn a_key_is_set_shown_as_set_and_removed() {
    both(async |server| {
        let admin = server.admin_token().await;
        let smith = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body["id"].clone();
        let of_smith = format!("/v1/smiths/{}/model_keys", smith.as_str().unwrap());
        for path in [PATH, of_smith.as_str()] {
            let one = format!("{path}/openai_compatible");
            let body = json!({"api_key": " canary-key\n", "base_url": "http://127.0.0.1:11434/v1"});
            let put = server.call(&admin, Method::PUT, &one, body).await;
            assert_eq!((put.status.as_u16(), &put.body["configured"]), (200, &json!(true)));
            let listed = server.call(&admin, Method::GET, path, Value::Null).await;
            assert!(!put.text.contains("canary") && !listed.text.contains("canary"));
            assert_eq!(listed.body["data"][0]["base_url"], "http://127.0.0.1:11434/v1");
            assert_eq!(listed.body["data"][0]["has_key"], true);
            assert_eq!(server.call(&admin, Method::DELETE, &one, Value::Null).await.status, 204);
            for gone in [one, format!("{path}/nobody")] {
                assert_eq!(server.refused(&admin, Method::DELETE, &gone, Value::Null).await.1, "not_found");
            }
        }
        let unknown = "/v1/smiths/smt_1111111111111111111111/model_keys";
        assert_eq!(server.refused(&admin, Method::GET, unknown, Value::Null).await.1, "not_found");
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_named() {
    both(async |server| {
        let admin = server.admin_token().await;
        for (provider, body, code, param) in [
            ("openai", json!({}), "empty_key", "api_key"),
            ("openai", json!({"api_key": " "}), "empty_key", "api_key"),
            ("openai", json!({"api_key": 1}), "invalid_input", "api_key"),
            ("openai", json!({"api_key": "a b"}), "invalid_input", "api_key"),
            ("nobody", json!({"api_key": "k"}), "unknown_provider", "provider"),
            ("scripted", json!({"api_key": "k"}), "unknown_provider", "provider"),
            ("openai_compatible", json!({"api_key": "k"}), "url_required", "base_url"),
            (
                "openai",
                json!({"api_key": "k", "workspace_id": "w"}),
                "workspace_id_unsupported",
                "workspace_id",
            ),
            ("openai", json!({"api_key": "k", "base_url": 1}), "invalid_input", "base_url"),
            ("openai", json!({"api_key": "k", "base_url": "host/v1"}), "invalid_url", "base_url"),
            ("openai", json!({"api_key": "k", "base_url": "ftp://host/v1"}), "invalid_url", "base_url"),
            (
                "openai",
                json!({"api_key": "k", "base_url": "https://me:secret@host/v1"}),
                "invalid_url",
                "base_url",
            ),
            (
                "openai",
                json!({"api_key": "k", "base_url": "http://169.254.169.254/v1"}),
                "invalid_url",
                "base_url",
            ),
        ] {
            let path = format!("{PATH}/{provider}");
            let refused = server.refused(&admin, Method::PUT, &path, body.clone()).await;
            assert_eq!(refused, (422, code.to_owned(), param.to_owned()), "{provider} {body}");
        }
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await.body;
        assert_eq!(listed["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_smith_token_reaches_its_own_keys_with_the_permission_for_it() {
    both(async |server| {
        let admin = server.admin_token().await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body["id"].clone());
        }
        let body = json!({"smith_id": ids[0], "permissions": ["model_keys:read"]});
        let minted = server.call(&admin, Method::POST, "/v1/tenant/tokens", body).await.body;
        let token = minted["token"].as_str().unwrap();
        let of = |id: &Value| format!("/v1/smiths/{}/model_keys", id.as_str().unwrap());
        assert_eq!(server.call(token, Method::GET, &of(&ids[0]), Value::Null).await.status, 200);
        assert_eq!(server.refused(token, Method::GET, &of(&ids[1]), Value::Null).await.1, "smith_mismatch");
        let write = format!("{}/openai", of(&ids[0]));
        assert_eq!(
            server.refused(token, Method::PUT, &write, json!({"api_key": "k"})).await.1,
            "insufficient_scope"
        );
        assert_eq!(server.refused(token, Method::GET, PATH, Value::Null).await.1, "admin_required");
    })
    .await;
}
