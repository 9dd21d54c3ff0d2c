//! The server that dies around a call: the call is made once at most, or said to be unknown.

use std::io::Write as _;
use std::time::Instant;

use e2e::{Engine, Server, Setup, Smith};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::mcp::{McpServer, Tool, Wire};
use testkit::receiver::Receiver;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{register, results};

/// A short lease, so that a death on PostgreSQL is noticed quickly.
const LEASE: &str = "[engine]\nlease_ms = 400\n";

/// Where the server dies, in the order of what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BeforeIntent,
    AfterIntent,
    /// While the tool is at work.
    DuringCall,
    AfterCall,
    BeforeResult,
    AfterResult,
}

const FAULTS: [Fault; 6] = [
    Fault::BeforeIntent,
    Fault::AfterIntent,
    Fault::DuringCall,
    Fault::AfterCall,
    Fault::BeforeResult,
    Fault::AfterResult,
];

impl Fault {
    /// The name under which the server knows the point; none where the test kills it itself.
    fn point(self) -> Option<&'static str> {
        match self {
            Self::BeforeIntent => Some("before_intent"),
            Self::AfterIntent => Some("after_intent"),
            Self::DuringCall => None,
            Self::AfterCall => Some("after_call"),
            Self::BeforeResult => Some("before_result"),
            Self::AfterResult => Some("after_result"),
        }
    }
}

/// A kind of tool whose calls can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Webhook { is_repeatable: bool },
    Mcp { is_repeatable: bool, wire: Wire },
}

const KINDS: [Kind; 6] = [
    Kind::Webhook { is_repeatable: false },
    Kind::Webhook { is_repeatable: true },
    Kind::Mcp { is_repeatable: false, wire: Wire::Stateless },
    Kind::Mcp { is_repeatable: true, wire: Wire::Stateless },
    Kind::Mcp { is_repeatable: false, wire: Wire::Sessions },
    Kind::Mcp { is_repeatable: true, wire: Wire::Sessions },
];

impl Kind {
    fn is_repeatable(self) -> bool {
        match self {
            Self::Webhook { is_repeatable } | Self::Mcp { is_repeatable, .. } => is_repeatable,
        }
    }

    fn name(self) -> String {
        let peer = match self {
            Self::Webhook { .. } => "webhook",
            Self::Mcp { wire: Wire::Stateless, .. } => "MCP 2026-07-28",
            Self::Mcp { .. } => "MCP with sessions",
        };
        if self.is_repeatable() { format!("{peer}, idempotent") } else { peer.to_owned() }
    }
}

/// Whoever carries the calls out, and counts them.
enum Peer {
    Webhook(Receiver),
    Mcp(McpServer),
}

impl Peer {
    async fn of(kind: Kind, server: &Server, gate: Option<&Gate>) -> Self {
        match kind {
            Kind::Webhook { is_repeatable } => {
                let receiver = Receiver::start().await;
                if let Some(gate) = gate {
                    receiver.through(gate);
                }
                let annotations = json!({"idempotent": is_repeatable});
                let tool = json!({"execution": "webhook", "url": receiver.url(), "annotations": annotations});
                register(server, "pay", tool).await;
                Self::Webhook(receiver)
            }
            Kind::Mcp { is_repeatable, wire } => {
                let peer = McpServer::start(wire).await;
                let mut answer = testkit::mcp::Answer::text("paid");
                if let Some(gate) = gate {
                    answer = answer.gated(gate);
                }
                let tool = Tool::new("pay").schema(json!({"type": "object"})).answers(answer);
                peer.offer(if is_repeatable { tool.hint("idempotentHint") } else { tool });
                let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
                server.admin().put("/v1/tenant/mcp/bank", &body).await.expect(200);
                Self::Mcp(peer)
            }
        }
    }

    /// The idempotency keys of the calls that were carried out.
    fn keys(&self) -> Vec<String> {
        match self {
            Self::Webhook(receiver) => {
                receiver.received().iter().map(|call| call.header("idempotency-key").to_owned()).collect()
            }
            Self::Mcp(peer) => peer.calls().iter().map(|call| call.idempotency_key.clone()).collect(),
        }
    }

    /// Their trace contexts.
    fn traces(&self) -> Vec<String> {
        match self {
            Self::Webhook(receiver) => {
                receiver.received().iter().map(|call| call.header("traceparent").to_owned()).collect()
            }
            Self::Mcp(peer) => peer.calls().iter().map(|call| call.traceparent.clone()).collect(),
        }
    }

    async fn wait_for_a_call(&self) {
        match self {
            Self::Webhook(receiver) => drop(receiver.wait_for(1).await),
            Self::Mcp(peer) => drop(peer.wait_for_calls(1).await),
        }
    }
}

/// What a scenario has shown.
struct Seen {
    keys: Vec<String>,
    traces: Vec<String>,
    run: Value,
    result: String,
}

