use std::time::Duration;

use testkit::mcp::{Answer, Fault, Gate, Tool, Wire};
use tools::mcp::Options;

use super::{answer, call, known, mcp, mcp_with, offering};

#[tokio::test]
async fn a_dropped_call_closes_its_stream() {
    for as_json in [true, false] {
        let gate = Gate::hold();
        let reply = Answer::text("late").gated(&gate);
        let reply = if as_json { reply.as_json() } else { reply };
        let fake = offering(Wire::Stateless, Tool::new("slow").answers(reply)).await;
        let (mcp, server, call) = (mcp(), known(&fake, "2026-07-28"), call("slow"));
        tokio::select! {
            outcome = mcp.call(&server, &call) => panic!("{outcome:?}"),
            _ = gate.wait_for_arrivals(1) => {}
        }
        fake.wait_for_abandoned(1).await;
        assert_eq!(fake.methods(), ["tools/call"], "closing the stream is all there is to it");
    }
}

#[tokio::test]
async fn a_dropped_call_of_an_older_revision_is_cancelled_by_a_message() {
    let gate = Gate::hold();
    let fake = offering(Wire::Sessions, Tool::new("slow").answers(Answer::text("late").gated(&gate))).await;
    let (mcp, server, call) = (mcp(), known(&fake, "2025-11-25"), call("slow"));
    tokio::select! {
        outcome = mcp.call(&server, &call) => panic!("{outcome:?}"),
        _ = gate.wait_for_arrivals(1) => {}
    }
    fake.wait_for_cancelled(1).await;
    let requests = fake.requests();
    let of = |rpc| requests.iter().find(|received| received.rpc() == rpc).unwrap();
    let cancelled = of("notifications/cancelled");
    assert_eq!(cancelled.body["params"]["requestId"], of("tools/call").body["id"]);
    assert_eq!(cancelled.header("mcp-session-id"), "session-1");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_on_either_wire() {
    let options = Options { call: Duration::from_millis(100), ..Options::default() };
    for wire in [Wire::Stateless, Wire::Sessions] {
        let fake = offering(wire, Tool::new("slow").answers(Answer::text("").fault(Fault::Stall))).await;
        let mcp = mcp_with(options.clone());
        let answer = answer(
            &mcp,
            &known(&fake, if wire == Wire::Stateless { "2026-07-28" } else { "2025-11-25" }),
            &call("slow"),
        )
        .await;
        assert_eq!(
            answer.output,
            "The MCP server did not answer in time. Whether the call was carried out is not known."
        );
        assert_eq!(answer.trouble.as_deref(), Some("The MCP server did not answer in time."));
        fake.wait_for_abandoned(1).await;
        if wire == Wire::Sessions {
            fake.wait_for_cancelled(1).await;
        }
    }
}

#[tokio::test]
async fn an_answered_call_is_not_cancelled() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let mcp = mcp();
    answer(&mcp, &known(&fake, "2025-11-25"), &call("pay")).await;
    fake.answer("pay", Answer::error(-32_602, "no"));
    answer(&mcp, &known(&fake, "2025-11-25"), &call("pay")).await;
    mcp.finish().await;
    assert!(!fake.methods().contains(&"notifications/cancelled".to_owned()));
}
