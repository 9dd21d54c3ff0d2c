//! B1 and B2 of the OpenAI surface: what its dialects cost beyond the native surface.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Bench, Stage, runs};
use crate::client::Exchange;
use crate::latencies::Latencies;
use crate::load::{self, Exchanges, Outcome, Schedule};
use crate::report::{Row, Verdict, added_ms, milliseconds, ms};
use crate::server::external_id;

/// Answers in one piece, a second, of all surfaces together.
const PER_SECOND: f64 = 100.0;
/// In milliseconds.
const LONGEST: f64 = 0.2;

/// Measures both rows.
pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let stage = bench.stage().await?;
    let whole = [
        runs::plain(&stage, runs::SMITHS).await?,
        chats("mock-1", None),
        responses("mock-1", r#""object":"response""#, r#""status":"completed""#, false),
    ];
    let whole = in_turn(bench, &stage, whole, PER_SECOND).await?;
    let streamed = [
        runs::streamed(&stage).await?,
        chats("mock-100", Some("[DONE]")),
        responses("mock-100", "event: response.output_text.delta", "event: response.completed", true),
    ];
    let streamed = in_turn(bench, &stage, streamed, bench.options.stream_rate).await?;
    stage.server.stop()?;
    let first = row(
        "B1",
        format!("chat completion / response, JSON, beyond a native run, open loop {PER_SECOND}/s, p50"),
        whole.each_ref().map(|load| &load.whole),
        "B1 at a low rate, and the same turn as a chat completion and as a response, whose smith is named by `user`: one \
         request of each in turn, for three times the seconds. Each is the median less that of the native run. The clock is that of B1.",
    );
    let second = row(
        "B2",
        format!(
            "chat completion / response, first token, beyond a native run, open loop {}/s, p50",
            bench.options.stream_rate
        ),
        streamed.each_ref().map(|load| &load.first),
        "B2, and the same turn as a streamed chat completion and a streamed response, one of each in turn, for three times the \
         seconds. The clock stops at the first chunk with text, and at the first `response.output_text.delta`.",
    );
    let failed = |loads: &[Outcome]| loads.iter().map(|load| load.failed).sum::<usize>();
    Ok(vec![mark(first, failed(&whole)), mark(second, failed(&streamed))])
}

/// Sends as many requests to each surface as the rows of the native one have altogether.
async fn in_turn(
    bench: &Bench,
    stage: &Stage,
    surfaces: [Exchanges; 3],
    per_second: f64,
) -> anyhow::Result<[Outcome; 3]> {
    let schedule = Schedule { per_second, lasting: 3 * bench.options.lasting() };
    let kinds = surfaces.map(|surface| (stage.project.client.clone(), surface));
    let outcomes = load::in_turn(&kinds, schedule).await?;
    outcomes.try_into().map_err(|_| anyhow::anyhow!("a kind of request is missing"))
}

fn row(
    id: &'static str,
    what: String,
    [native, chat, response]: [&Latencies; 3],
    clock: &'static str,
) -> Row {
    let native = native.p50();
    let beyond = |surface: &Latencies| milliseconds(surface.p50()) - milliseconds(native);
    Row {
        id,
        what,
        measured: format!("{} / {} ms", added_ms(chat.p50(), native), added_ms(response.p50(), native)),
        target: "+0.2 ms",
        verdict: Verdict::of(beyond(chat) <= LONGEST && beyond(response) <= LONGEST),
        baseline: format!("native {} ms", ms(native)),
        others: 0.0,
        clock,
    }
}

fn mark(row: Row, failed: usize) -> Row {
    if failed == 0 {
        return row;
    }
    Row { measured: format!("{}, {failed} FAILED", row.measured), verdict: Verdict::of(false), ..row }
}

/// Requests of the smiths that [`runs::plain`] and [`runs::streamed`] have made.
fn of_smiths(path: &str, model: &str, body: &Value, first: &'static str, done: &'static str) -> Exchanges {
    let exchange = |number| {
        let mut body = body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("user".to_owned(), external_id(model, number).into());
        }
        Exchange { path: path.to_owned(), body: Bytes::from(body.to_string()), first, done }
    };
    (0..runs::SMITHS).map(exchange).collect()
}

/// Chat completions; as streams that end with `end` if one is given.
fn chats(model: &str, end: Option<&'static str>) -> Exchanges {
    let said = json!([{ "role": "user", "content": "Say one word." }]);
    let body = json!({ "model": "", "stream": end.is_some(), "messages": said });
    // The first chunk opens the message, with a text that is empty.
    let (first, done) =
        end.map_or(("choices", r#""finish_reason":"stop""#), |end| (r#""delta":{"content":"#, end));
    of_smiths("/v1/chat/completions", model, &body, first, done)
}

fn responses(model: &str, first: &'static str, done: &'static str, stream: bool) -> Exchanges {
    let body = json!({ "model": "", "stream": stream, "input": "Say one word." });
    of_smiths("/v1/responses", model, &body, first, done)
}
