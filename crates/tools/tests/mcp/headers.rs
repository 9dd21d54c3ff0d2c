use serde_json::{Value, json};
use testkit::mcp::{Tool, Wire};

use super::{answer, call, known, mcp, object, offering, server};

fn marked() -> Value {
    let properties = json!({
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "query": {"type": "string"},
    });
    json!({"type": "object", "properties": properties})
}

#[tokio::test]
async fn arguments_are_repeated_in_the_headers_that_the_list_asks_for() {
    let fake = offering(Wire::Stateless, Tool::new("query").schema(marked())).await;
    let (mcp, server) = (mcp(), server(&fake));
    mcp.discover(&server).await.unwrap();
    let mut call = call("query");
    call.args = object(json!({"region": "日本", "limit": 3, "query": "q"}));
    assert!(!answer(&mcp, &server, &call).await.is_error);
    let called = fake.calls();
    assert_eq!(called[0].headers["mcp-param-region"], "=?base64?5pel5pys?=");
    assert_eq!(called[0].headers["mcp-param-limit"], "3");
    assert!(!called[0].headers.contains_key("mcp-param-query"));
}

#[tokio::test]
async fn a_process_that_has_not_seen_the_list_reads_it_when_it_is_told_to() {
    let fake = offering(Wire::Stateless, Tool::new("query").schema(marked())).await;
    let (mcp, server) = (mcp(), known(&fake, "2026-07-28"));
    let mut call = call("query");
    call.args = object(json!({"region": "eu", "limit": null}));
    assert!(!answer(&mcp, &server, &call).await.is_error);
    assert_eq!(fake.methods(), ["tools/call", "tools/list", "tools/call"]);
    assert_eq!(fake.calls().len(), 1);
    assert!(!answer(&mcp, &server, &call).await.is_error);
    assert_eq!(fake.methods().len(), 4, "it is remembered");
}
