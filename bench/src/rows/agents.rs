//! B16: what an agent with many smiths costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::Bench;
use crate::client::Client;
use crate::latencies::Latencies;
use crate::report::{Row, Verdict, milliseconds, ms};

/// Smiths that are made at the same time.
const MAKERS: usize = 64;
/// Publications, each with its rollout, and pages of each kind.
const ROUNDS: usize = 50;
const LARGEST_PAGE: usize = 200;
/// In milliseconds.
const LONGEST: f64 = 50.0;

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Row> {
    let stage = bench.stage().await?;
    let (client, smiths) = (&stage.project.client, bench.options.smiths);
    let agent = client.json(Method::POST, "/v1/agents", &json!({ "name": "Bench" })).await?;
    let agent = text(&agent, "/id")?;
    let path = format!("/v1/agents/{agent}");
    publish(client, &path).await?;
    let body = json!({ "agent_id": agent });
    stream::iter(0..smiths)
        .map(|_| client.json(Method::POST, "/v1/smiths", &body))
        .buffer_unordered(MAKERS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let pages = format!("/v1/smiths?agent_id={agent}");
    let middle = middle(client, &pages, smiths / 2).await?;

    let (mut changes, mut first, mut half_way) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let version = publish(client, &path).await?;
        client.json(Method::POST, &format!("{path}/rollout"), &json!({ "version": version })).await?;
        changes.push(start.elapsed());
        first.push(timed(client, &pages).await?);
        half_way.push(timed(client, &format!("{pages}&cursor={middle}")).await?);
    }
    stage.server.stop()?;
    let [changes, first, half_way] = [changes, first, half_way].map(Latencies::from_iter);
    let all = [&changes, &first, &half_way];
    let shown = all.map(|latencies| format!("{} / {}", ms(latencies.p50()), ms(latencies.p99())));
    Ok(Row {
        id: "B16",
        what: format!(
            "an agent with {smiths} smiths: publish and rollout; first page of its smiths; a page from their middle; p50 / p99"
        ),
        measured: format!("{} ms", shown.join("; ")),
        target: "50 ms each",
        verdict: Verdict::of(all.iter().all(|latencies| milliseconds(latencies.p99()) < LONGEST)),
        baseline: "-".to_owned(),
        others: 0.0,
        clock: "`POST /v1/agents/{id}/versions` and then `…/rollout` of that version to all smiths: the clock starts before the first \
            request and stops after the last byte of the second answer. Pages are `GET /v1/smiths?agent_id=…` of 50, the \
            second behind half of all smiths. 50 of each, one after the other, on a server that has nothing else to do. \
            Measured with `--full` or by name only.",
    })
}

/// Publishes the draft and returns the number of the version.
async fn publish(client: &Client, agent: &str) -> anyhow::Result<Value> {
    let version = client.json(Method::POST, &format!("{agent}/versions"), &json!({})).await?;
    version.get("version").cloned().context("a version without a number")
}

/// Walks to the middle of a list and returns the cursor that leads on from there.
async fn middle(client: &Client, pages: &str, smiths: usize) -> anyhow::Result<String> {
    let mut path = format!("{pages}&limit={LARGEST_PAGE}");
    let mut cursor = String::new();
    for _ in 0..(smiths / LARGEST_PAGE).max(1) {
        let page = client.json(Method::GET, &path, &json!({})).await?;
        cursor = text(&page, "/next_cursor")?;
        path = format!("{pages}&limit={LARGEST_PAGE}&cursor={cursor}");
    }
    Ok(cursor)
}

async fn timed(client: &Client, path: &str) -> anyhow::Result<Duration> {
    let start = Instant::now();
    client.text(Method::GET, path, bytes::Bytes::new()).await?;
    Ok(start.elapsed())
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("an answer without {pointer}"))
}