/// Lets the server die at the point while it calls the tool, starts it again, and waits for the end of the run.
async fn die(engine: Engine, kind: Kind, fault: Fault) -> Seen {
    let mut setup = Setup::on(engine).with_configuration(LEASE);
    if let Some(point) = fault.point() {
        setup = setup.with_variable("IC_FAULT", point);
    }
    let mut server = setup.start().await;
    let gate = (fault == Fault::DuringCall).then(Gate::hold);
    let peer = Peer::of(kind, &server, gate.as_ref()).await;
    let upstream = Upstream::start().await;
    let asks = || Reply::tool_call("c1", "pay", json!({"amount": 12}));
    let is_stored = Gate::hold();
    if fault == Fault::BeforeIntent {
        // The whole answer may be there before its run is stored, and a run that dies then has never been: it
        // comes once the run is known here.
        upstream.answer(asks().through(&is_stored));
    }
    // The answer that asks for the call is stored with the intent: before it, it is asked for again.
    upstream.answer(asks());
    upstream.answer_otherwise(Reply::text("Done."));
    let smith = server.smith_on(&upstream).await;
    server.admin().patch(&smith.path(""), &json!({"tools": ["pay"]})).await.expect(200);
    let start = json!({"input": "Pay", "stream": true});
    // The server may die before it has sent the head of its answer.
    let stream = server.admin().stream_or_break(Method::POST, &smith.path("/runs"), Some(&start)).await;
    is_stored.open();
    if fault == Fault::DuringCall {
        peer.wait_for_a_call().await;
        server.kill().await;
    } else {
        server.ended().await;
    }
    drop(stream);
    if let Some(gate) = gate {
        gate.open();
    }
    server.forget_variable("IC_FAULT");
    server.start_again().await;
    let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
    let path = smith.path(&format!("/runs/{}", runs["data"][0]["id"].as_str().unwrap()));
    let frames = server.admin().follow(&format!("{path}/events"), None).await.collect_until_end().await;
    assert_eq!(frames.last().unwrap().event, "run.completed", "{kind:?} {fault:?}: {frames:?}");
    let told: Vec<_> = frames.iter().filter(|frame| frame.event.starts_with("tool.")).collect();
    let told: Vec<_> = told.iter().map(|frame| frame.event.as_str()).collect();
    assert_eq!(told, ["tool.executing", "tool.completed"], "{kind:?} {fault:?}");
    let run = server.admin().get(&path).await.expect(200);
    let result = results(&upstream).pop().expect("the model has its result").1;
    Seen { keys: peer.keys(), traces: peer.traces(), run, result }
}

/// What became of a call around which the server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Once,
    /// Carried out twice, by a tool that says that it may be, with the same key.
    Again,
    Unknown {
        was_carried_out: bool,
    },
    /// Carried out twice behind everyone's back.
    Doubled,
    /// Neither carried out nor said to be unknown.
    Lost,
}

impl Outcome {
    fn of(kind: Kind, calls: usize, is_unknown: bool) -> Self {
        match calls {
            0 | 1 if is_unknown => Self::Unknown { was_carried_out: calls == 1 },
            0 => Self::Lost,
            1 => Self::Once,
            _ if kind.is_repeatable() => Self::Again,
            _ => Self::Doubled,
        }
    }

    /// Tells whether the promise was broken.
    fn is_breach(self) -> bool {
        matches!(self, Self::Doubled | Self::Lost)
    }
}

/// Carries out one scenario, and checks all of it but whether the outcome is a breach.
async fn scenario(engine: Engine, kind: Kind, fault: Fault) -> Outcome {
    let Seen { keys, traces, run, result } = die(engine, kind, fault).await;
    let place = format!("{engine:?} {kind:?} {fault:?}: {run:#} {result}");
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "the key of a call never changes: {place}");
    assert!(keys.iter().all(|key| key.ends_with("::c1")), "{place}");
    assert!(traces.windows(2).all(|pair| pair[0] == pair[1]), "nor does its trace: {place}");
    let is_trace = |trace: &String| trace.len() == 55 && trace.starts_with("00-") && trace.ends_with("-01");
    assert!(traces.iter().all(is_trace), "{traces:?}");
    let is_unknown =
        run["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "outcome_unknown");
    assert_eq!(
        is_unknown,
        result.contains("outcome_unknown"),
        "the model and the client learn the same: {place}"
    );
    // Unknown is said where it is unknown, and nowhere else.
    let is_open = fault > Fault::BeforeIntent && fault < Fault::AfterResult;
    assert_eq!(is_unknown, is_open && !kind.is_repeatable(), "{place}");
    Outcome::of(kind, keys.len(), is_unknown)
}

#[tokio::test]
async fn a_call_is_made_once_or_said_to_be_unknown_wherever_the_server_dies() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for kind in KINDS {
            for fault in FAULTS {
                let outcome = scenario(engine, kind, fault).await;
                assert!(!outcome.is_breach(), "{engine:?} {kind:?} {fault:?}: {outcome:?}");
            }
        }
    }
}

