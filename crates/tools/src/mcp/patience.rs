//! How long an exchange may take.

use std::time::Duration;

use tokio::time::Instant;

/// A deadline that signs of progress put off, up to an end that nothing puts off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    until: Instant,
    end: Instant,
    silence: Duration,
}

impl Patience {
    /// Waits so long in all.
    pub(crate) fn of(total: Duration) -> Self {
        Self::with_progress(total, total)
    }

    /// Waits for `silence` after every sign of progress, and for `total` in all.
    pub(crate) fn with_progress(silence: Duration, total: Duration) -> Self {
        let end = after(total);
        Self { until: after(silence).min(end), end, silence }
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// Begins the wait anew.
    pub(crate) fn extend(&mut self) {
        self.until = after(self.silence).min(self.end);
    }

    /// Returns a patience that leaves most of the time for what comes after it.
    pub(crate) fn third(&self) -> Self {
        let left = self.until.saturating_duration_since(Instant::now());
        Self::of(left / 3)
    }
}

fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    // Options read from a file are bounded; those built by hand may not be.
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_puts_the_deadline_off_but_not_beyond_the_end() {
        let mut patience = Patience::with_progress(Duration::from_secs(60), Duration::from_secs(90));
        let first = patience.until();
        patience.extend();
        assert!(patience.until() >= first && patience.until() < patience.end);
        patience.silence = Duration::from_secs(600);
        patience.extend();
        assert_eq!(patience.until(), patience.end);
    }

    #[test]
    fn a_wait_beyond_the_clock_is_a_long_wait() {
        assert!(Patience::of(Duration::MAX).until() > Instant::now());
    }
}
