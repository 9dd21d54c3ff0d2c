//! The server of the protocol's authors that shows everything, in revision 2025-11-25.

use std::time::Duration;

use serde_json::json;
use tools::mcp::Options;

use super::process::everything;
use super::{answer, call, mcp, mcp_with, server, tool};

#[tokio::test]
async fn its_tools_are_listed_after_a_handshake() {
    let peer = everything().await;
    let manifest = mcp().discover(&server(&peer.url, None)).await.unwrap();
    assert_eq!(manifest.protocol, "2025-11-25");
    assert_eq!(tool(&manifest.tools, "echo").input_schema["required"], json!(["message"]));
    let again = mcp().discover(&server(&peer.url, Some(&manifest.protocol))).await.unwrap();
    assert_eq!(again, manifest);
    // It offers tools that ask only to clients that declare to answer.
    assert!(manifest.tools.iter().all(|tool| !tool.name.contains("elicitation")));
}

#[tokio::test]
async fn its_results_of_all_kinds_are_read() {
    let peer = everything().await;
    let (mcp, server) = (mcp(), server(&peer.url, Some("2025-11-25")));
    let answered = async |name, args| answer(&mcp, &server, &call(name, args)).await;
    assert_eq!(answered("echo", json!({"message": "hello"})).await.output, "Echo: hello");
    assert_eq!(answered("get-sum", json!({"a": 2, "b": 3})).await.output, "The sum of 2 and 3 is 5.");
    let image = answered("get-tiny-image", json!({})).await;
    assert_eq!(image.attachments[0].media_type, "image/png");
    assert_eq!(image.attachments[0].filename, "image-1.png");
    let weather = answered("get-structured-content", json!({"location": "Chicago"})).await;
    assert!(serde_json::from_str::<serde_json::Value>(&weather.output).unwrap()["temperature"].is_number());
    let links = answered("get-resource-links", json!({"count": 2})).await;
    assert!(links.output.contains("Blob Resource 1: demo://resource/dynamic/blob/1"), "{links:?}");
    let reference =
        answered("get-resource-reference", json!({"resourceType": "Text", "resourceId": 1})).await;
    assert!(reference.output.contains("This is a plaintext resource"), "{reference:?}");
    let reference =
        answered("get-resource-reference", json!({"resourceType": "Blob", "resourceId": 1})).await;
    assert_eq!(reference.attachments.len(), 1, "{reference:?}");
    let wrong = answered("get-sum", json!({"a": "two"})).await;
    assert!(wrong.is_error, "{wrong:?}");
    let unknown = answered("no-such-tool", json!({})).await;
    assert!(unknown.is_error, "{unknown:?}");
}

#[tokio::test]
async fn its_progress_puts_the_end_of_a_call_off() {
    let peer = everything().await;
    let mcp = mcp_with(Options { call: Duration::from_millis(1_200), ..Options::default() });
    let args = json!({"duration": 2, "steps": 4});
    let call = call("trigger-long-running-operation", args);
    let answer = answer(&mcp, &server(&peer.url, Some("2025-11-25")), &call).await;
    assert!(answer.output.starts_with("Long running operation completed"), "{answer:?}");
}
