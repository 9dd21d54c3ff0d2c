//! Failures of runs as errors of the requests that wait for them.

use domain::{Code, Problem};
use store::runs::RunError;

/// Tells why a run failed. That a provider is down is no fault of the request.
pub(crate) fn failed(error: &RunError) -> Problem {
    let problem = Problem::new(error.code, &*error.message);
    if error.transient && error.code == Code::ModelRequestFailed { problem.with_status(502) } else { problem }
}
