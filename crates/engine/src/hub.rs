//! Wake-ups and recent frames of runs, for whoever follows them on this node.
//!
//! A topic exists as long as somebody holds it: the driver of a run, or its followers. The frames in it are a window on what
//! is stored already; a follower that is behind the window reads the database.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use domain::frames::Frame;
use domain::ids::RunId;
use store::runs::RunRecord;
use tokio::sync::{Notify, watch};

/// A frame that is stored, with its text on the wire.
#[derive(Debug)]
pub struct Published {
    pub seq: u64,
    pub frame: Frame,
    /// The frame as a server-sent event; encoded once for all followers.
    pub sse: Bytes,
}

impl Published {
    pub(crate) fn new(run: RunId, seq: u64, frame: Frame) -> Arc<Self> {
        let mut sse = Vec::with_capacity(128);
        frame.encode(run, seq, &mut sse);
        Arc::new(Self { seq, frame, sse: sse.into() })
    }
}

/// All topics of this node.
#[derive(Clone)]
pub(crate) struct Hub {
    topics: Arc<Mutex<HashMap<RunId, Weak<Topic>>>>,
    window: Window,
}

/// How many frames a topic keeps at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

pub(crate) struct Topic {
    run: RunId,
    hub: Arc<Mutex<HashMap<RunId, Weak<Topic>>>>,
    state: Mutex<State>,
    wake: watch::Sender<u64>,
    /// Followers on this node that want each frame as soon as it is there.
    watchers: AtomicUsize,
    watched: Notify,
}

