//! Runs: what they cost in time, and how many there can be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{Bench, Stage};
use crate::client::Exchange;
use crate::load::{self, Exchanges, Outcome, Schedule};
use crate::process;
use crate::relay::Relay;
use crate::report::{Row, Verdict, added_ms, milliseconds, ms};

/// Smiths that take turns, as the users of a product do.
pub(super) const SMITHS: usize = 64;
pub(super) const COMPLETED: &str = r#""status":"completed""#;
const USUAL: f64 = 200.0;
const HIGHEST: f64 = 1_000.0;

/// Runs that are answered with their record once they rest, each on a thread of its own.
pub(super) async fn plain(stage: &Stage, count: usize) -> anyhow::Result<Exchanges> {
    Ok(at_rest(stage.project.smiths("mock-1", count).await?))
}

/// Runs of these smiths, each on a thread of its own, that are answered once they are completed.
pub(super) fn at_rest(paths: Vec<String>) -> Exchanges {
    let body = json!({ "input": [{ "role": "user", "content": "Say one word." }] });
    let body = Bytes::from(body.to_string());
    paths
        .into_iter()
        .map(|path| Exchange { path, body: body.clone(), first: COMPLETED, done: COMPLETED })
        .collect()
}

pub(super) async fn streamed(stage: &Stage) -> anyhow::Result<Exchanges> {
    let body = json!({ "stream": true, "input": [{ "role": "user", "content": "Say a hundred words." }] });
    let body = Bytes::from(body.to_string());
    let paths = stage.project.smiths("mock-100", SMITHS).await?.into_iter();
    let (first, done) = ("event: message.delta", "event: run.completed");
    Ok(paths.map(|path| Exchange { path, body: body.clone(), first, done }).collect())
}

