//! Measures the server: `make bench`.
//!
//! The program under test is the release build, in a process of its own, on a fresh folder of data. The provider is a
//! mock in this process. Every row stands beside the same load on the mock directly.

mod client;
mod disk;
mod latencies;
mod load;
mod machine;
mod mock;
mod options;
mod postgres;
mod process;
mod relay;
mod report;
mod rows;
mod server;

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser as _;

use client::Client;
use mock::Mock;
use options::Options;
use postgres::Installed;
use report::ms;
use rows::Bench;
use server::Program;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse().resolved();
    if let Some(upstream) = options.relay {
        return relay::serve(upstream, &options.folder).await;
    }
    let open_files = process::raise_open_files()?;
    // Each follower has a connection, and there is some more beside them.
    if let Some(most) = open_files.filter(|most| *most < options.followers as u64 + 256) {
        say(&format!("Only {most} files may be open at once: B7 will fail. See `ulimit -Hn`."));
    }
    let program = Program::new(options.program.clone(), options.folder.clone())?;
    let mock = Mock::start().await?;
    let direct = Client::new(mock.address())?;
    let postgres = Installed::find();
    if postgres.is_none() {
        say("PostgreSQL is not installed: its rows are left out.");
    }
    let bench = Bench { options, program, mock, direct, postgres };

    let mut machine = machine::describe();
    let disk = disk::probe(bench.program.folder())?;
    machine.push((
        "append of 4 KiB and fdatasync",
        format!("p50 {} ms, p99 {} ms", ms(disk.p50()), ms(disk.p99())),
    ));
    let rows = bench.measure(|row| say(&format!("Measuring {row} …"))).await?;

    let report = report::render(&machine, &rows);
    writeln!(std::io::stdout(), "{report}")?;
    if bench.options.only.is_empty() {
        std::fs::write(&bench.options.results, report).context("the report cannot be written")?;
    }
    Ok(())
}

fn say(text: &str) {
    // Whoever closed the standard error does not want to hear of it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
