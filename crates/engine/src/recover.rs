//! Keeping runs going: this node's beat, the watch over the others, orphans, stalled lanes, shutdown.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ids::{RunId, SmithId};
use store::runs::{Claimed, NodeId};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{Driver, Engine, Inner, Origin};

/// How many orphans or stalled threads are taken up at once, so that replicas share them.
const HANDFUL: usize = 64;
/// How long the database gets before a run is given back to it again.
const GIVE_BACK_AGAIN: Duration = Duration::from_secs(1);
/// How many beats fall into one lease.
const BEATS: u32 = 4;

impl Engine {
    /// Keeps runs going until `shutdown`, then lets those under way finish for a bounded time and gives the rest back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let inner = &self.inner;
        // Where nobody else can write, every other node is a process that is gone.
        let mut watch = Watch::new(inner.store.server().shares_database());
        let mut announcements = inner.store.db().announcements();
        let mut beat = tokio::time::interval(inner.options.lease() / BEATS);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = beat.tick() => {
                    if let Err(error) = inner.round(&mut watch).await {
                        tracing::warn!(error = %error, "The round over runs and replicas failed; the next one tries again.");
                    }
                }
                heard = async {
                    match announcements.as_mut() {
                        Some(announcements) => announcements.recv().await,
                        None => std::future::pending().await,
                    }
                } => match heard {
                    Ok(text) => inner.heard(&text),
                    Err(RecvError::Lagged(_)) => inner.hub.wake_all(),
                    Err(RecvError::Closed) => announcements = None,
                },
            }
        }
        self.drain().await;
    }

    /// Lets runs finish for a while, then has the rest handed over.
    async fn drain(&self) {
        let inner = &self.inner;
        inner.closing.cancel();
        inner.tasks.close();
        let finished = tokio::time::timeout(inner.options.drain(), inner.tasks.wait()).await.is_ok();
        inner.drained.cancel();
        if !finished {
            inner.tasks.wait().await;
        }
        if let Err(error) = inner.store.server().leave(inner.node()).await {
            tracing::warn!(error = %error, "This node could not sign off; its lease will end by itself.");
        }
        // Followers of runs that were handed over look for themselves, and find their streams closed by the server.
        inner.hub.wake_all();
    }
}

/// What this node has seen of the others' beats, by its own stopwatch.
struct Watch {
    shared: bool,
    seen: HashMap<NodeId, (u64, Instant)>,
}

impl Watch {
    fn new(shared: bool) -> Self {
        Self { shared, seen: HashMap::new() }
    }

    /// Notes the others' beats and returns those that stood still for the whole lease.
    fn note(&mut self, nodes: &[(NodeId, u64)], now: Instant, lease: Duration) -> Vec<(NodeId, u64)> {
        if !self.shared {
            return nodes.to_vec();
        }
        self.seen.retain(|node, _| nodes.iter().any(|(other, _)| other == node));
        let mut dead = Vec::new();
        for (node, beat) in nodes {
            let (last, since) = self.seen.entry(*node).or_insert((*beat, now));
            if last != beat {
                (*last, *since) = (*beat, now);
            } else if now.saturating_duration_since(*since) >= lease {
                dead.push((*node, *beat));
            }
        }
        dead
    }
}

impl Inner {
    async fn round(self: &Arc<Self>, watch: &mut Watch) -> Result<(), store::Error> {
        let server = self.store.server();
        if !server.beat(self.node()).await? {
            // The others gave this node up, so its runs are theirs by now. It starts over under a new name.
            tracing::warn!(
                "The other replicas had given this node up: it was silent for too long. Its runs go on elsewhere."
            );
            self.supersede_all();
            let node: NodeId = self.store.ids().random();
            server.join(node).await?;
            *self.node.write().unwrap_or_else(std::sync::PoisonError::into_inner) = node;
        }
        let others = server.other_nodes(self.node()).await?;
        self.peers.store(watch.shared && !others.is_empty(), Ordering::Relaxed);
        for (node, beat) in watch.note(&others, Instant::now(), self.options.lease()) {
            if server.bury(node, beat).await? {
                tracing::info!("A node that had died left the deployment; its runs are taken up.");
            }
        }
        self.take_up_orphans().await?;
        for (smith, thread_id) in server.stalled_threads(HANDFUL).await? {
            self.move_lane_on(smith, &thread_id).await;
        }
        Ok(())
    }

    async fn take_up_orphans(self: &Arc<Self>) -> Result<(), store::Error> {
        loop {
            let free = self.places.available_permits().min(HANDFUL);
            if free == 0 || self.closing.is_cancelled() {
                return Ok(());
            }
            let claimed = self.store.server().claim_orphans(self.node(), free).await?;
            let last = claimed.len() < free;
            for claimed in claimed {
                self.take_up(claimed, Origin::Orphan).await;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Gives a free lane to the run that has waited longest on it.
    pub(crate) async fn move_lane_on(self: &Arc<Self>, smith: SmithId, thread_id: &str) {
        if self.closing.is_cancelled() {
            return;
        }
        match self.store.server().next_on_thread(self.node(), smith, thread_id).await {
            Ok(Some(claimed)) => self.take_up(claimed, Origin::Lane).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = %error, "A thread's next run could not be started; the next round tries again.");
            }
        }
    }

    /// Runs what was claimed. Whatever gets in the way, the run is given back for the next round.
    async fn take_up(self: &Arc<Self>, claimed: Claimed, origin: Origin) {
        let project = self.store.project(claimed.project);
        let saved = match project.saved_run(claimed.run).await {
            Ok(Some(saved)) => saved,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(run.id = %claimed.run, error = %error, "A run could not be loaded.");
                return self.give_back(claimed.run).await;
            }
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.give_back(claimed.run).await;
        };
        let stop = self.register(claimed.run);
        match Driver::resume(Arc::clone(self), saved, origin, stop) {
            Ok(driver) => self.spawn(driver, place),
            Err(_) => self.unregister(claimed.run),
        }
    }

    /// Gives a run back until the database has taken it: a live node's beat protects what it does not run.
    pub(crate) async fn give_back(&self, run: RunId) {
        while let Err(error) = self.store.server().release_claim(run, self.node()).await {
            tracing::warn!(run.id = %run, error = %error, "A run could not be given back yet.");
            tokio::select! {
                () = self.drained.cancelled() => return,
                () = tokio::time::sleep(GIVE_BACK_AGAIN) => {}
            }
        }
    }

    /// Deals with what another process announced: a run has news.
    fn heard(self: &Arc<Self>, text: &str) {
        if let Some(run) = text.strip_prefix(store::runs::TAKEN) {
            if let Ok(run) = run.parse::<RunId>() {
                self.supersede(run);
                self.hub.wake(run);
            }
            return;
        }
        match text.parse::<RunId>() {
            Ok(run) => self.hub.wake(run),
            Err(_) => self.hub.wake_all(),
        }
    }
}
