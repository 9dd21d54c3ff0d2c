//! B11: from nothing to the first answer.

use super::Bench;
use crate::latencies::Latencies;
use crate::report::{Row, Verdict, milliseconds, ms};

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Row> {
    let (mut first, mut again, mut version) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.options.starts.max(1) {
        version.push(bench.program.version()?);
        let data = bench.program.data()?;
        for kind in [&mut first, &mut again] {
            let server = bench.program.start(&data)?;
            kind.push(server.started_in());
            server.stop()?;
        }
    }
    let [first, again, version] = [first, again, version].map(Latencies::from_iter);
    Ok(Row {
        id: "B11",
        what: format!("cold start, existing empty database / first start, p50 of {}", first.count()),
        measured: format!("{} / {} ms", ms(again.p50()), ms(first.p50())),
        target: "50 ms (existing)",
        verdict: Verdict::of(milliseconds(again.p50()) < 50.0),
        baseline: format!("`--version` {} ms", ms(version.p50())),
        others: 0.0,
        clock: "The clock starts before the process is made and stops when `/health` has answered 200, asked for every 0.1 ms. A \
            first start makes the folder, the keys and the schema; the existing database is the one that it left. The \
            baseline is the program printing its version.",
    })
}
