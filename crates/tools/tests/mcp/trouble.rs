use egress::{Egress, Policy};
use testkit::mcp::{Answer, Fault, McpServer, Tool, Wire};
use tools::mcp::{FailureKind, Mcp, Options};

use super::{BEARER, answer, call, known, mcp, offering, server};

#[tokio::test]
async fn an_address_that_may_not_be_called_is_refused() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    let mcp = Mcp::new(&Egress::new().unwrap(), Policy::Public, Options::default()).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let mut server = server(&fake);
        server.url.set_host(Some(host)).unwrap();
        let failure = mcp.discover(&server).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        assert!(failure.message.contains("a loopback address"), "{failure}");
        let answer = answer(&mcp, &server, &call("pay")).await;
        assert!(answer.is_error && answer.trouble.unwrap().contains("a loopback address"));
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let mut fake = McpServer::start(Wire::Both).await;
    fake.stop().await;
    let failure = mcp().discover(&server(&fake)).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.to_string().as_str()),
        (FailureKind::Unreachable, "The MCP server refused the connection.")
    );
    let answer = answer(&mcp(), &server(&fake), &call("pay")).await;
    assert_eq!(answer.output, "The MCP server refused the connection. The call was not carried out.");
    assert_eq!(answer.trouble.as_deref(), Some("The MCP server refused the connection."));
}

#[tokio::test]
async fn wrong_credentials_are_told_without_showing_them() {
    for wire in [Wire::Stateless, Wire::Sessions] {
        let fake = offering(wire, Tool::new("pay")).await;
        fake.require_bearer("another");
        let mut server = server(&fake);
        server.bearer = Some(BEARER.into());
        server.url.set_query(Some("key=q-canary"));
        let failure = mcp().discover(&server).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized);
        assert!(!failure.message.contains(BEARER) && !failure.message.contains("q-canary"), "{failure}");
        let answer = answer(&mcp(), &server, &call("pay")).await;
        assert!(answer.output.contains("Check the server's `auth`"), "{answer:?}");
        assert_eq!(fake.methods(), ["server/discover", "server/discover"], "there is no use in a handshake");
    }
}

#[tokio::test]
async fn a_secret_that_no_header_can_hold_is_not_sent() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    let mut server = server(&fake);
    server.bearer = Some(format!("{BEARER}\r\nx: y").into());
    let failure = mcp().discover(&server).await.unwrap_err();
    assert!(failure.message.contains("its secret holds characters"), "{failure}");
    assert!(answer(&mcp(), &server, &call("pay")).await.is_error);
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn an_error_of_the_protocol_tells_the_model_what_the_server_says_and_others_its_code() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    fake.answer("pay", Answer::error(-32_602, &format!("`n` must be text, {BEARER}")));
    let mut server = server(&fake);
    server.bearer = Some(BEARER.into());
    let answer = answer(&mcp(), &server, &call("pay")).await;
    assert_eq!(answer.output, "The MCP server answered with the error -32602. It says: `n` must be text, …");
    assert_eq!(answer.trouble.as_deref(), Some("The MCP server answered with the error -32602."));
    assert!(answer.is_error);
}

#[tokio::test]
async fn a_server_that_is_overloaded_is_not_called_again() {
    for (status, unknown) in [(429, false), (500, true), (503, true), (403, true), (302, false)] {
        let fake = offering(Wire::Both, Tool::new("pay")).await;
        fake.answer("pay", Answer::text("").fault(Fault::Status(status)));
        let answer = answer(&mcp(), &known(&fake, "2026-07-28"), &call("pay")).await;
        assert!(answer.is_error && answer.output.contains(&status.to_string()), "{answer:?}");
        assert_eq!(answer.output.contains("not known"), unknown, "{answer:?}");
        assert_eq!(fake.methods(), ["tools/call"], "{status}");
    }
}

#[tokio::test]
async fn a_tool_that_is_gone_is_an_error_of_its_server() {
    for (wire, protocol) in [(Wire::Stateless, "2026-07-28"), (Wire::Sessions, "2025-11-25")] {
        let fake = McpServer::start(wire).await;
        let answer = answer(&mcp(), &known(&fake, protocol), &call("pay")).await;
        assert!(answer.is_error && answer.output.ends_with("It says: Unknown tool"), "{answer:?}");
    }
}
