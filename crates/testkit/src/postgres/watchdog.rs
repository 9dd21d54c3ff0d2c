//! The process that removes the cluster when nobody has used it for a while.
//!
//! It is a shell script, because it must outlive every test process and a library has no program of its own to start.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

const SCRIPT: &str = include_str!("watchdog.sh");

/// How long nobody must have used the cluster before it is removed.
const IDLE_SECONDS: &str = "20";

/// Starts a watchdog over the cluster unless one is there. Must be called under `start.lock`.
pub(super) fn ensure(state: &Path) -> Result<()> {
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(state.join("watchdog.lock"))?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    drop(lock);
    // A group of its own: what kills a test that hangs, or Ctrl-C on the test run, must not kill the watchdog.
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "testkit-postgres-watchdog"])
        .arg(state)
        .arg(IDLE_SECONDS)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the watchdog of the test cluster")?;
    Ok(())
}
