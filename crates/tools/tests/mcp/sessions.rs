use std::time::Duration;

use testkit::mcp::{Answer, Fault, Gate, Tool, Wire};
use tools::mcp::Options;

use super::{answer, call_in_run, known, mcp, mcp_with, offering};

fn opened(fake: &testkit::mcp::McpServer) -> usize {
    fake.methods().iter().filter(|method| *method == "initialize").count()
}

#[tokio::test]
async fn the_calls_of_a_run_share_a_session_and_runs_share_none() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let (mcp, server) = (mcp(), known(&fake, "2025-11-25"));
    for run in [1, 1, 2, 1] {
        answer(&mcp, &server, &call_in_run("pay", run)).await;
    }
    let sessions: Vec<_> = fake.calls().into_iter().filter_map(|called| called.session).collect();
    assert_eq!(sessions, ["session-1", "session-1", "session-2", "session-1"]);
}

#[tokio::test]
async fn calls_of_a_run_that_begin_together_shake_hands_once() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let (mcp, server) = (mcp(), known(&fake, "2025-11-25"));
    let call = call_in_run("pay", 1);
    tokio::join!(answer(&mcp, &server, &call), answer(&mcp, &server, &call), answer(&mcp, &server, &call));
    assert_eq!((opened(&fake), fake.calls().len()), (1, 3));
}

#[tokio::test]
async fn an_expired_session_is_begun_again_and_the_call_is_made_once() {
    let fake = offering(Wire::Sessions, Tool::new("pay").answers(Answer::text("paid"))).await;
    let (mcp, server) = (mcp(), known(&fake, "2025-11-25"));
    answer(&mcp, &server, &call_in_run("pay", 1)).await;
    fake.expire_sessions();
    assert_eq!(answer(&mcp, &server, &call_in_run("pay", 1)).await.output, "paid");
    let sessions: Vec<_> = fake.calls().into_iter().filter_map(|called| called.session).collect();
    assert_eq!(sessions, ["session-1", "session-2"]);
}

#[tokio::test]
async fn a_call_that_is_refused_with_400_is_not_repeated_and_the_next_one_has_another_session() {
    let fake = offering(Wire::Sessions, Tool::new("pay").answers(Answer::text("paid"))).await;
    let (mcp, server) = (mcp(), known(&fake, "2025-11-25"));
    answer(&mcp, &server, &call_in_run("pay", 1)).await;
    for (words, sessions) in [("The amount is wrong", 1), ("No valid session", 2)] {
        fake.answer("pay", Answer::error(-32_000, words).fault(Fault::ErrorStatus(400)));
        let refused = answer(&mcp, &server, &call_in_run("pay", 1)).await;
        assert!(refused.is_error && refused.output.contains("is not known."), "{refused:?}");
        assert_eq!(answer(&mcp, &server, &call_in_run("pay", 1)).await.output, "paid");
        assert_eq!(opened(&fake), sessions);
    }
}

#[tokio::test]
async fn a_server_that_knows_no_session_for_long_is_not_asked_forever() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let refusal = || Answer::error(-32_001, "Session not found").fault(Fault::ErrorStatus(404));
    (0..9).for_each(|_| fake.answer("pay", refusal()));
    let answer = answer(&mcp(), &known(&fake, "2025-11-25"), &call_in_run("pay", 1)).await;
    assert!(answer.is_error && answer.output.contains("The call was not carried out."), "{answer:?}");
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn a_handshake_that_failed_is_tried_again_by_the_next_call() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    fake.answer_method("initialize", Answer::text("").fault(Fault::Status(503)));
    let (mcp, server) = (mcp(), known(&fake, "2025-11-25"));
    assert!(answer(&mcp, &server, &call_in_run("pay", 1)).await.is_error);
    assert!(!answer(&mcp, &server, &call_in_run("pay", 1)).await.is_error);
}

#[tokio::test]
async fn no_more_sessions_are_kept_than_there_is_room_for() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let mcp = mcp_with(Options { max_sessions: 2, ..Options::default() });
    for run in 1..=20 {
        answer(&mcp, &known(&fake, "2025-11-25"), &call_in_run("pay", run)).await;
    }
    // The cache makes room now and then, not with each call.
    fake.wait_for_ended_sessions(10).await;
    assert!(fake.open_sessions() <= 10);
}

#[tokio::test]
async fn a_session_that_nobody_uses_is_ended() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let mcp = mcp_with(Options { session_idle: Duration::from_millis(1), ..Options::default() });
    let server = known(&fake, "2025-11-25");
    let mut run = 0;
    // What has gone stale is let go of by later calls.
    let calls = async {
        loop {
            run = run % 200 + 1;
            answer(&mcp, &server, &call_in_run("pay", run)).await;
        }
    };
    tokio::select! {
        () = calls => {}
        () = fake.wait_for_ended_sessions(1) => {}
    }
}

#[tokio::test]
async fn a_server_that_asks_in_the_middle_of_a_call_is_answered() {
    for (method, expected) in [("ping", "result"), ("elicitation/create", "error"), ("roots/list", "error")] {
        let gate = Gate::hold();
        let reply = Answer::text("paid").asking_the_client(method).gated(&gate);
        let fake = offering(Wire::Sessions, Tool::new("pay").answers(reply)).await;
        let (mcp, server, call) = (mcp(), known(&fake, "2025-11-25"), call_in_run("pay", 1));
        let calling = answer(&mcp, &server, &call);
        let answered = async {
            // The handshake, the call, and the answer.
            let requests = fake.wait_for_requests(4).await;
            gate.open();
            requests[3].body.clone()
        };
        let (answer, reply) = tokio::join!(calling, answered);
        assert_eq!(answer.output, "paid");
        assert_eq!(reply["id"], "server-1");
        assert!(reply.get(expected).is_some(), "{method}: {reply}");
    }
}

#[tokio::test]
async fn the_rest_of_a_stream_that_broke_off_is_asked_for() {
    let fake =
        offering(Wire::Sessions, Tool::new("pay").answers(Answer::text("paid").fault(Fault::EndNamed))).await;
    let answer = answer(&mcp(), &known(&fake, "2025-11-25"), &call_in_run("pay", 1)).await;
    assert_eq!(answer.output, "paid");
    assert_eq!(fake.calls().len(), 1);
    let requests = fake.requests();
    let rest = requests.iter().find(|received| received.method == "GET").unwrap();
    assert_eq!(rest.header("mcp-session-id"), "session-1");
}