/// Counts many scenarios: `make faults ROUNDS=n`.
#[tokio::test]
#[ignore = "takes long: it is run by hand, and its counters are kept in docs/reliability.md"]
async fn counted_deaths_around_calls() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2_usize);
    let mut breaches = 0;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let began = Instant::now();
        let mut outcomes = Vec::new();
        for _ in 0..rounds {
            for kind in KINDS {
                for fault in FAULTS {
                    outcomes.push((kind, scenario(engine, kind, fault).await));
                }
            }
        }
        for kind in KINDS {
            let of_kind: Vec<_> =
                outcomes.iter().filter(|(of, _)| *of == kind).map(|(_, was)| *was).collect();
            say(&format!("{engine:?}, {}: {}", kind.name(), tally(&of_kind)));
        }
        let all: Vec<_> = outcomes.iter().map(|(_, was)| *was).collect();
        say(&format!("{engine:?}, all: {} ({} s)", tally(&all), began.elapsed().as_secs()));
        breaches += all.iter().filter(|was| was.is_breach()).count();
    }
    assert_eq!(breaches, 0, "calls were doubled or lost");
}

fn tally(outcomes: &[Outcome]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    format!(
        "{} deaths, {} carried out once, {} again with the same key, {} said to be unknown ({} of them carried out), \
         {} doubled, {} lost",
        outcomes.len(),
        count(|outcome| *outcome == Outcome::Once),
        count(|outcome| *outcome == Outcome::Again),
        count(|outcome| matches!(outcome, Outcome::Unknown { .. })),
        count(|outcome| *outcome == Outcome::Unknown { was_carried_out: true }),
        count(|outcome| *outcome == Outcome::Doubled),
        count(|outcome| *outcome == Outcome::Lost),
    )
}

fn say(line: &str) {
    let mut shown = std::io::stderr();
    writeln!(shown, "{line}").unwrap();
}

#[tokio::test]
async fn a_call_that_panics_in_the_server_is_said_to_be_unknown_and_its_run_goes_on() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("IC_FAULT", "in_call").start().await;
        // Also a tool that may be called again is not: what broke once would break again.
        let peer = Peer::of(Kind::Webhook { is_repeatable: true }, &server, None).await;
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "pay", json!({"amount": 12})));
        upstream.answer_otherwise(Reply::text("Done."));
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"tools": ["pay"]})).await.expect(200);
        let run = smith.run(&Smith::says("Pay")).await;
        assert_eq!((&run["status"], &run["output"]["content"]), (&json!("completed"), &json!("Done.")));
        assert_eq!(run["warnings"][0]["code"], "outcome_unknown", "{run:#}");
        assert_eq!(results(&upstream)[0].1, r#"{"error":"outcome_unknown"}"#);
        assert_eq!(peer.keys().len(), 1);
    }
}

#[tokio::test]
async fn a_run_that_breaks_its_driver_each_time_is_given_up_and_its_thread_goes_on() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let setup = Setup::on(engine).with_configuration(LEASE);
        let server = setup.with_variable("IC_FAULT", "in_driver").start().await;
        let upstream = Upstream::start().await;
        let ask = || Reply::tool_call("c1", "calculate", json!({"expression": "6 * 7"}));
        for _ in 0..3 {
            upstream.answer(ask());
        }
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let tools = json!({"enabled_hosted_tools": ["calculator"]});
        server.admin().patch(&smith.path(""), &tools).await.expect(200);
        let run = smith.run(&json!({"input": "Count", "thread_id": "t"})).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("resume_failed")));
        assert_eq!(upstream.requests().len(), 3, "three tries and no further one");
        let next = smith.run(&json!({"input": "Hello", "thread_id": "t"})).await;
        assert_eq!(next["status"], "completed");
    }
}

#[tokio::test]
async fn a_hosted_tool_is_called_again_after_a_death() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for fault in [Fault::AfterIntent, Fault::BeforeResult] {
            let setup = Setup::on(engine).with_configuration(LEASE);
            let mut server = setup.with_variable("IC_FAULT", fault.point().unwrap()).start().await;
            let upstream = Upstream::start().await;
            upstream.answer(Reply::tool_call("c1", "calculate", json!({"expression": "6 * 7"})));
            upstream.answer_otherwise(Reply::text("Done."));
            let smith: Smith = server.smith_on(&upstream).await;
            let tools = json!({"enabled_hosted_tools": ["calculator"]});
            server.admin().patch(&smith.path(""), &tools).await.expect(200);
            let start = json!({"input": "Count", "stream": true});
            // The server may die before it has sent the head of its answer.
            let stream =
                server.admin().stream_or_break(Method::POST, &smith.path("/runs"), Some(&start)).await;
            server.ended().await;
            drop(stream);
            server.forget_variable("IC_FAULT");
            server.start_again().await;
            let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
            let path = smith.path(&format!("/runs/{}/events", runs["data"][0]["id"].as_str().unwrap()));
            let frames = server.admin().follow(&path, None).await.collect_until_end().await;
            assert_eq!(frames.last().unwrap().event, "run.completed");
            assert!(results(&upstream)[0].1.contains("42"));
        }
    }
}
