use http::Method;
use serde_json::{Value, json};

use crate::testing::{both, request};

const PATH: &str = "/v1/smiths";

#[tokio::test]
async fn a_smith_is_ensured_shown_changed_and_archived() {
    both(async |server| {
        let admin = server.admin_token().await;
        let body = json!({
            "external_id": "ana", "display_name": "Ana", "metadata": {"z": 1, "a": null}, "instructions": "Be kind.",
            "skills": [{"version": 2, "skill_id": "skl_1"}], "unknown": true
        });
        let made = server.call(&admin, Method::POST, PATH, body.clone()).await;
        assert_eq!(made.status, 201);
        assert_eq!((&made.body["model"], &made.body["instructions"]), (&json!("default"), &json!("Be kind.")));
        assert_eq!(made.body["override_keys"], json!(["instructions", "skills"]));
        assert_eq!((&made.body["config_source"], &made.body["agent_version"]), (&json!("override"), &json!(1)));
        assert_eq!(made.body["inherited"]["instructions"], Value::Null);
        assert_eq!(made.body["skills"].to_string(), r#"[{"version":2,"skill_id":"skl_1"}]"#);
        assert_eq!(made.body["metadata"].to_string(), r#"{"z":1,"a":null}"#);

        let again =
            server.call(&admin, Method::POST, PATH, json!({"external_id": "ana", "display_name": "Other"})).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &made.body));
        let path = format!("{PATH}/{}", made.body["id"].as_str().unwrap());
        assert_eq!(server.call(&admin, Method::GET, &path, Value::Null).await.body, made.body);

        let change = json!({"instructions": null, "skills": null, "locale": "pt", "display_name": null, "customer_id": ""});
        let changed = server.call(&admin, Method::PATCH, &path, change).await.body;
        assert_eq!((&changed["config_source"], &changed["override_keys"]), (&json!("agent"), &json!([])));
        assert_eq!((&changed["locale"], &changed["display_name"]), (&json!("pt"), &Value::Null));
        assert_eq!(changed["instructions"], "");

        let listed =
            server.call(&admin, Method::GET, &format!("{PATH}?external_id_prefix=an"), Value::Null).await.body;
        assert_eq!(listed["data"], json!([changed]));
        for filter in ["external_id=a", "agent_id=nobody", "customer_id=nobody", "external_id=%00"] {
            let listed = server.call(&admin, Method::GET, &format!("{PATH}?{filter}"), Value::Null).await.body;
            assert_eq!((&listed["data"], &listed["next_cursor"]), (&json!([]), &Value::Null), "{filter}");
        }

        assert_eq!(server.call(&admin, Method::DELETE, &path, Value::Null).await.status, 204);
        for method in [Method::DELETE, Method::GET, Method::PATCH] {
            let refused = server.refused(&admin, method, &path, json!({"locale": "de"})).await;
            assert_eq!(refused, (404, "not_found".into(), String::new()));
        }
        assert_eq!(server.call(&admin, Method::POST, PATH, body).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_made() {
    both(async |server| {
        let admin = server.admin_token().await;
        for (body, status, code, param) in [
            (json!({"external_id": ""}), 422, "invalid_input", "external_id"),
            (json!({"external_id": "a".repeat(256)}), 422, "invalid_input", "external_id"),
            (json!({"external_id": "a\u{0}"}), 422, "invalid_input", "external_id"),
            (json!({"external_id": 1}), 422, "invalid_input", "external_id"),
            (json!({"timezone": "Mars/Base"}), 422, "invalid_timezone", "timezone"),
            (json!({"metadata": []}), 422, "invalid_input", "metadata"),
            (json!({"model": 1}), 422, "invalid_input", "model"),
            (json!({"enabled_hosted_tools": ["nope"]}), 422, "invalid_input", "enabled_hosted_tools"),
            (json!({"pin": 0}), 422, "invalid_input", "pin"),
            (json!({"pin": 9}), 404, "not_found", "pin"),
            (json!({"agent_id": "nobody"}), 404, "not_found", "agent_id"),
            (json!({"agent_id": "agt_1111111111111111111111"}), 404, "not_found", "agent_id"),
            (json!({"customer_id": "cus_1111111111111111111111"}), 404, "not_found", "customer_id"),
        ] {
            let refused = server.refused(&admin, Method::POST, PATH, body.clone()).await;
            assert_eq!(refused, (status, code.to_owned(), param.to_owned()), "{body}");
        }
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await.body;
        assert_eq!(listed["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_patch_that_says_nothing_is_refused() {
    both(async |server| {
        let admin = server.admin_token().await;
        let id = server.call(&admin, Method::POST, PATH, json!({})).await.body["id"].clone();
        let path = format!("{PATH}/{}", id.as_str().unwrap());
        for body in [json!({}), Value::Null, json!({"external_id": "x", "unknown": 1})] {
            let refused = server.refused(&admin, Method::PATCH, &path, body).await;
            assert_eq!(refused, (422, "empty_patch".into(), String::new()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_smith_token_sees_its_own_smith_only() {
    both(async |server| {
        let admin = server.admin_token().await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            let made = server.call(&admin, Method::POST, PATH, json!({})).await.body;
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        let body = json!({"smith_id": ids[0], "permissions": ["usage:read"]});
        let minted = server.call(&admin, Method::POST, "/v1/tenant/tokens", body).await.body;
        let token = minted["token"].as_str().unwrap();
        let own = format!("{PATH}/{}", ids[0]);
        assert_eq!(server.call(token, Method::GET, &own, Value::Null).await.status, 200);
        for other in [ids[1].as_str(), "smt_1111111111111111111111"] {
            let refused = server.refused(token, Method::GET, &format!("{PATH}/{other}"), Value::Null).await;
            assert_eq!(refused, (403, "smith_mismatch".into(), String::new()));
        }
        for (method, path) in [(Method::GET, PATH), (Method::POST, PATH), (Method::PATCH, own.as_str())] {
            assert_eq!(
                server.refused(token, method, path, json!({"locale": "de"})).await.1,
                "admin_required"
            );
        }
        server.call(&admin, Method::DELETE, &own, Value::Null).await;
        assert_eq!(server.refused(token, Method::GET, &own, Value::Null).await.1, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn a_repeated_request_without_external_id_makes_one_smith() {
    both(async |server| {
        let admin = server.admin_token().await;
        let send = async |body: Value| {
            let request = request("POST", PATH).header("authorization", format!("Bearer {admin}"));
            server.send(request.header("idempotency-key", "k").body(body.to_string().into()).unwrap()).await
        };
        let first = send(json!({"display_name": "Ana"})).await;
        let again = send(json!({"display_name": "Ana"})).await;
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
        assert_eq!(first.body, again.body);
        assert_eq!(send(json!({"display_name": "Bob"})).await.code(), "idempotency_key_reused");
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await.body;
        assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    })
    .await;
}
