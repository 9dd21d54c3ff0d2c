use domain::tools::{AuthKind, ClientMode, MOST_MCP_SERVERS, McpAuth};
use http::Method;
use serde_json::{Value, json};
use store::mcp_servers::NewMcpServer;
use testkit::mcp::{McpServer, Tool, Wire};

use crate::testing::both;

const PATH: &str = "/v1/tenant/mcp";
const ONE: &str = "/v1/tenant/mcp/shop";
const REFRESH: &str = "/v1/tenant/mcp/shop/refresh";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/mcp";

async fn shop() -> McpServer {
    let peer = McpServer::start(Wire::Stateless).await;
    peer.offer(Tool::new("list"));
    peer.offer(Tool::new("void").hint("destructiveHint"));
    peer.offer(Tool::new("pay"));
    peer
}

#[tokio::test]
async fn a_server_is_registered_with_its_tools_and_shows_which_need_consent() {
    both(async |server| {
        let admin = server.admin_token().await;
        let peer = shop().await;
        peer.require_bearer("canary");
        let body = json!({
            "url": peer.url(),
            "auth": {"kind": "bearer", "secret": "canary"},
            "tool_allowlist": ["list", "void"],
            "approval_policy": [{"match": "p*", "on_reject": "continue"}],
        });
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!(made.status, 200, "{}", made.text);
        assert!(!made.text.contains("canary") && made.body["id"].as_str().unwrap().starts_with("srv_"));
        let tool = |name: &str, requires_approval, enabled| {
            let description = format!("Does {name}.");
            json!({"name": name, "description": description, "requires_approval": requires_approval, "enabled": enabled})
        };
        assert_eq!(
            made.body["tools"],
            json!([tool("list", false, true), tool("void", true, true), tool("pay", true, false)])
        );
        assert_eq!((&made.body["tools_discovered"], &made.body["status"]), (&json!(3), &json!("active")));
        assert_eq!((&made.body["origin"], &made.body["catalog_slug"]), (&json!("custom"), &Value::Null));
        let rule =
            json!({"match": "p*", "require": "approval", "on_reject": "continue", "expires_in_seconds": 86_400});
        assert_eq!(made.body["approval_policy"], json!([rule]));
        assert_eq!(server.call(&admin, Method::GET, ONE, Value::Null).await.body, made.body);
        let listed = server.call(&admin, Method::GET, PATH, Value::Null).await;
        assert_eq!(listed.body["data"], json!([made.body]));
        assert_eq!(server.call(&admin, Method::DELETE, ONE, Value::Null).await.status, 204);
        for (method, path) in [(Method::GET, ONE), (Method::DELETE, ONE), (Method::POST, REFRESH)] {
            assert_eq!(server.refused(&admin, method, path, Value::Null).await.1, "not_found");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_registered_all_the_same() {
    both(async |server| {
        let admin = server.admin_token().await;
        let mut peer = shop().await;
        peer.require_bearer("canary");
        let body = json!({"url": peer.url(), "auth": {"kind": "bearer", "secret": "guess"}});
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!((made.status.as_u16(), &made.body["status"]), (200, &json!("degraded")));
        assert!(made.body["discovery_error"].is_string());
        assert_eq!((&made.body["tools"], &made.body["tools_refreshed_at"]), (&json!([]), &Value::Null));

        let refused = server.refused(&admin, Method::POST, REFRESH, Value::Null).await;
        assert_eq!((refused.0, refused.1.as_str()), (502, "discovery_failed"));
        peer.require_bearer("guess");
        let fresh = server.call(&admin, Method::POST, REFRESH, Value::Null).await;
        assert_eq!((fresh.status.as_u16(), &fresh.body["status"]), (200, &json!("active")), "{}", fresh.text);
        assert_eq!(fresh.body["discovery_error"], Value::Null);
        // It keeps its tools when it does not answer once.
        peer.stop().await;
        server.refused(&admin, Method::POST, REFRESH, Value::Null).await;
        let shown = server.call(&admin, Method::GET, ONE, Value::Null).await;
        assert_eq!((&shown.body["status"], &shown.body["tools_discovered"]), (&json!("degraded"), &json!(3)));
        assert_eq!(shown.body["tools_refreshed_at"], fresh.body["tools_refreshed_at"]);
    })
    .await;
}

#[tokio::test]
async fn a_preset_is_stamped_down_and_the_body_counts_more() {
    both(async |server| {
        let admin = server.admin_token().await;
        let peer = shop().await;
        peer.require_bearer("pat");
        let body =
            json!({"catalog": "github", "url": peer.url(), "auth": {"secret": "pat"}, "approval_policy": null});
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!((&made.body["auth"]["kind"], &made.body["status"]), (&json!("bearer"), &json!("active")));
        assert_eq!(made.body["approval_policy"][0]["match"], "create*");
        assert_eq!((&made.body["catalog_slug"], &made.body["origin"]), (&json!("github"), &json!("catalog")));

        let body = json!({"catalog": "github", "url": NOWHERE, "auth": {"kind": "none"},
            "approval_policy": [], "tool_allowlist": ["a"]});
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!((&made.body["url"], &made.body["auth"]["kind"]), (&json!(NOWHERE), &json!("none")));
        assert_eq!((&made.body["approval_policy"], &made.body["tool_allowlist"]), (&json!([]), &json!(["a"])));
        assert_eq!(made.body["catalog_slug"], "github");
    })
    .await;
}

#[tokio::test]
async fn a_server_with_oauth_is_not_asked_before_somebody_is_connected() {
    both(async |server| {
        let admin = server.admin_token().await;
        let body = json!({"catalog": "notion", "auth": {}, "url": null});
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!(made.body["url"], "https://mcp.notion.com/mcp");
        assert_eq!((&made.body["status"], &made.body["tools"]), (&json!("pending"), &json!([])));
        assert_eq!(made.body["auth"], json!({"kind": "oauth", "provider": "notion", "client_mode": "tenant"}));
        let peer = shop().await;
        let body =
            json!({"url": peer.url(), "auth": {"kind": "oauth", "provider": "acme", "client_mode": "platform"}});
        let made = server.call(&admin, Method::PUT, ONE, body).await;
        assert_eq!(made.body["auth"], json!({"kind": "oauth", "provider": "acme", "client_mode": "platform"}));
        assert_eq!(server.refused(&admin, Method::POST, REFRESH, Value::Null).await.1, "discovery_failed");
        assert!(peer.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_secret_stays_at_its_host() {
    both(async |server| {
        let admin = server.admin_token().await;
        let (peer, other) = (shop().await, shop().await);
        let put = async |url: &str, auth: Value| {
            server.call(&admin, Method::PUT, ONE, json!({"url": url, "auth": auth})).await
        };
        let url = peer.url();
        assert_eq!(put(&url, json!({"kind": "bearer"})).await.code(), "secret_required");
        assert_eq!(put(&url, json!({"kind": "bearer", "secret": "first"})).await.status, 200);
        assert_eq!(put(&format!("{url}?other"), json!({"kind": "bearer"})).await.status, 200);
        assert_eq!(put(&url, json!({"kind": "bearer", "secret": " "})).await.status, 200);
        let sent = |peer: &McpServer| {
            peer.requests().last().map(|request| request.header("authorization").to_owned())
        };
        assert_eq!(sent(&peer).as_deref(), Some("Bearer first"));
        for elsewhere in [other.url(), url.replace("http:", "https:"), url.replace("127.0.0.1", "localhost")]
        {
            let refused = put(&elsewhere, json!({"kind": "bearer"})).await;
            assert_eq!(
                (refused.code(), &refused.body["error"]["param"]),
                ("secret_required", &json!("auth.secret"))
            );
        }
        assert_eq!(sent(&other), None);
        // Without a bearer the secret goes, and does not come back.
        assert_eq!(put(&url, json!({"kind": "none"})).await.status, 200);
        assert_eq!(sent(&peer).as_deref(), Some(""));
        assert_eq!(put(&url, json!({"kind": "bearer"})).await.code(), "secret_required");
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_named_and_nothing_is_called() {
    both(async |server| {
        let admin = server.admin_token().await;
        let peer = shop().await;
        let url = peer.url();
        let none = json!({"kind": "none"});
        let with_auth = |auth: Value| json!({"url": url, "auth": auth});
        for (name, body, code, param) in [
            ("a.b", with_auth(none.clone()), "invalid_name", "name"),
            ("a", json!({"auth": none}), "url_required", "url"),
            ("a", json!({"url": "", "auth": none}), "url_required", "url"),
            ("a", json!({"url": "mcp.example", "auth": none}), "invalid_url", "url"),
            ("a", json!({"url": "http://[fe80::1]/mcp", "auth": none}), "invalid_url", "url"),
            ("a", json!({"url": url}), "invalid_auth_kind", "auth.kind"),
            ("a", with_auth(json!({})), "invalid_auth_kind", "auth.kind"),
            ("a", with_auth(json!({"kind": "basic"})), "invalid_auth_kind", "auth.kind"),
            ("a", with_auth(json!({"kind": 7})), "invalid_input", "auth.kind"),
            ("a", with_auth(json!("none")), "invalid_input", "auth"),
            ("a", with_auth(json!({"kind": "oauth"})), "invalid_input", "auth.provider"),
            ("a", with_auth(json!({"kind": "oauth", "provider": "a b"})), "invalid_input", "auth.provider"),
            (
                "a",
                with_auth(json!({"kind": "oauth", "provider": "a", "client_mode": "own"})),
                "invalid_client_mode",
                "auth.client_mode",
            ),
            ("a", with_auth(json!({"kind": "none", "secret": "s"})), "invalid_input", "auth.secret"),
            ("a", with_auth(json!({"kind": "bearer", "secret": "a b"})), "invalid_input", "auth.secret"),
            (
                "a",
                with_auth(json!({"kind": "bearer", "secret": "s".repeat(4_097)})),
                "invalid_input",
                "auth.secret",
            ),
            ("a", json!({"catalog": "nope"}), "unknown_catalog_entry", "catalog"),
            (
                "a",
                json!({"url": url, "auth": none, "tool_allowlist": [""]}),
                "invalid_input",
                "tool_allowlist",
            ),
            (
                "a",
                json!({"url": url, "auth": none, "tool_allowlist": vec!["a"; 1_001]}),
                "invalid_input",
                "tool_allowlist",
            ),
            (
                "a",
                json!({"url": url, "auth": none, "approval_policy": {}}),
                "invalid_approval_policy",
                "approval_policy",
            ),
            (
                "a",
                json!({"url": url, "auth": none, "approval_policy": [{"match": "a", "when": {}}]}),
                "unsupported_policy_rule",
                "approval_policy[0]",
            ),
        ] {
            let refused = server.refused(&admin, Method::PUT, &format!("{PATH}/{name}"), body.clone()).await;
            assert_eq!(
                (refused.0, refused.1.as_str(), refused.2.as_str()),
                (422, code, param),
                "{name} {body}"
            );
        }
        assert_eq!(server.call(&admin, Method::GET, PATH, Value::Null).await.body["data"], json!([]));
        assert!(peer.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn one_server_too_many_is_refused_until_another_is_gone() {
    both(async |server| {
        let admin = server.admin_token().await;
        let project = server.app.store.project(server.first.project);
        for number in 0..MOST_MCP_SERVERS {
            let new = NewMcpServer {
                name: format!("server_{number}"),
                url: NOWHERE.to_owned(),
                auth: McpAuth { kind: AuthKind::None, provider: None, client_mode: ClientMode::Tenant },
                secret: None,
                catalog_slug: None,
                allowlist: None,
                approval_policy: Vec::new(),
                discovered: None,
            };
            project.put_mcp_server(new, None).await.unwrap();
        }
        let body = json!({"catalog": "notion"});
        let refused = server.refused(&admin, Method::PUT, ONE, body.clone()).await;
        assert_eq!(refused, (422, "invalid_input".to_owned(), "name".to_owned()));
        let replaced = server.call(&admin, Method::PUT, &format!("{PATH}/server_7"), body.clone()).await;
        assert_eq!(replaced.status, 200);
        assert_eq!(
            server.call(&admin, Method::DELETE, &format!("{PATH}/server_8"), Value::Null).await.status,
            204
        );
        assert_eq!(server.call(&admin, Method::PUT, ONE, body).await.status, 200);
    })
    .await;
}
