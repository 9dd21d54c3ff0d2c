//! What the system knows about processes.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the bytes of memory that a process holds.
///
/// From `smaps_rollup`, which is exact; the counters in `status` lag behind by some pages per core.
pub(crate) fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    kilobytes(&text, "Rss:").with_context(|| format!("{file} has no Rss"))
}

/// Returns the seconds of a core that a process has used.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let file = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    let ticks = ticks(&text, 2).with_context(|| format!("{file} has no times"))?;
    Ok(seconds(ticks))
}

/// A watch on what the machine does for others than this process and the children that it has waited for.
pub(crate) struct Others {
    start: Instant,
    used: f64,
}

impl Others {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { start: Instant::now(), used: Self::used()? })
    }

    /// Returns the cores that others have used on average. Children must have been waited for.
    pub(crate) fn cores(&self) -> anyhow::Result<f64> {
        Ok(((Self::used()? - self.used) / self.start.elapsed().as_secs_f64()).max(0.0))
    }

    fn used() -> anyhow::Result<f64> {
        let machine = busy_ticks(&fs::read_to_string("/proc/stat")?).context("/proc/stat has no times")?;
        let own = fs::read_to_string("/proc/self/stat")?;
        let own = ticks(&own, 4).context("/proc/self/stat has no times")?;
        Ok(seconds(machine) - seconds(own))
    }
}

/// Finds a size that a file of `/proc` gives in kilobytes, in bytes.
pub(crate) fn kilobytes(text: &str, label: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(label))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Raises the number of files that this process and those it starts may have open, as far as the system lets it.
pub(crate) fn raise_open_files() -> anyhow::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Sums the first so many of utime, stime, cutime, cstime.
fn ticks(stat: &str, count: usize) -> Option<u64> {
    // The name of the program comes first, in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let times: Vec<u64> = fields.split_whitespace().skip(11).take(count).flat_map(str::parse).collect();
    (times.len() == count).then(|| times.iter().sum())
}

/// Sums user, nice, system, irq and softirq of all cores.
fn busy_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = all.split_whitespace().flat_map(str::parse).collect();
    let [user, nice, system, _idle, _waiting, irq, softirq, ..] = times.as_slice() else { return None };
    Some(user + nice + system + irq + softirq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_given_in_kilobytes() {
        assert_eq!(kilobytes("Pss:  1 kB\nRss:                1028 kB\n", "Rss:"), Some(1028 * 1024));
        assert_eq!(kilobytes("Rss: 12\n", "Rss:"), None);
        assert_eq!(kilobytes("", "Rss:"), None);
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) (b 1) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 5 6";
        assert_eq!(ticks(stat, 2), Some(120));
        assert_eq!(ticks(stat, 4), Some(127));
        assert_eq!(ticks("7 (a) S 1", 2), None);
    }

    #[test]
    fn idle_and_waiting_are_no_work() {
        assert_eq!(busy_ticks("cpu  1 2 3 4000 5000 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1\n"), Some(19));
        assert_eq!(busy_ticks("intr 1\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_worked() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(Others::start().unwrap().cores().unwrap() >= 0.0);
    }
}
