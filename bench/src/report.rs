//! The table of results, as text that is also Markdown.

use std::fmt::Write as _;
use std::time::Duration;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Such as `B1`.
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) target: &'static str,
    pub(crate) verdict: Verdict,
    /// The same without the server, or what else the figure is to be held against.
    pub(crate) baseline: String,
    /// Cores that other processes used meanwhile, on average.
    pub(crate) others: f64,
    /// Where the clock starts and stops, and whatever else is needed to understand the figure.
    pub(crate) clock: &'static str,
}

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
}

impl Verdict {
    pub(crate) fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "no",
        }
    }
}

/// Writes the report.
pub(crate) fn render(machine: &[(&'static str, String)], rows: &[Row]) -> String {
    let mut text = "# Results of the benchmarks\n\nWritten by `make bench`. Durability is on in every row. \
        Others: the cores that other processes used meanwhile; much above zero, and a row says little.\n\n"
        .to_owned();
    for (name, value) in machine {
        let _ = writeln!(text, "- {name}: {value}");
    }
    text.push('\n');
    text.push_str(&table(rows));
    text.push_str("\n## What was measured\n\n");
    for (number, row) in rows.iter().enumerate() {
        // Rows that differ in their database only are explained once.
        let is_told = rows.iter().take(number).any(|earlier| earlier.clock == row.clock);
        if !is_told {
            let _ = writeln!(text, "- **{}** {}", row.id, row.clock);
        }
    }
    text
}

fn table(rows: &[Row]) -> String {
    let head = ["", "workload", "measured", "first target", "met", "baseline", "others"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        [
            row.id.to_owned(),
            row.what.clone(),
            row.measured.clone(),
            row.target.to_owned(),
            row.verdict.as_str().to_owned(),
            row.baseline.clone(),
            format!("{:.2}", row.others),
        ]
    }));
    let mut widths = [3; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("| {cell:<width$} "));
        let _ = writeln!(text, "{}|", cells.collect::<String>());
        if number == 0 {
            let rules = widths.map(|width| format!("| {} ", "-".repeat(width)));
            let _ = writeln!(text, "{}|", rules.concat());
        }
    }
    text
}

/// Writes a duration in milliseconds, with as many digits as matter.
pub(crate) fn ms(duration: Duration) -> String {
    digits(milliseconds(duration))
}

/// Writes how much longer one duration is than another, in milliseconds.
pub(crate) fn added_ms(through: Duration, direct: Duration) -> String {
    let added = milliseconds(through) - milliseconds(direct);
    let sign = if added < 0.0 { "-" } else { "+" };
    format!("{sign}{}", digits(added.abs()))
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Writes bytes in units of a million.
pub(crate) fn megabytes(bytes: u64) -> String {
    digits(bytes as f64 / 1e6)
}

fn digits(value: f64) -> String {
    let decimals = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_matter() {
        assert_eq!(ms(Duration::from_micros(79)), "0.08");
        assert_eq!(ms(Duration::from_micros(12_345)), "12.3");
        assert_eq!(ms(Duration::from_millis(1_234)), "1234");
        assert_eq!(added_ms(Duration::from_micros(1_500), Duration::from_micros(300)), "+1.20");
        assert_eq!(added_ms(Duration::from_micros(300), Duration::from_micros(1_500)), "-1.20");
        assert_eq!(megabytes(20_480_000), "20.5");
    }

    #[test]
    fn a_report_is_a_table_that_reads_well_as_text() {
        let row = |id, measured: &str, clock| Row {
            id,
            what: "something".to_owned(),
            measured: measured.to_owned(),
            target: "1 ms",
            verdict: Verdict::of(id == "B1"),
            baseline: "-".to_owned(),
            others: 0.25,
            clock,
        };
        let machine = [("cores", "2".to_owned())];
        let expected = "\
# Results of the benchmarks

Written by `make bench`. Durability is on in every row. Others: the cores that other processes used meanwhile; much above zero, and a row says little.

- cores: 2

|     | workload  | measured | first target | met | baseline | others |
| --- | --------- | -------- | ------------ | --- | -------- | ------ |
| B1  | something | 0.5 ms   | 1 ms         | yes | -        | 0.25   |
| B2  | something | 2 ms     | 1 ms         | no  | -        | 0.25   |
| B2  | something | 3 ms     | 1 ms         | no  | -        | 0.25   |

## What was measured

- **B1** From here to there.
- **B2** From there to here.
";
        let rows = [
            row("B1", "0.5 ms", "From here to there."),
            row("B2", "2 ms", "From there to here."),
            row("B2", "3 ms", "From there to here."),
        ];
        assert_eq!(render(&machine, &rows), expected);
    }
}
