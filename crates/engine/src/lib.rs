//! The running of runs: lanes, the driver around the machine, streams and their followers, recovery.
//!
//! Knows no HTTP. Whoever holds an [`Engine`] can start, follow and cancel runs; [`Engine::run`] keeps them going until the
//! server shuts down.

mod addresses;
mod attachments;
mod cancel;
mod context;
mod driver;
mod erase;
mod fault;
mod follow;
mod hub;
pub mod keys;
mod options;
mod recover;
mod start;
mod structured;
mod submit;
#[cfg(test)]
mod testing;
mod toolbox;
mod turns;
mod unreadable;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::ids::RunId;
use futures::FutureExt as _;
use models::Models;
use store::Store;
use store::runs::{NodeId, StartError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tools::Tools;

pub use follow::{Follower, Mode, Seat};
pub use hub::{Published, Watch};
pub use options::Options;
pub use start::{StartRun, StartedRun};
pub use submit::{ResultIn, Submission, Submitted};

use driver::{Driver, Left, Origin};
use hub::{Hub, Window};
use keys::Keys;
use toolbox::Retry;

/// A handle on the engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    keys: Keys,
    models: Models,
    tools: Tools,
    retry: Retry,
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
    drivers: Mutex<HashMap<RunId, (u64, CancellationToken)>>,
    /// Tells drivers of the same run apart.
    registrations: AtomicU64,
    /// Whether other nodes share the database now.
    peers: AtomicBool,
    /// Whether the database did not let the last run be stored.
    fails_to_store: AtomicBool,
    addresses: addresses::Addresses,
    /// Whether this node is about cancelling the runs of what was archived.
    cancels_archived: tokio::sync::Mutex<()>,
    /// Places of runs whose models are called before it is known that they are stored.
    unstored: Semaphore,
}

impl Engine {
    /// Makes an engine and registers its node. Runs of dead processes are taken up once [`Engine::run`] runs.
    pub async fn new(
        store: Store,
        keys: Keys,
        models: Models,
        tools: Tools,
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
            registrations: AtomicU64::new(0),
            peers: AtomicBool::new(false),
            fails_to_store: AtomicBool::new(false),
            addresses: addresses::Addresses::new(),
            cancels_archived: tokio::sync::Mutex::default(),
            unstored: Semaphore::new(options.max_unstored.min(Semaphore::MAX_PERMITS)),
            store,
            keys,
            models,
            tools,
            retry: Retry::new(),
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tells whether the server shuts down.
    pub fn is_closing(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    /// Tells whether a shutdown has waited long enough, so that nothing may begin any more.
    pub fn is_drained(&self) -> bool {
        self.inner.drained.is_cancelled()
    }

    /// Waits until a shutdown has waited long enough: what is under way must end now.
    pub async fn drained(&self) {
        self.inner.drained.cancelled().await;
    }

    /// Lets a task run on its own; a shutdown waits for it as it does for runs.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) {
        self.inner.tasks.spawn(task);
    }

    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub fn models(&self) -> &Models {
        &self.inner.models
    }

    pub fn tools(&self) -> &Tools {
        &self.inner.tools
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }
}

impl Inner {
    pub(crate) fn node(&self) -> NodeId {
        *self.node.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_peers(&self) -> bool {
        self.peers.load(Ordering::Relaxed)
    }

    /// Takes a place for a run whose model is called before it is stored, where the last run could be stored and few others are
    /// under way.
    fn place_unstored(&self) -> Option<SemaphorePermit<'_>> {
        let stores_well = !self.fails_to_store.load(Ordering::Relaxed);
        self.unstored.try_acquire().ok().filter(|_| stores_well)
    }

    /// Notes whether the database let a run be stored. What it had against a run is nothing against it.
    fn note_storing(&self, error: Option<&StartError>) {
        self.fails_to_store.store(matches!(error, Some(StartError::Store(_))), Ordering::Relaxed);
    }

    /// Stops this node's driver of a run, because the run was taken from it. Returns whether there is one.
    pub(crate) fn supersede(&self, run: RunId) -> bool {
        let drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        drivers.get(&run).inspect(|(_, stop)| stop.cancel()).is_some()
    }

    /// Tells whether this node has a driver of a run.
    pub(crate) fn is_driven(&self, run: RunId) -> bool {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
    }

    fn supersede_all(&self) {
        let drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, stop) in drivers.values() {
            stop.cancel();
        }
    }

    /// Registers a driver, so that it can be stopped. One that was there before has lost the run.
    fn register(self: &Arc<Self>, run: RunId) -> Registration {
        let number = self.registrations.fetch_add(1, Ordering::Relaxed);
        let stop = CancellationToken::new();
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = drivers.insert(run, (number, stop.clone())) {
            before.cancel();
        }
        drop(drivers);
        Registration { inner: Arc::clone(self), run, number, stop }
    }

    /// Lets a driver run in a task of its own, and moves its thread's lane on when it is done.
    fn spawn(self: &Arc<Self>, driver: Driver, registration: Registration, place: OwnedSemaphorePermit) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let record = driver.record();
            let (run, fence, crashes) = (record.id, record.fence, record.crashes);
            let (project, smith, thread_id) = (record.project, record.smith, record.thread_id.clone());
            // The panic hook has logged it. What the driver held is let go of, and nothing of it is used any more.
            let left =
                AssertUnwindSafe(Box::pin(driver.drive())).catch_unwind().await.unwrap_or(Left::Crashed);
            drop(registration);
            drop(place);
            let is_unbounded = inner.options.at_once().is_none();
            match left {
                // With one writer, nobody can have queued behind the run since its last batch looked. Elsewhere one can, whose
                // own look came while that batch was on its way to disk.
                Left::Ended if !inner.store.server().shares_database() && is_unbounded => {}
                // Whoever took the run has ended it and left the lane to this node, or drives it on.
                Left::Ended | Left::EndedBeforeAnother | Left::Superseded => {
                    inner.move_on(project, smith, &thread_id).await
                }
                Left::Broken => inner.give_back(run, fence).await,
                Left::Unreadable => inner.set_aside(run, fence, crashes),
                Left::Crashed => inner.count_crash(run, fence, crashes).await,
                Left::Paused => inner.has_paused(project).await,
                Left::HandedOver | Left::NotStored => {}
            }
        });
    }
}

/// That this node drives a run, for as long as it is held: also a driver that panics lets go of it.
pub(crate) struct Registration {
    inner: Arc<Inner>,
    run: RunId,
    number: u64,
    stop: CancellationToken,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut drivers = self.inner.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        if drivers.get(&self.run).is_some_and(|(number, _)| *number == self.number) {
            drivers.remove(&self.run);
        }
    }
}
