//! MCP servers of a project, and the catalog of presets.

use e2e::both;
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::mcp::{McpServer, Tool, Wire};

use crate::support::{entries, pages, redacted};

const SERVERS: &str = "/v1/tenant/mcp";
const SHOP: &str = "/v1/tenant/mcp/shop";
const REFRESH: &str = "/v1/tenant/mcp/shop/refresh";
const CANARY: &str = "canary-7f3a9b2e51";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/mcp";

/// Takes out what differs by run, the port of the peer too.
fn shown(value: &Value, peer: &McpServer) -> Value {
    let text = redacted(value).to_string().replace(&peer.url(), "[peer]");
    serde_json::from_str(&text).unwrap()
}

async fn shop() -> McpServer {
    let peer = McpServer::start(Wire::Stateless).await;
    peer.offer(Tool::new("list_orders").hint("readOnlyHint"));
    peer.offer(Tool::new("void_order").hint("destructiveHint"));
    peer.offer(Tool::new("pay_order"));
    peer
}

#[tokio::test]
async fn a_server_is_registered_with_its_tools_and_refreshed() {
    both(async |mut server| {
        let admin = server.admin();
        let mut peer = shop().await;
        assert_eq!(admin.get(SERVERS).await.expect(200)["data"], json!([]));
        let body = json!({
            "url": peer.url(),
            "auth": {"kind": "none"},
            "tool_allowlist": ["list_orders", "void_order"],
            "approval_policy": [{"match": "pay_*", "on_reject": "continue", "expires_in_seconds": 60}, {"match": "p*"}],
        });
        let made = admin.put(SHOP, &body).await.expect(200);
        assert_json_snapshot!("mcp_server", shown(&made, &peer));
        assert_eq!(admin.get(SHOP).await.expect(200), made);

        peer.offer(Tool::new("list_shops"));
        let fresh = admin.post(REFRESH, &json!({})).await.expect(200);
        assert_eq!((&fresh["tools_discovered"], &fresh["id"]), (&json!(4), &made["id"]));
        // A server that is gone keeps its tools, and says so.
        peer.stop().await;
        let refused = admin.post(REFRESH, &json!({})).await;
        refused.expect_error(502, "discovery_failed");
        let degraded = admin.get(SHOP).await.expect(200);
        assert_eq!(degraded["tools"], fresh["tools"]);
        assert_eq!(degraded["tools_refreshed_at"], fresh["tools_refreshed_at"]);
        let kept = json!({"status": degraded["status"], "discovery_error": degraded["discovery_error"]});
        assert_json_snapshot!("mcp_server_down", json!({"refused": refused.json, "kept": kept}));
        // Registered anew, it has none: they were those of another registration.
        let replaced = admin.put(SHOP, &body).await.expect(200);
        assert_eq!((&replaced["tools"], &replaced["status"]), (&json!([]), &json!("degraded")));
        assert_eq!((&replaced["id"], &replaced["created_at"]), (&made["id"], &made["created_at"]));

        for name in ["a", "b", "c"] {
            let body = json!({"catalog": "notion"});
            admin.put(&format!("{SERVERS}/{name}"), &body).await.expect(200);
        }
        server.kill().await;
        server.start_again().await;
        let admin = server.admin();
        let all = pages(&admin, SERVERS, 2).await;
        let names: Vec<_> = all.iter().map(|server| server["name"].clone()).collect();
        assert_eq!(names, ["c", "b", "a", "shop"]);
        assert_json_snapshot!("mcp_servers_page", shown(&admin.get(&format!("{SERVERS}?limit=1")).await.expect(200), &peer));
        admin.delete(SHOP).await.expect(204);
        admin.delete(SHOP).await.expect_error(404, "not_found");
        admin.get(SHOP).await.expect_error(404, "not_found");
        admin.post(REFRESH, &json!({})).await.expect_error(404, "not_found");
    })
    .await;
}

#[tokio::test]
async fn older_servers_are_asked_for_their_tools_too() {
    both(async |server| {
        let peer = McpServer::start(Wire::Sessions).await;
        peer.offer(Tool::new("list_orders"));
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        let made = server.admin().put(SHOP, &body).await.expect(200);
        assert_eq!((&made["status"], &made["tools"][0]["name"]), (&json!("active"), &json!("list_orders")));
    })
    .await;
}

#[tokio::test]
async fn a_bearer_is_sent_to_its_host_and_shown_to_nobody() {
    both(async |server| {
        let admin = server.admin();
        let (peer, other) = (shop().await, shop().await);
        peer.require_bearer(CANARY);
        let put = async |url: &str, auth: Value| admin.put(SHOP, &json!({"url": url, "auth": auth})).await;
        put(&peer.url(), json!({"kind": "bearer"})).await.expect_error_about(
            422,
            "secret_required",
            "auth.secret",
        );
        let wrong = put(&peer.url(), json!({"kind": "bearer", "secret": "guess"})).await.expect(200);
        assert_eq!(wrong["status"], "degraded");
        let made = put(&peer.url(), json!({"kind": "bearer", "secret": CANARY})).await.expect(200);
        assert_eq!((&made["status"], &made["discovery_error"]), (&json!("active"), &Value::Null));
        assert_eq!(peer.requests().last().unwrap().header("authorization"), format!("Bearer {CANARY}"));
        // It stays where it is, and goes nowhere else.
        assert_eq!(put(&peer.url(), json!({"kind": "bearer"})).await.expect(200)["status"], "active");
        let moved = put(&other.url(), json!({"kind": "bearer"})).await;
        moved.expect_error_about(422, "secret_required", "auth.secret");
        assert!(other.requests().is_empty());
        assert_eq!(admin.post(REFRESH, &json!({})).await.expect(200)["status"], "active");
        let text = admin.get(SERVERS).await.expect(200).to_string();
        assert!(!text.contains(CANARY) && !server.log().contains(CANARY));
    })
    .await;
}

