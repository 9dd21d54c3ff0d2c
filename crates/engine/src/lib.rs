//! The running of runs: lanes, the driver around the machine, streams and their followers, recovery.
//!
//! Knows no HTTP. Whoever holds an [`Engine`] can start, follow and cancel runs; [`Engine::run`] keeps them going until the
//! server shuts down.

mod attachments;
mod cancel;
mod context;
mod driver;
mod follow;
mod hub;
pub mod keys;
mod options;
mod recover;
mod start;
mod structured;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::ids::RunId;
use domain::run::Limits;
use models::Models;
use store::Store;
use store::runs::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use follow::{Follower, Mode};
pub use hub::Published;
pub use options::Options;
pub use start::{StartRun, StartedRun};

use driver::{Driver, Left, Origin};
use hub::{Hub, Window};
use keys::Keys;

/// A handle on the engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    keys: Keys,
    models: Models,
    hub: Hub,
    options: Options,
    node: RwLock<NodeId>,
    tasks: TaskTracker,
    /// Ends when no new run may begin here.
    closing: CancellationToken,
    /// Ends when the time that runs get to finish is over.
    drained: CancellationToken,
    places: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// How to stop the drivers of this node, by run.
    drivers: Mutex<HashMap<RunId, CancellationToken>>,
    /// Whether other nodes share the database now.
    peers: AtomicBool,
}

impl Engine {
    /// Makes an engine and registers its node. Runs of dead processes are taken up once [`Engine::run`] runs.
    pub async fn new(
        store: Store,
        keys: Keys,
        models: Models,
        options: Options,
    ) -> Result<Self, store::Error> {
        let node: NodeId = store.ids().random();
        store.server().join(node).await?;
        let window = Window { frames: options.window_frames.max(1), bytes: options.window_bytes.max(1) };
        let inner = Inner {
            hub: Hub::new(window),
            node: RwLock::new(node),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            drained: CancellationToken::new(),
            places: Arc::new(Semaphore::new(options.max_running.min(Semaphore::MAX_PERMITS))),
            followers: Arc::new(Semaphore::new(options.max_followers.min(Semaphore::MAX_PERMITS))),
            drivers: Mutex::default(),
            peers: AtomicBool::new(false),
            store,
            keys,
            models,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub fn models(&self) -> &Models {
        &self.inner.models
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }
}

impl Inner {
    pub(crate) fn machine_limits(&self) -> Limits {
        Limits { model_calls: self.options.max_model_calls }
    }

    pub(crate) fn node(&self) -> NodeId {
        *self.node.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_peers(&self) -> bool {
        self.peers.load(Ordering::Relaxed)
    }

    /// Stops this node's driver of a run, because the run was taken from it. Returns whether there is one.
    pub(crate) fn supersede(&self, run: RunId) -> bool {
        let drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        drivers.get(&run).inspect(|stop| stop.cancel()).is_some()
    }

    /// Tells whether this node has a driver of a run.
    pub(crate) fn is_driven(&self, run: RunId) -> bool {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
    }

    fn supersede_all(&self) {
        let drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        for stop in drivers.values() {
            stop.cancel();
        }
    }

    /// Registers a driver, so that it can be stopped.
    fn register(&self, run: RunId) -> CancellationToken {
        let stop = CancellationToken::new();
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).insert(run, stop.clone());
        stop
    }

    fn unregister(&self, run: RunId) {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Lets a driver run in a task of its own, and moves its thread's lane on when it is done.
    fn spawn(self: &Arc<Self>, driver: Driver, place: OwnedSemaphorePermit) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let record = driver.record();
            let (run, smith, thread_id) = (record.id, record.smith, record.thread_id.clone());
            let left = driver.drive().await;
            inner.unregister(run);
            drop(place);
            match left {
                Left::Ended | Left::Superseded => inner.move_lane_on(smith, &thread_id).await,
                Left::Broken => inner.give_back(run).await,
                Left::HandedOver => {}
            }
        });
    }
}
