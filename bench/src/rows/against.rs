//! Programs held against each other: one request of each in turn, so that whatever else happens to the machine happens to all.

use super::runs::{self, failures};
use super::{Bench, Stage};
use crate::client::Client;
use crate::latencies::Latencies;
use crate::load::{self, Exchanges, Outcome, Schedule};
use crate::report::{Row, Verdict, added_ms, ms};
use crate::server::Program;

/// Answers in one piece, a second, of each program: one in turn, and a second of each in turn.
const PER_SECOND: f64 = 50.0;
const HIGHEST: f64 = 1_000.0;

/// Measures the program and those that it is held against, and the mock without any.
pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut programs = vec![bench.program.clone()];
    for path in &bench.options.against {
        programs.push(Program::new(path.clone(), bench.program.folder().to_owned())?);
    }
    let mut stages = Vec::new();
    for program in &programs {
        stages.push(bench.stage_of(program).await?);
    }
    let (mut whole, mut streamed) = (vec![baseline(bench, false)], vec![baseline(bench, true)]);
    for stage in &stages {
        whole.push((stage.project.client.clone(), runs::plain(stage, runs::SMITHS).await?));
        streamed.push((stage.project.client.clone(), runs::streamed(stage).await?));
    }
    let per_second = bench.options.rate.unwrap_or(HIGHEST);
    let schedule = Schedule { per_second, lasting: bench.options.lasting() };
    let loaded = load::by_seconds(&whole, schedule).await?;
    let whole = in_turn(bench, &whole, PER_SECOND).await?;
    let streamed = in_turn(bench, &streamed, bench.options.stream_rate).await?;
    let names: Vec<String> = programs.iter().map(|program| program.path().display().to_string()).collect();
    let rows = [
        row("B1", format!("native run, JSON: added latency, {per_second}/s"), &names, &loaded, |load| {
            &load.whole
        }),
        row("B1", format!("the same, {PER_SECOND}/s of each"), &names, &whole, |load| &load.whole),
        row(
            "B2",
            format!("native run, stream: first token, {}/s of each", bench.options.stream_rate),
            &names,
            &streamed,
            |load| &load.first,
        ),
    ];
    for Stage { server, .. } in stages {
        server.stop()?;
    }
    Ok(rows.into_iter().flatten().collect())
}

fn baseline(bench: &Bench, stream: bool) -> (Client, Exchanges) {
    let model = if stream { "mock-100" } else { "mock-1" };
    (bench.direct.clone(), runs::direct(model, stream))
}

/// Sends as many requests to each as its own row has.
async fn in_turn(
    bench: &Bench,
    kinds: &[(Client, Exchanges)],
    per_second: f64,
) -> anyhow::Result<Vec<Outcome>> {
    let per_second = per_second * kinds.len() as f64;
    load::in_turn(kinds, Schedule { per_second, lasting: bench.options.lasting() }).await
}

/// Makes a row of each program; the first load is that of the mock alone.
fn row(
    id: &'static str,
    what: String,
    names: &[String],
    loads: &[Outcome],
    clock: fn(&Outcome) -> &Latencies,
) -> Vec<Row> {
    let Some((direct, loads)) = loads.split_first() else { return Vec::new() };
    let (direct, first) = (clock(direct), loads.first().map(clock));
    let rows = names.iter().zip(loads).map(|(name, load)| {
        let through = clock(load);
        let beyond = first.map_or_else(String::new, |first| added_ms(through.p50(), first.p50()));
        Row {
            id,
            what: format!("{what}: {name}, p50 / p99; p50 beyond the first"),
            measured: format!(
                "{} / {} ms; {beyond}{}",
                added_ms(through.p50(), direct.p50()),
                added_ms(through.p99(), direct.p99()),
                failures(load)
            ),
            target: "-",
            verdict: Verdict::of(load.failed == 0),
            baseline: format!("direct {} / {} ms", ms(direct.p50()), ms(direct.p99())),
            others: 0.0,
            clock: "The clock is that of the row of the same name. The mock and each program have their turn: with a second of \
                the high rate, with one request of the others.",
        }
    });
    rows.collect()
}
