//! What was measured, in order, so that percentiles are exact.

use std::time::Duration;

/// Durations of one kind.
///
/// All are kept: the longest measurement has a few million, which is less memory than it is worth to approximate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Returns the duration that this share of all are not longer than (0.5: the median). Zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let count = self.sorted.len();
        let rank = (share * count as f64).ceil() as usize;
        self.sorted.get(rank.clamp(1, count.max(1)) - 1).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        milliseconds.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_quantile_is_a_duration_that_was_measured() {
        let hundred = of((1..=100).rev());
        assert_eq!(hundred.p50(), Duration::from_millis(50));
        assert_eq!(hundred.p99(), Duration::from_millis(99));
        assert_eq!(hundred.quantile(0.0), Duration::from_millis(1));
        assert_eq!(hundred.quantile(1.0), Duration::from_millis(100));
        assert_eq!(of([7]).p99(), Duration::from_millis(7));
        assert_eq!(of([1, 2, 3]).p50(), Duration::from_millis(2));
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert_eq!(of([]).p99(), Duration::ZERO);
    }
}
