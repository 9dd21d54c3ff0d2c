//! B15: what one run, and one step of a tool loop, asks of the database.

use std::time::Duration;

use anyhow::Context as _;

use super::{Bench, Engine, Stage, runs, steps};
use crate::load::Exchanges;
use crate::report::{Row, Verdict};
use crate::server::Project;

/// Runs that are counted one by one. The median leaves out those that house-keeping fell into.
const RUNS: usize = 11;
/// Between two looks at the counters.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    reads: u64,
    writes: u64,
    commits: u64,
}

/// Measures B15: a plain run, and a step of a tool loop on each database.
pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![plain(bench).await?];
    for engine in bench.engines()? {
        rows.push(step(bench, &engine).await?);
    }
    Ok(rows)
}

async fn plain(bench: &Bench) -> anyhow::Result<Row> {
    let stage = bench.stage().await?;
    let median = median(&stage, &runs::plain(&stage, 1).await?).await?;
    stage.server.stop()?;
    Ok(Row {
        id: "B15",
        what: "database work of one plain run: statements / commits".to_owned(),
        measured: format!(
            "{} ({} reads, {} writes) / {}",
            median.statements(),
            median.reads,
            median.writes,
            median.commits
        ),
        target: "14 / 3, and commits that carry deltas",
        // One delta is carried by one commit at most.
        verdict: Verdict::of(median.statements() <= 14 && median.commits <= 4),
        baseline: "-".to_owned(),
        others: 0.0,
        clock: "Differences of the counters in `/metrics` from before a run as in B1 until they rest after its answer, requests' \
            own look-ups (token, smith) included where the database is asked for them: the embedded one knows them from the run \
            before. The median of 11 runs on a server that has nothing else to do. \
            All commits are counted, also the one that carries the delta.",
    })
}

async fn step(bench: &Bench, engine: &Engine) -> anyhow::Result<Row> {
    let stage = bench.stage_on(engine).await?;
    let none = median(&stage, &steps::loops(&stage, 0, 1).await?).await?;
    let all = median(&stage, &steps::loops(&stage, steps::STEPS, 1).await?).await?;
    stage.server.stop()?;
    let steps = all.since(none);
    let [statements, reads, writes, commits] = [steps.statements(), steps.reads, steps.writes, steps.commits]
        .map(|count| count as f64 / f64::from(steps::STEPS));
    Ok(Row {
        id: "B15",
        what: format!("database work of one tool step, {}: statements / commits", engine.name()),
        measured: format!("{statements:.1} ({reads:.1} reads, {writes:.1} writes) / {commits:.1}"),
        target: "6 / 2",
        verdict: Verdict::of(statements <= 6.0 && commits <= 2.0),
        baseline: "-".to_owned(),
        others: 0.0,
        clock: "Counted in the same way: a tenth of the median of a run of B4 less that of a run with the same tools in which the \
            model asks for none. A step's answer is a call, which has no deltas.",
    })
}

/// Counts what runs of one smith take, one after the other.
async fn median(stage: &Stage, exchanges: &Exchanges) -> anyhow::Result<Counts> {
    let exchange = exchanges.first().context("there is no smith")?;
    // The first run of a smith reads what later ones find in memory.
    exchange.perform(&stage.project.client).await?;
    let mut before = settled(&stage.project).await?;
    let mut taken = Vec::new();
    for _ in 0..RUNS {
        exchange.perform(&stage.project.client).await?;
        let after = settled(&stage.project).await?;
        taken.push(after.since(before));
        before = after;
    }
    taken.sort_unstable_by_key(|counts| (counts.statements(), counts.commits));
    Ok(taken.get(RUNS / 2).copied().unwrap_or_default())
}

/// Reads the counters once they stand still.
async fn settled(project: &Project) -> anyhow::Result<Counts> {
    let mut last = counts(&project.metrics().await?);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = counts(&project.metrics().await?);
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

fn counts(metrics: &str) -> Counts {
    let counter = |line: &str| {
        let found = metrics.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_default()
    };
    Counts {
        reads: counter(r#"ingram_database_statements_total{kind="read"} "#),
        writes: counter(r#"ingram_database_statements_total{kind="write"} "#),
        commits: counter("ingram_database_commits_total "),
    }
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            writes: self.writes.saturating_sub(before.writes),
            commits: self.commits.saturating_sub(before.commits),
        }
    }

    fn statements(self) -> u64 {
        self.reads + self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_text_format() {
        let metrics = "# TYPE ingram_database_statements_total counter\n\
            ingram_database_statements_total{kind=\"write\"} 19\n\
            ingram_database_statements_total{kind=\"read\"} 7\n\n\
            # TYPE ingram_database_commits_total counter\ningram_database_commits_total 5\n";
        let all = counts(metrics);
        assert_eq!(all, Counts { reads: 7, writes: 19, commits: 5 });
        assert_eq!(all.since(Counts { reads: 3, writes: 9, commits: 4 }).statements(), 14);
        assert_eq!(counts(""), Counts::default());
    }
}
