//! B7: followers of a run that says nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Bench, Stage};
use crate::client::Client;
use crate::process;
use crate::report::{Row, Verdict};

/// Connections that are made at once.
const AT_ONCE: usize = 64;
/// For what was started to end.
const SETTLED: Duration = Duration::from_secs(2);
const LARGEST: f64 = 24.0;
const DELTA: &[u8] = b"event: message.delta";

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Row> {
    let stage = bench.stage().await?;
    let wanted = bench.options.followers;
    let run = stalled_run(&stage).await?;
    // A few followers beforehand, so that what all of them share is not counted to them.
    let mut watched = JoinSet::new();
    open(&stage, &run.events, AT_ONCE, &mut watched).await?;
    tokio::time::sleep(SETTLED).await;
    let empty = process::resident_bytes(stage.server.id())?;
    open(&stage, &run.events, wanted, &mut watched).await?;
    tokio::time::sleep(SETTLED).await;
    let full = process::resident_bytes(stage.server.id())?;

    let (start, before) = (Instant::now(), process::cpu_seconds(stage.server.id())?);
    tokio::time::sleep(Duration::from_secs(bench.options.idle_seconds)).await;
    let used = process::cpu_seconds(stage.server.id())? - before;
    let share = used * 100.0 / start.elapsed().as_secs_f64();
    if let Some(ended) = watched.try_join_next() {
        bail!("a follower's stream ended before its run: {:?}", ended?);
    }
    watched.shutdown().await;
    drop(run);
    let each = full.saturating_sub(empty) as f64 / wanted.max(1) as f64 / 1024.0;
    Ok(Row {
        id: "B7",
        what: format!("{wanted} idle followers: resident memory of each; processor"),
        measured: format!("{each:.1} KiB; {share:.2} % of a core"),
        target: "24 KiB (9000 followers)",
        verdict: Verdict::of(each <= LARGEST),
        baseline: "hyper alone 11.2 KiB; 0.65 % (9000)".to_owned(),
        others: 0.0,
        clock: "`GET …/runs/{id}/events`, each on a connection of its own, of one run that has said a word and waits for the next. \
            Memory is the growth of Rss from 64 followers to that many more, two seconds after the last has \
            read the word. The processor's clock runs for the idle seconds (30 by default) after that, with a comment to \
            each follower every 15. The baseline was measured once, on an empty server.",
    })
}

/// A run that waits for the provider, with the stream of whoever started it.
struct Run {
    events: String,
    _stream: Incoming,
}

async fn stalled_run(stage: &Stage) -> anyhow::Result<Run> {
    let paths = stage.project.smiths("mock-stall", 1).await?;
    let path = paths.first().context("there is no smith")?;
    let body = json!({ "stream": true, "input": [{ "role": "user", "content": "Say one word and wait." }] });
    let client = &stage.project.client;
    let request = client.request(Method::POST, path, Bytes::from(body.to_string()))?;
    let (response, _lease) = client.send(request).await?;
    let id = response.headers().get("ic-run-id").context("the run is not named")?.to_str()?;
    let events = format!("{path}/{id}/events");
    let mut stream = response.into_body();
    until_word(&mut stream).await?;
    Ok(Run { events, _stream: stream })
}

/// Opens followers, each of which has read the word when this returns, and goes on reading.
async fn open(
    stage: &Stage,
    events: &str,
    count: usize,
    watched: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut opening = JoinSet::new();
    let mut left = count;
    while left > 0 || !opening.is_empty() {
        while left > 0 && opening.len() < AT_ONCE {
            opening.spawn(follow(stage.project.client.clone(), events.to_owned()));
            left -= 1;
        }
        let Some(opened) = opening.join_next().await else { break };
        let mut stream = opened??;
        watched.spawn(async move {
            while let Some(frame) = stream.frame().await {
                frame?;
            }
            Ok(())
        });
    }
    Ok(())
}

async fn follow(client: Client, events: String) -> anyhow::Result<Incoming> {
    let request = client.request(Method::GET, &events, Bytes::new())?;
    let response = client.connect().await?.send_request(request).await?;
    ensure!(response.status().is_success(), "a follower was answered {}", response.status());
    let mut stream = response.into_body();
    until_word(&mut stream).await?;
    Ok(stream)
}

async fn until_word(stream: &mut Incoming) -> anyhow::Result<()> {
    let mut text = Vec::new();
    while let Some(frame) = stream.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
        if text.windows(DELTA.len()).any(|window| window == DELTA) {
            return Ok(());
        }
    }
    bail!("the stream ended without a word: {}", String::from_utf8_lossy(&text))
}
