//! B4: what a step of a tool loop costs.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Bench, Engine, Stage, runs};
use crate::client::Exchange;
use crate::load::{self, Exchanges, Outcome, Schedule};
use crate::mock;
use crate::report::{Row, Verdict, added_ms, milliseconds, ms};

/// Steps of a loop.
pub(super) const STEPS: u32 = 10;
/// Loops a second: each keeps a core busy for some hundredths of a second.
const PER_SECOND: f64 = 10.0;
const SMITHS: usize = 16;
/// In milliseconds.
const LONGEST: f64 = 1.0;

/// Measures B4 on each database.
pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let steps = f64::from(STEPS) + 1.0;
    let schedule = Schedule { per_second: PER_SECOND * steps, lasting: bench.options.lasting() };
    let direct = load::open(&bench.direct, &conversation(), schedule).await?;
    let mut rows = Vec::new();
    for engine in bench.engines()? {
        rows.push(on(bench, &engine, &direct).await?);
    }
    Ok(rows)
}

async fn on(bench: &Bench, engine: &Engine, direct: &Outcome) -> anyhow::Result<Row> {
    let stage = bench.stage_on(engine).await?;
    let schedule = Schedule { per_second: PER_SECOND, lasting: bench.options.lasting() };
    let client = &stage.project.client;
    let none = load::open(client, &loops(&stage, 0, SMITHS).await?, schedule).await?;
    let all = load::open(client, &loops(&stage, STEPS, SMITHS).await?, schedule).await?;
    stage.server.stop()?;
    let step = all.whole.p50().saturating_sub(none.whole.p50()) / STEPS;
    let mock = direct.whole.p50();
    let failed = all.failed + none.failed + direct.failed;
    Ok(Row {
        id: "B4",
        what: format!(
            "a step of a tool loop, {STEPS} steps of a tool in the process, {}, open loop {PER_SECOND}/s, {} s",
            engine.name(),
            bench.options.seconds
        ),
        measured: format!(
            "{} ms a step; p99 of a loop {} ms{}{}",
            added_ms(step, mock),
            ms(all.whole.p99()),
            runs::failures(&none),
            runs::failures(&all)
        ),
        target: "+1 ms a step",
        verdict: Verdict::of(milliseconds(step) - milliseconds(mock) < LONGEST && failed == 0),
        baseline: format!(
            "direct {} ms a step; a loop {} ms, without steps {} ms",
            ms(mock),
            ms(all.whole.p50()),
            ms(none.whole.p50())
        ),
        others: 0.0,
        clock: "Runs as in B1, of a model that asks for `calculate` ten times, one call an answer, and then says a word. The clock \
            starts when the request is due and stops at the last byte of the record of the completed run. A step is a \
            tenth of the median of such a run less that of a run with the same tools in which the model asks for none; \
            added is that less the median of the mock's own share: the same requests, streamed, sent directly to it.",
    })
}

/// Runs in which the model asks for a tool in the process so many times.
pub(super) async fn loops(stage: &Stage, steps: u32, smiths: usize) -> anyhow::Result<Exchanges> {
    let tools = json!({ "enabled_hosted_tools": ["calculator"] });
    let paths = stage.project.smiths_with(&format!("mock-calculate-{steps}"), tools, smiths).await?;
    Ok(runs::at_rest(paths))
}

/// The requests of a loop, at the mock, with nothing between.
fn conversation() -> Exchanges {
    (0..=STEPS).map(|results| request(&format!("mock-calculate-{STEPS}"), results, "call_0")).collect()
}

/// A request of a model that has seen so many results of calls, each of which has this id.
pub(super) fn request(model: &str, results: u32, call: &str) -> Exchange {
    let mut messages = vec![json!({ "role": "user", "content": "Say one word." })];
    for _ in 0..results {
        let function = json!({ "name": "calculate", "arguments": r#"{"expression":"6 * 7"}"# });
        messages.push(json!({ "role": "assistant", "content": Value::Null,
            "tool_calls": [{ "id": call, "type": "function", "function": function }] }));
        let result = r#"{"result":"42","exact":true}"#;
        messages.push(json!({ "role": "tool", "tool_call_id": call, "content": result }));
    }
    let body = json!({ "model": model, "stream": true, "messages": messages });
    let path = mock::PATH.to_owned();
    Exchange { path, body: Bytes::from(body.to_string()), first: "data:", done: "[DONE]" }
}
