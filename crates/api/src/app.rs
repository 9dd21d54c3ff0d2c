//! What handlers share.

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use metrics_exporter_prometheus::PrometheusHandle;
use moka::sync::Cache;
use store::Store;
use tokio::sync::Semaphore;
use tools::Tools;
use vault::{Ids, Verified};

use crate::middleware::{Admission, RateLimit};
use crate::options::Options;

/// How many checked signatures are kept at hand.
const SIGNATURES: u64 = 20_000;

/// The state of the HTTP side. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) tools: Tools,
    pub(crate) ids: Ids,
    pub(crate) options: Arc<Options>,
    pub(crate) shared: Arc<Shared>,
}

/// What the routes themselves have no business with.
pub(crate) struct Shared {
    /// Tokens whose signature was checked, by their hash.
    pub(crate) signatures: Cache<[u8; 32], Arc<Verified>>,
    pub(crate) admission: Admission,
    /// What is done outside of the database under a key, and goes on when its request has gone.
    pub(crate) outside: Admission,
    pub(crate) rate_limit: Option<RateLimit>,
    /// Archives that may be made at once.
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) metrics: PrometheusHandle,
}

impl App {
    /// Puts the state together. `metrics` renders what the process has counted.
    pub fn new(engine: Engine, options: Options, metrics: PrometheusHandle) -> Self {
        let store = engine.store().clone();
        let signatures = Cache::builder()
            .max_capacity(SIGNATURES)
            .time_to_live(Duration::from_secs(options.signature_cache_seconds))
            .build();
        let shared = Shared {
            signatures,
            admission: Admission::new(options.max_requests),
            outside: Admission::new(options.max_requests),
            rate_limit: RateLimit::per_minute(options.requests_per_minute),
            exports: Arc::new(Semaphore::new(options.max_exports.min(Semaphore::MAX_PERMITS))),
            metrics,
        };
        Self {
            ids: store.ids().clone(),
            store,
            tools: engine.tools().clone(),
            engine,
            options: Arc::new(options),
            shared: Arc::new(shared),
        }
    }

    /// Refuses requests from now on: the server shuts down. What was admitted goes on.
    pub fn drain(&self) {
        self.shared.admission.close();
        self.shared.outside.close();
    }
}
