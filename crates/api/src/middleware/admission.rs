//! Who gets in: a bounded number of requests at once, and none while the server shuts down.

use std::sync::Arc;

use domain::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Counts the requests whose answer has not begun yet.
pub(crate) struct Admission(Arc<Semaphore>);

impl Admission {
    pub(crate) fn new(requests: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Lets a request in, until the returned permit is dropped.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|error| {
            let message = match error {
                TryAcquireError::NoPermits => {
                    "The server has as many requests as it can handle. Retry shortly."
                }
                TryAcquireError::Closed => "The server is shutting down. Retry shortly.",
            };
            Problem::new(Code::ServiceOverloaded, message)
        })
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_fits_is_turned_away_until_one_leaves() {
        let admission = Admission::new(1);
        let first = admission.enter().unwrap();
        let problem = admission.enter().unwrap_err();
        assert_eq!((problem.code, problem.retry_after), (Code::ServiceOverloaded, Some(1)));
        drop(first);
        assert!(admission.enter().is_ok());
    }

    #[test]
    fn nobody_gets_in_once_it_is_closed() {
        let admission = Admission::new(5);
        admission.close();
        assert_eq!(admission.enter().unwrap_err().code, Code::ServiceOverloaded);
        assert!(admission.is_closed());
    }
}
