//! What the figures were measured on: nothing that names the machine or its user.

use std::fs;
use std::process::Command;

use crate::process::kilobytes;

/// The machine and the code, in lines for a report.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("date", today()),
        ("commit", commit()),
        ("cores", format!("{cores} ({})", processor())),
        ("memory", memory()),
        ("kernel", read("/proc/sys/kernel/ostype") + " " + &read("/proc/sys/kernel/osrelease")),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a report carries its date, and nothing depends on it")]
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let is_clean = git(&["status", "--porcelain", "--", "crates", "Cargo.lock"])
        .is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { commit + " with changes on top" }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = kilobytes(&text, "MemTotal:").unwrap_or_default();
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_about_the_machine_says_something() {
        for (name, value) in describe() {
            assert!(!value.trim().is_empty(), "{name}");
        }
    }
}