/// The same request at the mock, with nothing between.
pub(super) fn direct(model: &str, stream: bool) -> Exchanges {
    let body = json!({ "model": model, "stream": stream,
        "messages": [{ "role": "user", "content": "Say one word." }] });
    let (first, done) = if stream { (r#""content":"A""#, "[DONE]") } else { ("choices", "usage") };
    let path = "/v1/chat/completions".to_owned();
    Arc::new([Exchange { path, body: Bytes::from(body.to_string()), first, done }])
}

/// Puts a load on the mock directly, and then through a relay that keeps everything on disk.
async fn baselines(
    bench: &Bench,
    exchanges: &Exchanges,
    schedule: Schedule,
) -> anyhow::Result<(Outcome, Outcome)> {
    let direct = load::open(&bench.direct, exchanges, schedule).await?;
    let relay = Relay::start(bench.mock.address(), bench.program.folder())?;
    let relayed = load::open(&relay.client, exchanges, schedule).await?;
    relay.stop();
    Ok((direct, relayed))
}

/// Measures B1 on a server that has done nothing else.
pub(super) async fn added(bench: &Bench, stage: &Stage, ceiling: Option<f64>) -> anyhow::Result<Row> {
    let exchanges = plain(stage, SMITHS).await?;
    let half = || ceiling.map_or(USUAL, |ceiling| (ceiling / 2.0).clamp(10.0, HIGHEST).round());
    let per_second = bench.options.rate.unwrap_or_else(half);
    let schedule = Schedule { per_second, lasting: bench.options.lasting() };
    let (direct, relayed) = baselines(bench, &direct("mock-1", false), schedule).await?;
    let (direct, relayed) = (direct.whole, relayed.whole);
    let outcome = load::open(&stage.project.client, &exchanges, schedule).await?;
    let through = &outcome.whole;
    let (p50, p99) = (added_ms(through.p50(), direct.p50()), added_ms(through.p99(), direct.p99()));
    let added_p50 = milliseconds(through.p50()) - milliseconds(direct.p50());
    let added_p99 = milliseconds(through.p99()) - milliseconds(direct.p99());
    Ok(Row {
        id: "B1",
        what: format!(
            "native run, JSON: added latency, open loop {per_second}/s, {} s, p50 / p99",
            bench.options.seconds
        ),
        measured: format!("{p50} / {p99} ms{}", failures(&outcome)),
        target: "+1.0 / +5 ms at 1000/s",
        verdict: Verdict::of(
            added_p50 <= 1.0 && added_p99 <= 5.0 && per_second >= HIGHEST && outcome.failed == 0,
        ),
        baseline: format!(
            "direct {} / {} ms, through {} / {} ms; a durable relay {} / {} ms",
            ms(direct.p50()),
            ms(direct.p99()),
            ms(through.p50()),
            ms(through.p99()),
            added_ms(relayed.p50(), direct.p50()),
            added_ms(relayed.p99(), direct.p99())
        ),
        others: 0.0,
        clock: "`POST /v1/smiths/{id}/runs` with a model that says one chunk, a fresh thread each, 64 smiths in turn. \
            The clock starts when the request is due by the schedule and stops at the last byte of the record of the \
            completed run. Added is the percentile through the server less the percentile of a JSON chat completion sent \
            directly to the mock at the same rate. The target is that of the chat completions surface. The durable relay passes that \
            chat completion on, with the request and the answer kept on disk, and does nothing else: what it adds is the least \
            that the machine allows.",
    })
}

/// Measures B2.
pub(super) async fn first_token(bench: &Bench) -> anyhow::Result<Row> {
    let stage = bench.stage().await?;
    let exchanges = streamed(&stage).await?;
    let schedule = Schedule { per_second: bench.options.stream_rate, lasting: bench.options.lasting() };
    let (direct, relayed) = baselines(bench, &direct("mock-100", true), schedule).await?;
    let outcome = load::open(&stage.project.client, &exchanges, schedule).await?;
    let added = milliseconds(outcome.first.p50()) - milliseconds(direct.first.p50());
    let row = Row {
        id: "B2",
        what: format!(
            "native run, stream: first token, open loop {}/s, {} s, p50 / p99; whole stream of 100 chunks, p50",
            schedule.per_second, bench.options.seconds
        ),
        measured: format!(
            "{} / {} ms; {} ms{}",
            added_ms(outcome.first.p50(), direct.first.p50()),
            added_ms(outcome.first.p99(), direct.first.p99()),
            added_ms(outcome.whole.p50(), direct.whole.p50()),
            failures(&outcome)
        ),
        target: "+1.0 ms p50",
        verdict: Verdict::of(added <= 1.0 && outcome.failed == 0),
        baseline: format!(
            "direct {} / {} ms; {} ms; a durable relay {} / {} ms",
            ms(direct.first.p50()),
            ms(direct.first.p99()),
            ms(direct.whole.p50()),
            added_ms(relayed.first.p50(), direct.first.p50()),
            added_ms(relayed.first.p99(), direct.first.p99())
        ),
        others: 0.0,
        clock: "The same with `\"stream\": true` and a model that sends its first chunk at once and then 99 more, each in a write \
            of its own. The clock starts when the request is due and stops when the first `message.delta` is read (for the \
            whole stream: at its last byte). The baseline is the first chunk with text of a streamed chat completion of the mock; for the \
            relay, see B1.",
    };
    stage.server.stop()?;
    Ok(row)
}

/// Measures B3, and returns the ceiling in runs a second too.
pub(super) async fn ceiling(bench: &Bench) -> anyhow::Result<(Row, f64)> {
    let stage = bench.stage().await?;
    let exchanges = plain(&stage, SMITHS).await?;
    let (connections, lasting) = (bench.options.connections, bench.options.lasting());
    let direct_whole = direct("mock-1", false);
    let direct_ceiling = load::closed(&bench.direct, &direct_whole, connections, lasting).await?;
    let before = process::cpu_seconds(stage.server.id())?;
    let closed = load::closed(&stage.project.client, &exchanges, connections, lasting).await?;
    let used = process::cpu_seconds(stage.server.id())? - before;
    let schedule = Schedule { per_second: USUAL, lasting };
    let direct_usual = load::open(&bench.direct, &direct_whole, schedule).await?.whole;
    let open = load::open(&stage.project.client, &exchanges, schedule).await?;
    // The warm-up is in what was used, and so in what it is shared among: it runs at the same rate.
    let runs = closed.rate * (lasting + Duration::from_secs(1).min(lasting)).as_secs_f64();
    let row = Row {
        id: "B3",
        what: format!(
            "durable runs a second, closed loop, {connections} connections; p50 / p99 at {USUAL}/s open loop"
        ),
        measured: format!(
            "{:.0}/s ({:.2} ms of a core each); {} / {} ms{}{}",
            closed.rate,
            used * 1e3 / runs.max(1.0),
            ms(open.whole.p50()),
            ms(open.whole.p99()),
            failures(&closed),
            failures(&open)
        ),
        target: "1000/s; p50 < 3 ms",
        verdict: Verdict::of(
            closed.rate >= 1_000.0
                && milliseconds(open.whole.p50()) < 3.0
                && closed.failed + open.failed == 0,
        ),
        baseline: format!(
            "direct {:.0}/s; {} / {} ms",
            direct_ceiling.rate,
            ms(direct_usual.p50()),
            ms(direct_usual.p99())
        ),
        others: 0.0,
        clock: "Runs as in B1. The ceiling is the number of completed runs over the time from the first request to the last \
            answer, each connection sending its next request at once, after a second of warm-up. The latency at 200/s is \
            measured as in B1 and not reduced by the baseline. Client and mock use the same cores as the server.",
    };
    stage.server.stop()?;
    Ok((row, closed.rate))
}

/// Mentions failures, if there are any.
pub(super) fn failures(outcome: &Outcome) -> String {
    if outcome.failed == 0 { String::new() } else { format!(", {} FAILED", outcome.failed) }
}
