//! How many requests a token may send a minute, where the operator has set a bound.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use domain::ids::TokenId;
use domain::{Code, Problem};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::header::HeaderValue;
use http::{Extensions, HeaderMap};

use crate::app::App;

/// After how many requests the tokens are forgotten that sent none for a while.
const FORGET_AFTER: u32 = 4_096;

/// A bucket per token. It fills evenly, so that a token may also spend a minute's worth at once.
pub(crate) struct RateLimit {
    limiter: RateLimiter<TokenId, DashMapStateStore<TokenId>, DefaultClock, StateInformationMiddleware>,
    per_minute: NonZeroU32,
    since_forgotten: AtomicU32,
}

/// Where a token stands after a request, for the answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until the bucket is full again.
    reset: u64,
}

/// Carries the standing from where the token is known to where the answer leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<OnceLock<Standing>>);

impl RateLimit {
    /// Returns None for 0: no bound.
    pub(crate) fn per_minute(requests: u32) -> Option<Self> {
        let per_minute = NonZeroU32::new(requests)?;
        let limiter = RateLimiter::dashmap(Quota::per_minute(per_minute)).with_middleware();
        Some(Self { limiter, per_minute, since_forgotten: AtomicU32::new(0) })
    }

    fn take(&self, token: TokenId) -> (Standing, Result<(), Problem>) {
        if self.since_forgotten.fetch_add(1, Ordering::Relaxed) >= FORGET_AFTER {
            self.since_forgotten.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        let limit = self.per_minute.get();
        match self.limiter.check_key(&token) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                (self.standing(remaining), Ok(()))
            }
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let seconds = u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(60);
                let message = format!("This token may send {limit} requests a minute. Retry in {seconds} s.");
                let problem = Problem::new(Code::RateLimitExceeded, message).retry_after(seconds);
                (self.standing(0), Err(problem))
            }
        }
    }

    fn standing(&self, remaining: u32) -> Standing {
        let limit = self.per_minute.get();
        let missing = u64::from(limit.saturating_sub(remaining));
        Standing { limit, remaining, reset: missing.saturating_mul(60).div_ceil(u64::from(limit)) }
    }
}

/// Counts a request of a token, or refuses it.
pub(crate) fn take_from_quota(app: &App, extensions: &Extensions, token: TokenId) -> Result<(), Problem> {
    let Some(rate_limit) = &app.shared.rate_limit else { return Ok(()) };
    let (standing, outcome) = rate_limit.take(token);
    if let Some(Tally(tally)) = extensions.get() {
        // A second look at the caller within one request finds the first standing there.
        let _ = tally.set(standing);
    }
    outcome
}

impl Tally {
    /// Writes where the token stands into an answer's head.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.0.get() else { return };
        headers.insert("x-ratelimit-limit-requests", HeaderValue::from(standing.limit));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from(standing.remaining));
        if let Ok(reset) = HeaderValue::try_from(format!("{}s", standing.reset)) {
            headers.insert("x-ratelimit-reset-requests", reset);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Id as _;

    use super::*;

    #[test]
    fn a_token_that_has_spent_its_minute_is_told_when_to_come_back() {
        let limit = RateLimit::per_minute(2).unwrap();
        let (one, other) = (TokenId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
        assert_eq!(limit.take(one).0, Standing { limit: 2, remaining: 1, reset: 30 });
        assert_eq!(limit.take(one).0, Standing { limit: 2, remaining: 0, reset: 60 });
        let (standing, outcome) = limit.take(one);
        let problem = outcome.unwrap_err();
        assert_eq!(standing.remaining, 0);
        assert_eq!(problem.code, Code::RateLimitExceeded);
        assert!((1..=31).contains(&problem.retry_after.unwrap()));
        assert!(limit.take(other).1.is_ok());
    }

    #[test]
    fn there_is_no_bound_unless_it_is_set() {
        assert!(RateLimit::per_minute(0).is_none());
    }
}
