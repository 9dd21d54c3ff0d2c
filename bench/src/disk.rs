//! How long the disk takes to keep something.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::latencies::Latencies;

/// About what one small commit appends.
const BYTES: [u8; 4096] = [7; 4096];
const MOST: usize = 2_000;
const LONGEST: Duration = Duration::from_secs(2);

/// Appends and calls `fdatasync`, over and over, in a folder.
pub(crate) fn probe(folder: &Path) -> anyhow::Result<Latencies> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    let start = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < MOST && start.elapsed() < LONGEST {
        let before = Instant::now();
        file.write_all(&BYTES)?;
        file.sync_data()?;
        taken.push(before.elapsed());
    }
    Ok(taken.into_iter().collect())
}
