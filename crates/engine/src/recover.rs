//! Keeping runs going: this node's beat, the watch over the others, orphans, stalled lanes, shutdown.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::ids::{RunId, SmithId};
use store::runs::{Claimed, NodeId};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Driver, Engine, Inner, Origin, Submission};

/// How many orphans or stalled threads are taken up at once, so that replicas share them.
const HANDFUL: usize = 64;
/// How long the database gets before a run is given back to it again.
const GIVE_BACK_AGAIN: Duration = Duration::from_secs(1);
/// How long it takes at least until the database's files are cleared after erasures again: that reads all their indexes.
const CLEAR_AGAIN: Duration = Duration::from_secs(60);
/// How many beats fall into one lease.
const BEATS: u32 = 4;

impl Engine {
    /// Keeps runs going until `shutdown`, then lets those under way finish for a bounded time and gives the rest back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let left = CancellationToken::new();
        let work = async {
            tokio::join!(self.rounds(&shutdown), self.listen(&shutdown));
            self.drain().await;
            left.cancel();
        };
        tokio::join!(self.beat(&left), work);
    }

    /// Shows that this node lives, until it has left: nothing that takes long may come between two beats.
    async fn beat(&self, left: &CancellationToken) {
        let inner = &self.inner;
        let server = inner.store.server();
        let mut beat = self.ticks();
        loop {
            tokio::select! {
                () = left.cancelled() => return,
                _ = beat.tick() => {}
            }
            match server.beat(inner.node()).await {
                Ok(true) => {}
                // Signed off, or given up by the others after the last beat.
                Ok(false) if inner.closing.is_cancelled() => {}
                Ok(false) => {
                    if let Err(error) = inner.join_again().await {
                        tracing::warn!(error = %error, "This node could not join again yet.");
                    }
                }
                Err(error) => tracing::warn!(error = %error, "A beat was not stored."),
            }
        }
    }

    /// Looks after what others have left.
    async fn rounds(&self, shutdown: &CancellationToken) {
        let mut watch = Watch::new(self.inner.store.server().shares_database());
        let mut round = self.ticks();
        loop {
            let looked = async {
                round.tick().await;
                self.round(&mut watch).await
            };
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = looked => looked,
            };
            if let Err(error) = looked {
                tracing::warn!(error = %error, "The round over runs and replicas failed; the next one tries again.");
            }
        }
    }

    fn ticks(&self) -> tokio::time::Interval {
        let mut ticks = tokio::time::interval(self.inner.options.lease() / BEATS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks
    }

    /// Hears what other processes announce.
    async fn listen(&self, shutdown: &CancellationToken) {
        let Some(mut announcements) = self.inner.store.db().announcements() else { return };
        loop {
            let heard = tokio::select! {
                () = shutdown.cancelled() => return,
                heard = announcements.recv() => heard,
            };
            match heard {
                Ok(text) => self.inner.heard(&text),
                Err(RecvError::Lagged(_)) => self.inner.heard(""),
                Err(RecvError::Closed) => return,
            }
        }
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
    /// Whether other processes can write to the database. Where not, every other node is a process that is gone.
    shared: bool,
    seen: HashMap<NodeId, (u64, Instant)>,
    /// Runs of this node that had no driver in the round before.
    idle: HashSet<(RunId, u64)>,
    /// The erasure that is brought to its end beside the rounds: it may take long.
    erasing: Option<JoinHandle<()>>,
    /// Erasures that were not finished in the round before.
    unfinished: HashSet<SmithId>,
    /// The clearing of the database's files that goes on beside the rounds, and when it began.
    clearing: Option<(JoinHandle<()>, Instant)>,
}

impl Watch {
    fn new(shared: bool) -> Self {
        Self {
            shared,
            seen: HashMap::new(),
            idle: HashSet::new(),
            erasing: None,
            unfinished: HashSet::new(),
            clearing: None,
        }
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

impl Engine {
    async fn round(&self, watch: &mut Watch) -> Result<(), store::Error> {
        let inner = &self.inner;
        let server = inner.store.server();
        let others = server.other_nodes(inner.node()).await?;
        inner.peers.store(watch.shared && !others.is_empty(), Ordering::Relaxed);
        for (node, beat) in watch.note(&others, Instant::now(), inner.options.lease()) {
            if server.bury(node, beat).await? {
                tracing::info!("A node that had died left the deployment; its runs are taken up.");
            }
        }
        self.release_idle(watch).await?;
        inner.take_up_orphans().await?;
        match inner.options.at_once() {
            Some(at_once) => {
                for project in server.stalled_projects(at_once, HANDFUL).await? {
                    inner.fill(project, at_once).await;
                }
            }
            None => {
                for waiting in server.stalled_threads(HANDFUL).await? {
                    inner.take_turn(waiting.smith, &waiting.thread_id).await;
                }
            }
        }
        self.cancel_archived_soon();
        self.expire_approvals().await?;
        self.finish_erasures(watch).await?;
        self.clear_traces(watch).await?;
        Ok(())
    }

    /// Has the database's files cleared of what erasures have deleted: beside the rounds, and for many erasures at once.
    async fn clear_traces(&self, watch: &mut Watch) -> Result<(), store::Error> {
        let is_soon = |(clearing, begun): &(JoinHandle<()>, Instant)| {
            !clearing.is_finished() || begun.elapsed() < CLEAR_AGAIN
        };
        if watch.clearing.as_ref().is_some_and(is_soon) || !self.inner.store.server().has_traces().await? {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        let clearing = self.inner.tasks.spawn(async move {
            let server = inner.store.server();
            let cleared = tokio::select! {
                () = inner.closing.cancelled() => return,
                cleared = server.clear_traces() => cleared,
            };
            match cleared {
                Ok(erasures) => {
                    tracing::info!(erasures, "The database was vacuumed after erasures.");
                }
                Err(error) => {
                    tracing::warn!(error = %error, "The database could not be vacuumed after erasures; a later round tries again.");
                }
            }
        });
        watch.clearing = Some((clearing, Instant::now()));
        Ok(())
    }

    /// Rejects questions that nobody has decided in time.
    async fn expire_approvals(&self) -> Result<(), store::Error> {
        let now = self.inner.store.ids().now();
        for expired in self.inner.store.server().expired_approvals(now, HANDFUL).await? {
            let project = self.inner.store.project(expired.project);
            if let Err(problem) =
                Box::pin(self.submit_here(&project, expired.run, &Submission::Expiry(expired.approval), None))
                    .await
            {
                tracing::warn!(run.id = %expired.run, error = %problem, "An approval could not be expired; a later round tries again.");
            }
        }
        Ok(())
    }

    /// Brings erasures to their end whose process has died.
    async fn finish_erasures(&self, watch: &mut Watch) -> Result<(), store::Error> {
        if watch.erasing.as_ref().is_some_and(|erasing| !erasing.is_finished()) {
            return Ok(());
        }
        let unfinished = self.inner.store.server().unfinished_erasures(HANDFUL).await?;
        // One that was just asked for is most likely under way; it gets until the next round.
        let left: Vec<_> =
            unfinished.iter().copied().filter(|(_, smith)| watch.unfinished.contains(smith)).collect();
        watch.unfinished = unfinished.into_iter().map(|(_, smith)| smith).collect();
        if left.is_empty() || self.inner.closing.is_cancelled() {
            return Ok(());
        }
        let engine = self.clone();
        watch.erasing = Some(self.inner.tasks.spawn(async move {
            for (project, smith) in left {
                let project = engine.inner.store.project(project);
                if let Err(problem) = engine.erase_here(&project, smith).await {
                    tracing::warn!(error = %problem, "An erasure could not be finished; a later round tries again.");
                }
            }
        }));
        Ok(())
    }

    /// Gives back runs that are this node's and that nothing here drives.
    ///
    /// That is no crash: a driver that breaks is noticed where it runs. What ends here was claimed by a batch whose outcome this
    /// node never learned, or could not be given back, because the database went away.
    async fn release_idle(&self, watch: &mut Watch) -> Result<(), store::Error> {
        let server = self.inner.store.server();
        let owned = server.runs_of_node(self.inner.node()).await?;
        // One that was just claimed may be on its way to its driver; it gets until the next round.
        let idle: HashSet<(RunId, u64)> =
            owned.into_iter().filter(|(run, _)| !self.inner.is_driven(*run)).collect();
        for (run, fence) in idle.intersection(&watch.idle) {
            tracing::warn!(run.id = %run, "A run of this node had no driver; it is taken up again.");
            server.release_run(*run, self.inner.node(), *fence).await?;
        }
        watch.idle = idle;
        Ok(())
    }
}

impl Inner {
    /// Starts over under a new name: the others gave this node up, so its runs are theirs by now.
    async fn join_again(&self) -> Result<(), store::Error> {
        tracing::warn!(
            "The other replicas had given this node up: it was silent for too long. Its runs go on elsewhere."
        );
        self.supersede_all();
        let node: NodeId = self.store.ids().random();
        self.store.server().join(node).await?;
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = node;
        Ok(())
    }

    async fn take_up_orphans(self: &Arc<Self>) -> Result<(), store::Error> {
        loop {
            let free = self.places.available_permits().min(HANDFUL);
            if free == 0 || self.closing.is_cancelled() {
                return Ok(());
            }
            let claimed = self.store.server().claim_orphans(self.node(), free).await?;
            let mut goes_on = claimed.len() == free;
            for claimed in claimed {
                // One that cannot be taken up would be claimed again at once: the next round is soon enough.
                goes_on &= self.take_up(claimed, Origin::Orphan).await;
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Runs what was claimed. Whatever gets in the way, the run is given back for the next round. Returns whether it runs.
    pub(crate) async fn take_up(self: &Arc<Self>, claimed: Claimed, origin: Origin) -> bool {
        let Claimed { run, project, fence, crashes } = claimed;
        let saved = self.store.project(project).saved_run(run).await;
        let place = Arc::clone(&self.places).try_acquire_owned();
        match (saved, place) {
            // This process may have slept since the claim: the run is driven only under the number that it was claimed with.
            (Ok(Some(saved)), _) if saved.record.fence != fence => false,
            (Ok(Some(saved)), Ok(place)) => {
                let registration = self.register(run);
                let driver = Driver::resume(Arc::clone(self), saved, origin, registration.stop.clone());
                let Ok(driver) = driver else {
                    self.set_aside(run, fence, crashes);
                    return false;
                };
                self.spawn(driver, registration, place);
                true
            }
            (Ok(None), _) => false,
            (Err(error), _) if error.is_damage() => {
                tracing::error!(run.id = %run, error = %error, "What is stored of a run cannot be read.");
                self.set_aside(run, fence, crashes);
                false
            }
            (saved, _) => {
                if let Err(error) = saved {
                    tracing::error!(run.id = %run, error = %error, "A run could not be loaded.");
                }
                let inner = Arc::clone(self);
                self.tasks.spawn(async move { inner.give_back(run, fence).await });
                false
            }
        }
    }

    /// Gives a run back until the database has taken it: a live node's beat protects what it does not run.
    pub(crate) async fn give_back(&self, run: RunId, fence: u64) {
        let server = self.store.server();
        self.until_taken(run, || server.release_run(run, self.node(), fence)).await;
    }

    /// Gives a run back that has broken its driver, which counts like a crash: whoever takes it up after too many of them ends it.
    /// One that breaks even that is ended here.
    pub(crate) async fn count_crash(self: &Arc<Self>, run: RunId, fence: u64, crashes: u32) {
        if crashes >= self.options.max_crashes {
            self.set_aside(run, fence, crashes);
            return;
        }
        let server = self.store.server();
        self.until_taken(run, || server.release_broken_run(run, self.node(), fence)).await;
    }

    async fn until_taken<F>(&self, run: RunId, release: impl Fn() -> F)
    where
        F: Future<Output = Result<(), store::Error>>,
    {
        while let Err(error) = release().await {
            tracing::warn!(run.id = %run, error = %error, "A run could not be given back yet.");
            tokio::select! {
                () = self.drained.cancelled() => return,
                () = tokio::time::sleep(GIVE_BACK_AGAIN) => {}
            }
        }
    }

    /// Deals with what another process announced: a run has news, or a smith was erased.
    fn heard(self: &Arc<Self>, text: &str) {
        if let Some(smith) = text.strip_prefix(store::belongings::ERASED) {
            self.heard_of_erasure(smith);
            return;
        }
        if let Some(run) = text.strip_prefix(store::runs::TAKEN) {
            if let Ok(run) = run.parse::<RunId>() {
                self.supersede(run);
                self.hub.wake(run);
            }
            return;
        }
        match text.parse::<RunId>() {
            Ok(run) => self.hub.wake(run),
            Err(_) => {
                self.hub.wake_all();
                self.store.forget_keys();
            }
        }
    }
}