#[tokio::test]
async fn a_preset_is_stamped_down_and_the_body_counts_more() {
    both(async |server| {
        let admin = server.admin();
        let peer = shop().await;
        let listed = admin.get("/v1/catalog").await.expect(200);
        assert_json_snapshot!("catalog", listed);
        let github = admin.get("/v1/catalog/github").await.expect(200);
        assert!(entries(&listed).contains(&github));
        let missing = admin.get("/v1/catalog/nothing").await;
        missing.expect_error(404, "not_found");

        let body = json!({"catalog": "github", "url": peer.url(), "auth": {"secret": "pat"}});
        let made = admin.put(SHOP, &body).await.expect(200);
        assert_eq!((&made["auth"]["kind"], &made["origin"]), (&json!("bearer"), &json!("catalog")));
        assert_eq!(
            entries(&json!({"data": made["approval_policy"]})).len(),
            entries(&json!({"data": github["default_approval_policy"]})).len()
        );
        let oauth = admin.put(SHOP, &json!({"catalog": "notion", "auth": {}})).await.expect(200);
        assert_json_snapshot!("mcp_server_from_catalog", redacted(&oauth));
        admin.post(REFRESH, &json!({})).await.expect_error(502, "discovery_failed");
        let body =
            json!({"catalog": "notion", "url": peer.url(), "auth": {"kind": "none"}, "approval_policy": []});
        let made = admin.put(SHOP, &body).await.expect(200);
        assert_eq!((&made["auth"]["provider"], &made["approval_policy"]), (&Value::Null, &json!([])));
        assert_eq!((&made["status"], &made["catalog_slug"]), (&json!("active"), &json!("notion")));
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_named_and_nothing_is_kept() {
    both(async |server| {
        let admin = server.admin();
        let with = |field: &str, value: Value| {
            let mut body = json!({"url": NOWHERE, "auth": {"kind": "none"}});
            body[field] = value;
            body
        };
        let mut errors = serde_json::Map::new();
        for (case, name, body, code, param) in [
            ("name", "a.b", with("a", json!(1)), "invalid_name", "name"),
            ("nothing", "a", json!({}), "url_required", "url"),
            ("no address", "a", with("url", json!("mcp.example")), "invalid_url", "url"),
            ("user", "a", with("url", json!("https://me:hush@mcp.example/")), "invalid_url", "url"),
            ("metadata service", "a", with("url", json!("http://169.254.169.254/")), "invalid_url", "url"),
            ("no kind", "a", with("auth", json!({})), "invalid_auth_kind", "auth.kind"),
            ("kind", "a", with("auth", json!({"kind": "basic"})), "invalid_auth_kind", "auth.kind"),
            ("no provider", "a", with("auth", json!({"kind": "oauth"})), "invalid_input", "auth.provider"),
            (
                "client mode",
                "a",
                with("auth", json!({"kind": "none", "client_mode": "own"})),
                "invalid_client_mode",
                "auth.client_mode",
            ),
            (
                "no secret",
                "a",
                with("auth", json!({"kind": "bearer", "secret": ""})),
                "secret_required",
                "auth.secret",
            ),
            (
                "secret",
                "a",
                with("auth", json!({"kind": "bearer", "secret": "a b"})),
                "invalid_input",
                "auth.secret",
            ),
            (
                "secret without bearer",
                "a",
                with("auth", json!({"kind": "none", "secret": "a"})),
                "invalid_input",
                "auth.secret",
            ),
            ("catalog", "a", with("catalog", json!("nothing")), "unknown_catalog_entry", "catalog"),
            ("allowlist", "a", with("tool_allowlist", json!([""])), "invalid_input", "tool_allowlist"),
            (
                "allowed tool",
                "a",
                with("tool_allowlist", json!(["a", 1])),
                "invalid_input",
                "tool_allowlist[1]",
            ),
            ("policy", "a", with("approval_policy", json!({})), "invalid_approval_policy", "approval_policy"),
            (
                "rule",
                "a",
                with("approval_policy", json!([{"match": "a"}, {}])),
                "invalid_approval_policy",
                "approval_policy[1].match",
            ),
            (
                "requirement",
                "a",
                with("approval_policy", json!([{"match": "a", "require": "deny"}])),
                "invalid_approval_policy",
                "approval_policy[0].require",
            ),
            (
                "rejection",
                "a",
                with("approval_policy", json!([{"match": "a", "on_reject": "stop"}])),
                "invalid_approval_policy",
                "approval_policy[0].on_reject",
            ),
            (
                "expiry",
                "a",
                with("approval_policy", json!([{"match": "a", "expires_in_seconds": 59}])),
                "invalid_approval_policy",
                "approval_policy[0].expires_in_seconds",
            ),
            (
                "condition",
                "a",
                with("approval_policy", json!([{"match": "a", "args": {}}])),
                "unsupported_policy_rule",
                "approval_policy[0]",
            ),
        ] {
            let answer = admin.put(&format!("{SERVERS}/{name}"), &body).await;
            answer.expect_error_about(422, code, param);
            errors.insert(case.to_owned(), answer.json["error"].clone());
        }
        assert_json_snapshot!("mcp_servers_refused", errors);
        assert!(!json!(errors).to_string().contains("hush"));
        assert_eq!(admin.get(SERVERS).await.expect(200)["data"], json!([]));
    })
    .await;
}
