use http::Method;
use serde_json::{Value, json};

use crate::testing::{both, request};

const PATH: &str = "/v1/agents";

fn path_of(agent: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", agent["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_agent_lives_from_its_draft_to_its_archive() {
    both(async |server| {
        let admin = server.admin_token().await;
        let call = async |method: Method, path: &str, body: Value| {
            let reply = server.call(&admin, method, path, body).await;
            (reply.status.as_u16(), reply.body)
        };
        let body = json!({
            "name": "Support (EU)", "instructions": "Be kind.", "skills": [{"version": 2, "skill_id": "skl_1"}],
            "variables": [{"required": true, "name": "plan"}], "unknown": 1
        });
        let (status, made) = call(Method::POST, PATH, body).await;
        assert_eq!((status, &made["slug"], &made["active_version"]), (201, &json!("support-eu"), &Value::Null));
        assert_eq!(made["draft"]["skills"].to_string(), r#"[{"version":2,"skill_id":"skl_1"}]"#);
        assert_eq!(made["draft"]["variables"].to_string(), r#"[{"required":true,"name":"plan"}]"#);
        assert_eq!((&made["smith_count"], &made["last_activity_at"]), (&json!(0), &Value::Null));
        assert_eq!(call(Method::GET, &path_of(&made, ""), Value::Null).await, (200, made.clone()));
        let smith = json!({"agent_id": made["id"]});
        assert_eq!(
            server.refused(&admin, Method::POST, "/v1/smiths", smith.clone()).await.1,
            "agent_unpublished"
        );

        let (status, first) =
            call(Method::POST, &path_of(&made, "/versions"), json!({"note": "The first."})).await;
        assert_eq!((status, &first["version"], &first["note"]), (201, &json!(1), &json!("The first.")));
        assert!(first["created_by"].as_str().unwrap().starts_with("tok_"));
        assert_eq!(first["snapshot"], made["draft"]);
        let (_, smith) = call(Method::POST, "/v1/smiths", smith).await;
        assert_eq!((&smith["agent_version"], &smith["instructions"]), (&json!(1), &json!("Be kind.")));

        let change = json!({"name": "Support", "slug": "other", "instructions": null, "model": "gpt-5", "mcp_servers": null});
        let (_, changed) = call(Method::PATCH, &path_of(&made, ""), change).await;
        assert_eq!((&changed["name"], &changed["slug"]), (&json!("Support"), &json!("support-eu")));
        assert_eq!((&changed["draft"]["instructions"], &changed["smith_count"]), (&Value::Null, &json!(1)));
        let (_, second) = call(Method::POST, &path_of(&made, "/versions"), Value::Null).await;
        assert_eq!((&second["version"], &second["note"]), (&json!(2), &Value::Null));
        let (_, versions) = call(Method::GET, &path_of(&made, "/versions?limit=200"), Value::Null).await;
        assert_eq!(versions["data"], json!([second, first]));
        let (status, live) =
            call(Method::POST, &path_of(&made, "/rollout"), json!({"version": 2, "percent": 10})).await;
        assert_eq!((status, &live["active_version"], &live["rollout_version"]), (200, &json!(1), &json!(2)));
        let (_, live) = call(Method::POST, &path_of(&made, "/rollout"), json!({"version": 2})).await;
        assert_eq!((&live["active_version"], &live["rollout_version"]), (&json!(2), &Value::Null));

        let body = json!({"from_smith": smith["id"], "name": "Support"});
        let (status, imported) = call(Method::POST, "/v1/agents/import", body).await;
        assert_eq!((status, &imported["slug"], &imported["draft"]), (201, &json!("support"), &live["draft"]));
        call(Method::POST, &path_of(&imported, "/versions"), Value::Null).await;
        let body = json!({"smith_ids": [smith["id"]]});
        let (status, attached) = call(Method::POST, &path_of(&imported, "/attach"), body).await;
        let moved = json!([{"smith_id": smith["id"], "override_keys": []}]);
        assert_eq!((status, &attached["attached"], &attached["count"]), (200, &moved, &json!(1)));

        assert_eq!(call(Method::DELETE, &path_of(&made, ""), Value::Null).await.0, 204);
        let refused = server.refused(&admin, Method::DELETE, &path_of(&made, ""), Value::Null).await;
        assert_eq!(refused, (404, "not_found".into(), String::new()));
        let refused = server.refused(&admin, Method::DELETE, &path_of(&imported, ""), Value::Null).await;
        assert_eq!(refused, (409, "agent_in_use".into(), String::new()));
        let (_, listed) = call(Method::GET, PATH, Value::Null).await;
        assert_eq!(listed["data"][0]["id"], imported["id"]);
        assert_eq!((&listed["data"][1]["is_default"], &listed["data"][1]["slug"]), (&json!(true), &Value::Null));
        let refused = server.refused(&admin, Method::DELETE, &path_of(&listed["data"][1], ""), Value::Null).await;
        assert_eq!(refused, (409, "default_agent".into(), String::new()));
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_done() {
    both(async |server| {
        let admin = server.admin_token().await;
        let made = server.call(&admin, Method::POST, PATH, json!({"name": "One"})).await.body;
        server.call(&admin, Method::POST, &path_of(&made, "/versions"), Value::Null).await;
        let before = server.call(&admin, Method::GET, PATH, Value::Null).await.body;
        let nobody = format!("smt_{}", "1".repeat(22));
        let many = vec![nobody.as_str(); 1_001];
        for (method, rest, body, status, code, param) in [
            (Method::POST, "", json!({}), 422, "name_required", "name"),
            (Method::POST, "", json!({"name": " "}), 422, "name_required", "name"),
            (Method::POST, "", json!({"name": 1}), 422, "invalid_input", "name"),
            (Method::POST, "", json!({"name": "a".repeat(256)}), 422, "invalid_input", "name"),
            (Method::POST, "", json!({"name": "a", "slug": "A b"}), 422, "invalid_slug", "slug"),
            (Method::POST, "", json!({"name": "a", "slug": ""}), 422, "invalid_slug", "slug"),
            (Method::POST, "", json!({"name": "a", "slug": 1}), 422, "invalid_input", "slug"),
            (Method::POST, "", json!({"name": "a", "slug": "one"}), 409, "agent_exists", "slug"),
            (Method::POST, "", json!({"name": "a", "tools": [1]}), 422, "invalid_input", "tools"),
            (
                Method::POST,
                "",
                json!({"name": "a", "variables": [{}]}),
                422,
                "invalid_variables",
                "variables[0].name",
            ),
            (Method::PATCH, "/one", json!({}), 422, "empty_patch", ""),
            (Method::PATCH, "/one", json!({"slug": "two"}), 422, "empty_patch", ""),
            (Method::PATCH, "/one", json!({"name": ""}), 422, "name_required", "name"),
            (Method::PATCH, "/one", json!({"name": "b", "model": 1}), 422, "invalid_input", "model"),
            (Method::POST, "/one/versions", json!({"note": 1}), 422, "invalid_input", "note"),
            (Method::POST, "/one/versions", json!({"note": "n".repeat(2_001)}), 422, "invalid_input", "note"),
            (Method::POST, "/one/rollout", json!({}), 422, "invalid_input", "version"),
            (Method::POST, "/one/rollout", json!({"version": -1}), 422, "invalid_input", "version"),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 1, "percent": null}),
                422,
                "invalid_input",
                "percent",
            ),
            (Method::POST, "/one/rollout", json!({"version": 0}), 404, "not_found", "version"),
            (Method::POST, "/one/rollout", json!({"version": 2}), 404, "not_found", "version"),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 4_294_967_297_u64}),
                404,
                "not_found",
                "version",
            ),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 1, "percent": 101}),
                422,
                "invalid_percent",
                "percent",
            ),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 1, "percent": -1}),
                422,
                "invalid_percent",
                "percent",
            ),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 1, "percent": 1.5}),
                422,
                "invalid_percent",
                "percent",
            ),
            (
                Method::POST,
                "/one/rollout",
                json!({"version": 1, "percent": "1"}),
                422,
                "invalid_input",
                "percent",
            ),
            (Method::POST, "/one/attach", json!({}), 422, "invalid_input", "smith_ids"),
            (Method::POST, "/one/attach", json!({"all": 1}), 422, "invalid_input", "all"),
            (
                Method::POST,
                "/one/attach",
                json!({"all": true, "smith_ids": []}),
                400,
                "invalid_request",
                "smith_ids",
            ),
            (Method::POST, "/one/attach", json!({"smith_ids": many}), 422, "invalid_input", "smith_ids"),
            (Method::POST, "/one/attach", json!({"smith_ids": ["nobody"]}), 404, "not_found", "smith_ids[0]"),
            (Method::POST, "/one/attach", json!({"smith_ids": [nobody]}), 404, "not_found", "smith_ids[0]"),
            (Method::POST, "/import", json!({"name": "a"}), 422, "invalid_input", "from_smith"),
            (
                Method::POST,
                "/import",
                json!({"name": "a", "from_smith": "x"}),
                404,
                "not_found",
                "from_smith",
            ),
            (
                Method::POST,
                "/import",
                json!({"name": "a", "from_smith": nobody}),
                404,
                "not_found",
                "from_smith",
            ),
            (Method::POST, "/import", json!({"from_smith": nobody}), 422, "name_required", "name"),
        ] {
            let path = match rest.strip_prefix("/one") {
                Some(rest) => path_of(&made, rest),
                None => format!("{PATH}{rest}"),
            };
            let refused = server.refused(&admin, method, &path, body.clone()).await;
            assert_eq!(refused, (status, code.to_owned(), param.to_owned()), "{rest} {body}");
        }
        assert_eq!(server.call(&admin, Method::GET, PATH, Value::Null).await.body, before);
    })
    .await;
}