/// That somebody wants each frame of a run as soon as it is there.
pub struct Watch(Arc<Topic>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct State {
    frames: VecDeque<Arc<Published>>,
    bytes: usize,
    /// The run as it rests: nothing follows what is here.
    rest: Option<Arc<RunRecord>>,
    /// Whether a driver on this node publishes here, so that the window is up to date.
    driven: bool,
    /// Counts the drivers that have published here, so that one that is gone cannot speak for its successor.
    generation: u64,
}

/// What a topic has for a follower.
pub(crate) enum Glimpse {
    Frames(Vec<Arc<Published>>),
    /// The window ends where the follower stands and nothing will follow.
    Rests,
    /// The window ends where the follower stands; a wake-up will come.
    UpToDate,
    /// The window cannot answer; the database can.
    Unknown,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(window: Window) -> Self {
        Self { topics: Arc::default(), window }
    }

    /// Returns the topic of a run, making it if nobody holds it yet.
    pub(crate) fn topic(&self, run: RunId) -> Arc<Topic> {
        let mut topics = lock(&self.topics);
        if let Some(topic) = topics.get(&run).and_then(Weak::upgrade) {
            return topic;
        }
        let topic = Arc::new(Topic {
            run,
            hub: Arc::clone(&self.topics),
            state: Mutex::default(),
            wake: watch::Sender::new(0),
            watchers: AtomicUsize::new(0),
            watched: Notify::new(),
        });
        topics.insert(run, Arc::downgrade(&topic));
        topic
    }

    /// Wakes the followers of a run, if it has any here, to look into the database.
    pub(crate) fn wake(&self, run: RunId) {
        let topic = lock(&self.topics).get(&run).and_then(Weak::upgrade);
        if let Some(topic) = topic {
            topic.wake();
        }
    }

    /// Wakes everybody: announcements may have been missed.
    pub(crate) fn wake_all(&self) {
        let topics: Vec<_> = lock(&self.topics).values().filter_map(Weak::upgrade).collect();
        for topic in topics {
            topic.wake();
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }
}

impl Topic {
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    pub(crate) fn wake(&self) {
        self.wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Says that a driver on this node publishes here from now on.
    ///
    /// Returns what the driver has to show when it goes.
    pub(crate) fn attach(&self) -> u64 {
        let mut state = lock(&self.state);
        let generation = state.generation.wrapping_add(1);
        *state = State { driven: true, generation, ..State::default() };
        generation
    }

    /// Says that the driver is gone without the run having come to rest.
    pub(crate) fn detach(&self, generation: u64) {
        {
            let mut state = lock(&self.state);
            // A run that has come to rest stays as it is: nothing will be published, and its record is at hand.
            if state.generation != generation || state.rest.is_some() {
                return;
            }
            *state = State { generation, ..State::default() };
        }
        self.wake();
    }

    /// Notes that somebody wants each frame as soon as it is there, until the watch is dropped.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        self.watched.notify_one();
        Watch(Arc::clone(self))
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Waits until somebody watches.
    pub(crate) async fn watched(&self) {
        self.watched.notified().await;
    }

    /// Shows followers what is on disk, and how the run rests if nothing follows.
    pub(crate) fn publish(&self, frames: Vec<Arc<Published>>, rest: Option<Arc<RunRecord>>, window: Window) {
        {
            let mut state = lock(&self.state);
            for frame in frames {
                state.bytes = state.bytes.saturating_add(frame.sse.len());
                state.frames.push_back(frame);
            }
            while state.frames.len() > window.frames || state.bytes > window.bytes {
                let Some(oldest) = state.frames.pop_front() else { break };
                state.bytes = state.bytes.saturating_sub(oldest.sse.len());
            }
            state.rest = rest;
        }
        self.wake();
    }

    /// Tells whether the run rests, where a driver on this node knows.
    pub(crate) fn rests(&self) -> Option<bool> {
        let state = lock(&self.state);
        state.driven.then_some(state.rest.is_some())
    }

    /// Returns the record of the run as it rests, where a driver on this node brought it to rest.
    pub(crate) fn rest(&self) -> Option<Arc<RunRecord>> {
        lock(&self.state).rest.clone()
    }

    /// Returns what lies from `from` on.
    pub(crate) fn look(&self, from: u64) -> Glimpse {
        let state = lock(&self.state);
        if !state.driven {
            return Glimpse::Unknown;
        }
        let (Some(first), Some(last)) = (state.frames.front(), state.frames.back()) else {
            return Glimpse::Unknown;
        };
        if from < first.seq || from > last.seq.saturating_add(1) {
            return Glimpse::Unknown;
        }
        let skip = usize::try_from(from.saturating_sub(first.seq)).unwrap_or(usize::MAX);
        let frames: Vec<_> = state.frames.iter().skip(skip).cloned().collect();
        if !frames.is_empty() {
            return Glimpse::Frames(frames);
        }
        if state.rest.is_some() { Glimpse::Rests } else { Glimpse::UpToDate }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let mut topics = lock(&self.hub);
        // A new topic of the same run may have taken the place already.
        if topics.get(&self.run).is_some_and(|topic| topic.strong_count() == 0) {
            topics.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::ids::{AgentId, Id as _, ProjectId, SmithId};
    use domain::run::Status;
    use store::runs::RunRequest;

    use super::*;

    const RUN: [u8; 16] = [1; 16];

    fn frames(from: u64, count: u64) -> Vec<Arc<Published>> {
        let run = RunId::from_bytes(RUN);
        (from..from + count).map(|seq| Published::new(run, seq, Frame::Delta { delta: "x".into() })).collect()
    }

    fn at_rest() -> Arc<RunRecord> {
        Arc::new(RunRecord {
            id: RunId::from_bytes(RUN),
            project: ProjectId::from_bytes(RUN),
            smith: SmithId::from_bytes(RUN),
            agent: AgentId::from_bytes(RUN),
            agent_version: Some(1),
            thread_id: "t".into(),
            status: Status::Completed,
            channel: "api".into(),
            model: "scripted/demo".into(),
            owner: None,
            fence: 2,
            crashes: 0,
            next_seq: 6,
            stop_reason: None,
            tokens: None,
            actor: None,
            request: RunRequest::default(),
            result: None,
            created_at: Timestamp::from_seconds(1),
            updated_at: Timestamp::from_seconds(2),
        })
    }

    fn hub(frames: usize, bytes: usize) -> (Hub, Arc<Topic>) {
        let hub = Hub::new(Window { frames, bytes });
        let topic = hub.topic(RunId::from_bytes(RUN));
        (hub, topic)
    }

    fn seqs(topic: &Topic, from: u64) -> Vec<u64> {
        match topic.look(from) {
            Glimpse::Frames(frames) => frames.iter().map(|frame| frame.seq).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_follower_inside_the_window_reads_memory_and_one_behind_it_the_database() {
        let (hub, topic) = hub(3, 10_000);
        let generation = topic.attach();
        topic.publish(frames(0, 5), None, hub.window());
        assert!(matches!(topic.look(1), Glimpse::Unknown));
        assert_eq!(seqs(&topic, 2), [2, 3, 4]);
        assert_eq!(seqs(&topic, 4), [4]);
        assert!(matches!(topic.look(5), Glimpse::UpToDate));
        topic.publish(frames(5, 1), Some(at_rest()), hub.window());
        assert_eq!(seqs(&topic, 5), [5]);
        assert!(matches!(topic.look(6), Glimpse::Rests));
        assert_eq!(topic.rest().map(|record| record.status), Some(Status::Completed));
        topic.detach(generation);
        assert!(topic.rest().is_some(), "a driver that goes takes nothing along from a run at rest");
    }

    #[tokio::test]
    async fn whoever_watches_is_noticed_until_they_go() {
        let (_hub, topic) = hub(3, 10_000);
        assert!(!topic.is_watched());
        let watch = topic.watch();
        topic.watched().await;
        assert!(topic.is_watched());
        drop(watch);
        assert!(!topic.is_watched());
    }

    #[test]
    fn the_window_is_bounded_in_bytes_too() {
        let (hub, topic) = hub(1_000, 300);
        topic.attach();
        topic.publish(frames(0, 50), None, hub.window());
        let State { frames, bytes, .. } = &*lock(&topic.state);
        assert!(*bytes <= 300 && !frames.is_empty());
    }

    #[test]
    fn without_a_driver_only_the_database_knows() {
        let (hub, topic) = hub(3, 10_000);
        assert!(matches!(topic.look(0), Glimpse::Unknown));
        let first = topic.attach();
        topic.publish(frames(0, 1), None, hub.window());
        let second = topic.attach();
        topic.detach(first);
        assert_eq!(topic.rests(), Some(false), "the successor still publishes");
        topic.detach(second);
        assert!(matches!(topic.look(0), Glimpse::Unknown));
        assert_eq!(topic.rests(), None);
    }

    #[test]
    fn a_topic_that_nobody_holds_is_gone() {
        let (hub, topic) = hub(3, 10_000);
        let same = hub.topic(RunId::from_bytes(RUN));
        assert!(Arc::ptr_eq(&topic, &same));
        drop((topic, same));
        assert!(lock(&hub.topics).is_empty());
    }
}
