use serde_json::json;
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use tools::mcp::FailureKind;

use super::{known, mcp, offering, server};

#[tokio::test]
async fn tools_are_listed_in_the_newest_revision() {
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}});
    let fake = offering(Wire::Both, Tool::new("pay").schema(schema.clone()).hint("destructiveHint")).await;
    fake.offer(Tool::new("look").hint("readOnlyHint").hint("idempotentHint"));
    fake.ttl_ms(90_000);
    let manifest = mcp().discover(&server(&fake)).await.unwrap();
    assert_eq!((manifest.protocol.as_str(), manifest.ttl_ms), ("2026-07-28", Some(90_000)));
    let [pay, look] = manifest.tools.as_slice() else { panic!("{manifest:?}") };
    assert_eq!((pay.name.as_str(), pay.description.as_deref()), ("pay", Some("Does pay.")));
    assert_eq!(pay.input_schema.to_string(), schema.to_string());
    assert!(pay.annotations.destructive && !pay.annotations.read_only && !pay.annotations.idempotent);
    assert!(!look.annotations.destructive && look.annotations.read_only && look.annotations.idempotent);
    assert_eq!(fake.methods(), ["server/discover", "tools/list"]);
    assert_eq!(fake.open_sessions(), 0);
}

#[tokio::test]
async fn a_server_of_an_older_revision_is_shaken_hands_with_and_taken_leave_of() {
    for version in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] {
        let fake = offering(Wire::Sessions, Tool::new("pay")).await;
        fake.speak(version);
        let mcp = mcp();
        let manifest = mcp.discover(&server(&fake)).await.unwrap();
        assert_eq!((manifest.protocol.as_str(), manifest.tools.len()), (version, 1));
        assert_eq!(manifest.ttl_ms, None);
        assert_eq!(
            fake.methods(),
            ["server/discover", "initialize", "notifications/initialized", "tools/list"]
        );
        fake.wait_for_ended_sessions(1).await;
        let requests = fake.requests();
        let list = requests.iter().find(|received| received.rpc() == "tools/list").unwrap();
        assert_eq!(list.header("mcp-protocol-version"), version);
        assert_eq!(list.header("accept"), "application/json, text/event-stream");
        // A run waits without a connection: nothing can be asked of it over one.
        let hello = requests.iter().find(|received| received.rpc() == "initialize").unwrap();
        assert_eq!(hello.body["params"]["capabilities"], json!({}));
        assert_eq!(hello.body["params"]["protocolVersion"], "2025-11-25");
    }
}

#[tokio::test]
async fn a_known_revision_spares_the_question() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    mcp().discover(&known(&fake, "2026-07-28")).await.unwrap();
    assert_eq!(fake.methods(), ["tools/list"]);
    mcp().discover(&known(&fake, "2025-06-18")).await.unwrap();
    assert_eq!(fake.methods()[1..], ["initialize", "notifications/initialized", "tools/list"]);
}

#[tokio::test]
async fn a_server_that_changed_its_revision_is_listed_all_the_same() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let manifest = mcp().discover(&known(&fake, "2026-07-28")).await.unwrap();
    assert_eq!(manifest.protocol, "2025-11-25");
    let fake = offering(Wire::Stateless, Tool::new("pay")).await;
    let manifest = mcp().discover(&known(&fake, "2025-11-25")).await.unwrap();
    assert_eq!(manifest.protocol, "2026-07-28");
}

#[tokio::test]
async fn all_pages_are_read_and_the_shortest_time_to_live_counts() {
    for wire in [Wire::Stateless, Wire::Sessions] {
        let fake = McpServer::start(wire).await;
        (0..7).for_each(|number| fake.offer(Tool::new(&format!("tool-{number}"))));
        fake.page(3);
        let manifest = mcp().discover(&server(&fake)).await.unwrap();
        let names: Vec<_> = manifest.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["tool-0", "tool-1", "tool-2", "tool-3", "tool-4", "tool-5", "tool-6"]);
    }
    let fake = McpServer::start(Wire::Stateless).await;
    let page = |ttl: i64, cursor: Option<&str>| {
        Answer::result(json!({"tools": [], "ttlMs": ttl, "nextCursor": cursor})).as_json()
    };
    fake.answer_method("tools/list", page(500, Some("2")));
    fake.answer_method("tools/list", page(-3, Some("3")));
    fake.answer_method("tools/list", page(700, None));
    assert_eq!(mcp().discover(&server(&fake)).await.unwrap().ttl_ms, Some(0));
}

#[tokio::test]
async fn tools_that_cannot_be_offered_are_left_out() {
    let fake = offering(Wire::Both, Tool::new("fine")).await;
    let remote = json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}});
    fake.offer(Tool::new("remote").schema(remote));
    fake.offer(Tool::new("text").schema(json!({"type": "string"})));
    fake.offer(Tool::raw(json!({"name": "bare"})));
    fake.offer(Tool::raw(json!("nonsense")));
    fake.offer(Tool::raw(json!({"name": "", "inputSchema": {"type": "object"}})));
    fake.offer_too(Tool::new("fine").hint("destructiveHint"));
    fake.offer(Tool::new("fine-too"));
    let manifest = mcp().discover(&server(&fake)).await.unwrap();
    let names: Vec<_> = manifest.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["fine", "fine-too"]);
    assert!(!manifest.tools[0].annotations.destructive, "the first of a name counts");
}

#[tokio::test]
async fn a_server_without_tools_has_an_empty_list() {
    let fake = McpServer::start(Wire::Both).await;
    assert!(mcp().discover(&server(&fake)).await.unwrap().tools.is_empty());
}

#[tokio::test]
async fn a_server_of_a_revision_of_the_future_is_a_failure_that_says_so() {
    let fake = McpServer::start(Wire::Both).await;
    let offer = Answer::result(json!({"supportedVersions": ["2099-01-01"]}));
    fake.answer_method("server/discover", offer);
    let failure = mcp().discover(&server(&fake)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert_eq!(
        failure.to_string(),
        "The MCP server speaks no revision of the protocol that this server speaks."
    );
    let fake = McpServer::start(Wire::Sessions).await;
    fake.speak("2099-01-01");
    let failure = mcp().discover(&server(&fake)).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "The MCP server speaks no revision of the protocol that this server speaks."
    );
}

#[tokio::test]
async fn a_server_that_offers_an_older_revision_is_spoken_to_in_it() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    fake.answer_method("server/discover", Answer::result(json!({"supportedVersions": ["2025-06-18"]})));
    assert_eq!(mcp().discover(&server(&fake)).await.unwrap().protocol, "2025-11-25");
}
