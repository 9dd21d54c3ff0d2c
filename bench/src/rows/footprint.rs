//! B12 with the load of B1 in it: what the program takes on disk and in memory.

use std::time::Duration;

use super::{Bench, runs};
use crate::process;
use crate::report::{Row, Verdict, megabytes};

/// After which a server that has started has nothing more to do.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) async fn measure(bench: &Bench, ceiling: Option<f64>) -> anyhow::Result<Vec<Row>> {
    let data = bench.program.data()?;
    let idle = {
        let server = bench.program.start(&data)?;
        tokio::time::sleep(SETTLED).await;
        let idle = process::resident_bytes(server.id())?;
        server.stop()?;
        idle
    };
    let stage = bench.stage().await?;
    let added = runs::added(bench, &stage, ceiling).await?;
    tokio::time::sleep(SETTLED).await;
    let after = process::resident_bytes(stage.server.id())?;
    stage.server.stop()?;
    let size = std::fs::metadata(bench.program.path())?.len();
    let footprint = Row {
        id: "B12",
        what: "size of the binary / resident memory idle / after B1".to_owned(),
        measured: format!("{} / {} / {} MB", megabytes(size), megabytes(idle), megabytes(after)),
        target: "40 / 40 / 100 MB",
        verdict: Verdict::of(size <= 40_000_000 && idle <= 40_000_000 && after <= 100_000_000),
        baseline: "-".to_owned(),
        others: 0.0,
        clock: "The release build with its symbols stripped. Memory is Rss of `/proc/<id>/smaps_rollup`: two seconds after a \
            first start that nobody has used, and two seconds after the last answer of B1 on another.",
    };
    Ok(vec![added, footprint])
}
