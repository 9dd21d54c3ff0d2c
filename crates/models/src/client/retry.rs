//! How long to wait before a call is tried again.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::options::Options;

/// Returns the wait before the attempt that follows the given one (from 1).
///
/// Without a word from the provider the wait doubles with every attempt, and `jitter` takes away up to half of it, so
/// that calls that failed together are not repeated together. What the provider asks for is a least, not jittered away.
pub(crate) fn wait(options: &Options, attempt: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let longest = options.backoff_base.saturating_mul(factor).min(options.backoff_max);
    let share = 1.0 - jitter.clamp(0.0, 1.0) / 2.0;
    let own = longest.mul_f64(share);
    asked.map_or(own, |asked| asked.max(own).min(options.backoff_max))
}

/// Reads how long a provider asks to be left alone: `retry-after-ms` of OpenAI, or `Retry-After` in seconds.
///
/// A date is not read: it would have to be held against a clock that need not agree with the provider's.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let number = |value: &http::HeaderValue| value.to_str().ok()?.trim().parse::<f64>().ok();
    let milliseconds = headers.get("retry-after-ms").and_then(number).map(|wait| wait / 1_000.0);
    let seconds = milliseconds.or_else(|| headers.get(RETRY_AFTER).and_then(number))?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5),
            ..Options::default()
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let waits: Vec<_> =
            [1, 2, 3, 4, 40].map(|attempt| wait(&options(), attempt, None, 0.0).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(wait(&options(), 2, None, 0.5), Duration::from_millis(1_500));
        assert!(wait(&options(), 2, None, 1.0) >= Duration::from_secs(1));
    }

    #[test]
    fn the_provider_is_heard_within_the_bound() {
        assert_eq!(wait(&options(), 1, Some(Duration::from_secs(3)), 0.9), Duration::from_secs(3));
        assert_eq!(wait(&options(), 1, Some(Duration::from_secs(60)), 0.0), Duration::from_secs(5));
        assert_eq!(wait(&options(), 1, Some(Duration::ZERO), 0.0), Duration::from_secs(1));
    }

    #[test]
    fn the_wait_that_is_asked_for_is_read_from_the_headers() {
        let check = |name: &'static str, value: &str, expected| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(asked(&headers), expected, "{name}: {value}");
        };
        check("retry-after", "2", Some(Duration::from_secs(2)));
        check("retry-after-ms", "250", Some(Duration::from_millis(250)));
        check("retry-after", "-1", None);
        check("retry-after", "1e300", None);
        check("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", None);
    }
}
