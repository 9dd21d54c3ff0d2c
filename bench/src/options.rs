//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Measures the release build of the server against a mock provider, with durability on, and reports in a table.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/release/ingram")]
    pub(crate) program: PathBuf,
    /// Where the servers' data lie while they run. Choose a folder on the disk that is to be measured.
    #[arg(long, default_value = "target/bench")]
    pub(crate) folder: PathBuf,
    /// Where the report is written, unless only some rows are measured.
    #[arg(long, default_value = "bench/RESULTS.md")]
    pub(crate) results: PathBuf,
    /// Measure only these rows, such as B1,B7, and write no report. `dialect`: B1 and B2 of the OpenAI surface.
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    pub(crate) only: Vec<String>,
    /// Measure nothing but B1, at `--rate` (1000) and at a low one, and B2, of the program and of these in turn.
    #[arg(long, value_delimiter = ',', value_name = "PROGRAMS", conflicts_with = "only")]
    pub(crate) against: Vec<PathBuf>,
    /// Requests a second of B1. Without it: half of what B3 finds to be possible, and 1000 at most.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds that each load lasts.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Streams a second of B2, of 100 chunks each.
    #[arg(long, default_value_t = 20.0)]
    pub(crate) stream_rate: f64,
    /// Connections of the closed loop of B3.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Idle followers of B7.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) followers: usize,
    /// Seconds for which the idle followers are watched. A comment is sent to each every 15.
    #[arg(long, default_value_t = 30)]
    pub(crate) idle_seconds: u64,
    /// Starts of each kind in B11.
    #[arg(long, default_value_t = 20)]
    pub(crate) starts: usize,
    /// Smiths of the agent of B16.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) smiths: usize,
    /// Be the relay before this mock, and measure nothing.
    #[arg(long, hide = true)]
    pub(crate) relay: Option<SocketAddr>,
    /// Measure as the targets are stated: B1 with 1000 a second for 30 seconds, B7 with 9000 followers, and B16.
    #[arg(long)]
    pub(crate) full: bool,
}

impl Options {
    /// Fills in what `--full` means.
    pub(crate) fn resolved(mut self) -> Self {
        if self.full {
            self.rate.get_or_insert(1_000.0);
            self.seconds = 30;
            self.followers = 9_000;
        }
        if !self.against.is_empty() {
            self.only = vec!["against".to_owned()];
        }
        self
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        // It takes minutes to make so many smiths.
        let is_usual = row != "against" && (self.full || row != "B16");
        (self.only.is_empty() && is_usual) || self.only.iter().any(|only| only.eq_ignore_ascii_case(row))
    }

    pub(crate) fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn all_rows_are_wanted_unless_some_are_named() {
        assert!(Options::parse_from(["bench"]).wants("B7"));
        let some = Options::parse_from(["bench", "--only", "b1,B7"]);
        assert!(some.wants("B1") && some.wants("B7") && !some.wants("B3"));
        assert!(!Options::parse_from(["bench"]).wants("B16"));
        assert!(Options::parse_from(["bench", "--full"]).wants("B16"));
        assert!(Options::parse_from(["bench", "--only", "b16"]).wants("B16"));
    }

    #[test]
    fn programs_are_held_against_each_other_and_nothing_else_is_measured() {
        let options = Options::parse_from(["bench", "--against", "old,older"]).resolved();
        assert!(options.wants("against") && !options.wants("B2"));
        assert!(!Options::parse_from(["bench", "--full"]).resolved().wants("against"));
    }

    #[test]
    fn a_full_measurement_is_that_of_the_targets() {
        let full = Options::parse_from(["bench", "--full", "--rate", "300"]).resolved();
        assert_eq!((full.rate, full.seconds, full.followers), (Some(300.0), 30, 9_000));
        assert_eq!(Options::parse_from(["bench"]).resolved().rate, None);
    }
}
