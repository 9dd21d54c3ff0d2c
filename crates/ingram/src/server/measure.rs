//! What the process counts. There is one registry a process, because what counts is everywhere.

use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub(crate) type Handle = PrometheusHandle;

/// Bounds of the histograms, in seconds: from what a cached read takes to what a model takes.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

static REGISTRY: Mutex<Option<Handle>> = Mutex::new(None);

/// Starts counting, or joins what counts already in this process.
pub(crate) fn start() -> anyhow::Result<Handle> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = registry.as_ref() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new().set_buckets(&SECONDS).context("the metrics cannot be set up")?;
    let recorder = recorder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("something else measures this process already")?;
    Ok(registry.insert(handle).clone())
}
