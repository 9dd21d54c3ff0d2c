//! B5: how soon a decision sets a run going again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::{Bench, Engine, Stage, runs, steps};
use crate::client::{Client, Exchange};
use crate::latencies::Latencies;
use crate::load;
use crate::mock::TOOL_PATH;
use crate::report::{Row, Verdict, milliseconds, ms};

/// Decisions a second.
const PER_SECOND: usize = 50;
/// Decisions before any counts.
const WARM_UP: usize = PER_SECOND;
const SMITHS: usize = 16;
/// Runs that are brought to their pause at once.
const AT_ONCE: usize = 8;

/// From where decisions come.
#[derive(Clone, Copy)]
enum Place {
    /// The server that has started the run.
    Same,
    /// Another on the same database.
    Other,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Other => ", decided on another replica",
        }
    }

    /// The longest p99, in milliseconds, and how it is written.
    fn target(self) -> (f64, &'static str) {
        match self {
            Self::Same => (10.0, "p99 < 10 ms"),
            Self::Other => (50.0, "p99 < 50 ms"),
        }
    }
}

/// Measures B5 on each database, and on two replicas where a database can have them.
pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let direct = direct(bench).await?;
    let mut rows = Vec::new();
    for engine in bench.engines()? {
        let stage = stage(bench, &engine).await?;
        rows.push(row(bench, &engine, &stage, &stage.project.client, Place::Same, &direct).await?);
        if let Engine::Postgres(_) = engine {
            let replica = bench.replica(&stage)?;
            rows.push(row(bench, &engine, &stage, &replica.client, Place::Other, &direct).await?);
            replica.server.stop()?;
        }
        stage.server.stop()?;
    }
    Ok(rows)
}

async fn stage(bench: &Bench, engine: &Engine) -> anyhow::Result<Stage> {
    let stage = bench.stage_on(engine).await?;
    stage.project.register_tool(&bench.mock, "always").await?;
    Ok(stage)
}

async fn row(
    bench: &Bench,
    engine: &Engine,
    stage: &Stage,
    decided_at: &Client,
    place: Place,
    direct: &Latencies,
) -> anyhow::Result<Row> {
    let count = decisions(bench);
    let (latencies, failed) = decided(bench, paused(stage, WARM_UP + count).await?, decided_at).await?;
    let (longest, target) = place.target();
    let failures = if failed == 0 { String::new() } else { format!(", {failed} FAILED") };
    Ok(Row {
        id: "B5",
        what: format!(
            "an approval decided -> the next model request at the mock, {}{}, open loop {PER_SECOND}/s, {} s, p50 / p99",
            engine.name(),
            place.name(),
            bench.options.seconds
        ),
        measured: format!("{} / {} ms{failures}", ms(latencies.p50()), ms(latencies.p99())),
        target,
        verdict: Verdict::of(milliseconds(latencies.p99()) < longest && failed == 0),
        baseline: format!("direct {} / {} ms", ms(direct.p50()), ms(direct.p99())),
        others: 0.0,
        clock: "Runs that wait for an approval of a call of a webhook tool, which is the mock's too. The clock starts when the \
            decision (`POST …/submit`) is due and stops when the head of the next request of that run's model has come in \
            at the mock, so the call of the tool lies between. The baseline is a call of the tool and then a request of the \
            model, sent directly to the mock, up to the moment when that comes in. On another replica: the run was started \
            on one server and is decided on a second one on the same database.",
    })
}

fn decisions(bench: &Bench) -> usize {
    PER_SECOND * usize::try_from(bench.options.seconds).unwrap_or(usize::MAX / PER_SECOND)
}

/// A decision that can be taken, and the call that it is about.
struct Decision {
    call: String,
    exchange: Exchange,
}

/// Brings runs to the point where they wait for an approval, each on a thread of its own.
async fn paused(stage: &Stage, count: usize) -> anyhow::Result<Vec<Decision>> {
    let paths = stage.project.smiths_with("mock-pay-1", json!({ "tools": ["pay"] }), SMITHS).await?;
    let client = &stage.project.client;
    stream::iter(paths.iter().cycle().take(count))
        .map(|path| pause(client, path))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn pause(client: &Client, path: &str) -> anyhow::Result<Decision> {
    let input = json!({ "input": [{ "role": "user", "content": "Pay." }] });
    let run = client.json(Method::POST, path, &input).await?;
    let text = |pointer: &str| {
        run.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer}: {run}"))
    };
    let approval = text("/output/tool_calls/0/approval_id")?;
    let body = json!({ "kind": "approval_decision", "decision": "approve", "approval_id": approval });
    let exchange = Exchange {
        path: format!("{path}/{}/submit", text("/id")?),
        body: Bytes::from(body.to_string()),
        first: runs::COMPLETED,
        done: runs::COMPLETED,
    };
    Ok(Decision { call: text("/output/tool_calls/0/tool_call_id")?.to_owned(), exchange })
}

/// Takes the decisions, and returns how long each took and how many failed.
async fn decided(
    bench: &Bench,
    decisions: Vec<Decision>,
    client: &Client,
) -> anyhow::Result<(Latencies, usize)> {
    let exchanges = decisions.iter().map(|decision| decision.exchange.clone()).collect();
    let sent = load::once(client, exchanges, PER_SECOND as f64).await?;
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for (decision, (due, timing)) in decisions.iter().zip(sent).skip(WARM_UP) {
        match bench.mock.arrival(&decision.call) {
            Some(arrived) if timing.is_ok() => latencies.push(arrived.saturating_duration_since(due)),
            _ => failed += 1,
        }
    }
    Ok((latencies.into_iter().collect(), failed))
}

/// The same at the mock, with nothing between.
async fn direct(bench: &Bench) -> anyhow::Result<Latencies> {
    let request = steps::request("mock-pay-1", 1, "call_direct");
    let tool = Arc::new(json!({ "tool": "pay", "args": { "amount": 1 } }));
    let mut latencies = Vec::new();
    for number in 0..WARM_UP + decisions(bench) {
        // As far apart as the decisions are: a machine that has slept is slower.
        tokio::time::sleep(Duration::from_secs(1) / PER_SECOND as u32).await;
        let start = Instant::now();
        bench.direct.json(Method::POST, TOOL_PATH, &tool).await?;
        request.perform(&bench.direct).await?;
        let arrived = bench.mock.arrival("call_direct").context("the mock has noticed nothing")?;
        if number >= WARM_UP {
            latencies.push(arrived.saturating_duration_since(start));
        }
    }
    Ok(latencies.into_iter().collect())
}
