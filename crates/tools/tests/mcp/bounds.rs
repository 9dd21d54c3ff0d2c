use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::mcp::{Answer, Fault, McpServer, Tool, Wire};
use tools::mcp::{FailureKind, Options};

use super::{answer, call, known, mcp_with, offering, server};

const TINY: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_list_that_takes_too_long_is_given_up() {
    let options = Options { discovery: TINY, ..Options::default() };
    for method in ["server/discover", "initialize", "tools/list"] {
        let fake = McpServer::start(if method == "initialize" { Wire::Sessions } else { Wire::Both }).await;
        for _ in 0..3 {
            fake.answer_method(method, Answer::text("").fault(Fault::Silence));
        }
        let discovered = mcp_with(options.clone()).discover(&server(&fake)).await;
        if method == "server/discover" {
            // A server that keeps silent about what it does not know is taken for an old one.
            assert_eq!(discovered.unwrap().protocol, "2025-11-25");
        } else {
            let failure = discovered.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unreachable);
            assert_eq!(failure.to_string(), "The MCP server did not answer in time.");
        }
    }
}

#[tokio::test]
async fn progress_puts_the_end_of_a_call_off() {
    let reply = Answer::text("paid").progress(4).pace(Duration::from_millis(100));
    for (wire, protocol) in [(Wire::Stateless, "2026-07-28"), (Wire::Sessions, "2025-11-25")] {
        let fake = offering(wire, Tool::new("slow").answers(reply.clone())).await;
        let options = Options { call: Duration::from_millis(300), ..Options::default() };
        assert_eq!(answer(&mcp_with(options), &known(&fake, protocol), &call("slow")).await.output, "paid");
    }
}

#[tokio::test]
async fn progress_without_end_is_given_up() {
    let reply = Answer::text("paid").progress(10_000).pace(Duration::from_millis(10));
    let fake = offering(Wire::Stateless, Tool::new("slow").answers(reply)).await;
    let options = Options { call: TINY, call_total: TINY * 2, ..Options::default() };
    let began = Instant::now();
    let answer = answer(&mcp_with(options), &known(&fake, "2026-07-28"), &call("slow")).await;
    assert!(answer.output.contains("did not answer in time"), "{answer:?}");
    assert!(began.elapsed() >= TINY * 2, "progress counted");
}

#[tokio::test]
async fn a_server_that_nobody_answers_for_is_given_up() {
    let options = Options { connect: TINY, ..Options::default() };
    // An address of the private range that leads nowhere: packets to it are dropped or refused.
    let mut unreachable = server(&McpServer::start(Wire::Both).await);
    unreachable.url.set_host(Some("10.255.255.1")).unwrap();
    let failure = mcp_with(options).discover(&unreachable).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
}

#[tokio::test]
async fn more_tools_than_are_kept_are_a_failure() {
    let fake = McpServer::start(Wire::Both).await;
    (0..3).for_each(|number| fake.offer(Tool::new(&format!("tool-{number}"))));
    fake.page(1);
    let most = |max_tools| mcp_with(Options { max_tools, ..Options::default() });
    assert_eq!(most(3).discover(&server(&fake)).await.unwrap().tools.len(), 3);
    let failure = most(2).discover(&server(&fake)).await.unwrap_err();
    assert_eq!(failure.to_string(), "The MCP server offers more tools than this server keeps.");
}

#[tokio::test]
async fn a_larger_list_than_is_kept_is_a_failure() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    let most = |max_manifest_bytes| mcp_with(Options { max_manifest_bytes, ..Options::default() });
    assert!(most(200).discover(&server(&fake)).await.is_ok());
    let failure = most(20).discover(&server(&fake)).await.unwrap_err();
    assert!(failure.message.contains("a list of tools that is larger"), "{failure}");
}

#[tokio::test]
async fn a_list_without_end_is_a_failure() {
    let fake = McpServer::start(Wire::Both).await;
    for _ in 0..300 {
        fake.answer_method("tools/list", Answer::result(json!({"tools": [], "nextCursor": "on"})).as_json());
    }
    let failure = mcp_with(Options::default()).discover(&server(&fake)).await.unwrap_err();
    assert!(failure.message.contains("does not come to an end"), "{failure}");
}

#[tokio::test]
async fn a_larger_answer_than_is_taken_is_trouble_in_either_form() {
    let large = Answer::text(&"long ".repeat(1_000));
    for reply in [large.clone(), large.clone().as_json(), Answer::text("").progress(1_000)] {
        let fake = offering(Wire::Both, Tool::new("talk").answers(reply)).await;
        let options = Options { max_answer_bytes: 3_000, ..Options::default() };
        let answer = answer(&mcp_with(options), &known(&fake, "2026-07-28"), &call("talk")).await;
        assert!(answer.output.contains("more than an answer may have"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_long_text_is_cut_and_attachments_beyond_the_bounds_are_left_out() {
    let image = json!({"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"});
    let text = |length: usize| json!({"type": "text", "text": "x".repeat(length)});
    let content = |blocks: Value| Answer::content(blocks);
    let fake = offering(Wire::Both, Tool::new("draw")).await;
    let server = known(&fake, "2026-07-28");

    let options = Options { max_result_bytes: 200, ..Options::default() };
    fake.answer("draw", content(json!([text(5_000)])));
    let cut = answer(&mcp_with(options), &server, &call("draw")).await;
    assert!(cut.output.len() <= 200 && cut.output.contains("was cut here: it has 5000 bytes"), "{cut:?}");
    assert!(!cut.is_error);

    for options in [
        Options { max_attachments: 1, ..Options::default() },
        Options { max_attachment_bytes: 7, ..Options::default() },
    ] {
        fake.answer("draw", content(json!([image, image, text(3)])));
        let answer = answer(&mcp_with(options), &server, &call("draw")).await;
        assert_eq!(answer.attachments.len(), 1);
        assert!(answer.output.starts_with("xxx\n[image-2.png was left out"), "{answer:?}");
    }
}