#[tokio::test]
async fn a_smith_token_reaches_no_agent() {
    both(async |server| {
        let admin = server.admin_token().await;
        let smith = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body;
        let body = json!({"smith_id": smith["id"], "permissions": ["runs:write", "skills:write"]});
        let minted = server.call(&admin, Method::POST, "/v1/tenant/tokens", body).await.body;
        let token = minted["token"].as_str().unwrap();
        let own = format!("{PATH}/{}", smith["agent_id"].as_str().unwrap());
        for (method, path) in [
            (Method::GET, PATH.to_owned()),
            (Method::POST, PATH.to_owned()),
            (Method::GET, own.clone()),
            (Method::PATCH, own.clone()),
            (Method::DELETE, own.clone()),
            (Method::GET, format!("{own}/versions")),
            (Method::POST, format!("{own}/versions")),
            (Method::POST, format!("{own}/rollout")),
            (Method::POST, format!("{own}/attach")),
            (Method::POST, format!("{PATH}/import")),
        ] {
            let refused = server.refused(token, method, &path, json!({"name": "a"})).await;
            assert_eq!(refused, (403, "admin_required".into(), String::new()), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_repeated_request_publishes_once() {
    both(async |server| {
        let admin = server.admin_token().await;
        let send = async |path: &str, body: Value| {
            let request = request("POST", path).header("authorization", format!("Bearer {admin}"));
            server.send(request.header("idempotency-key", "k").body(body.to_string().into()).unwrap()).await
        };
        let made = send(PATH, json!({"name": "One", "slug": "one"})).await;
        let again = send(PATH, json!({"name": "One", "slug": "one"})).await;
        assert_eq!((made.status.as_u16(), &made.body), (201, &again.body));
        let versions = path_of(&made.body, "/versions");
        let first = send(&versions, json!({"note": "n"})).await;
        assert_eq!(send(&versions, json!({"note": "n"})).await.body, first.body);
        let listed = server.call(&admin, Method::GET, &versions, Value::Null).await.body;
        assert_eq!(listed["data"], json!([first.body]));
    })
    .await;
}
