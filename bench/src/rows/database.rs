//! B15: what one run asks of the database.

use std::time::Duration;

use anyhow::Context as _;

use super::{Bench, runs};
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

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Row> {
    let stage = bench.stage().await?;
    let exchanges = runs::plain(&stage, 1).await?;
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
    stage.server.stop()?;
    taken.sort_unstable_by_key(|counts| (counts.statements(), counts.commits));
    let median = taken.get(RUNS / 2).copied().unwrap_or_default();
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
            own look-ups (token, smith) included; the median of 11 runs on a server that has nothing else to do. \
            All commits are counted, also the one that carries the delta.",
    })
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
