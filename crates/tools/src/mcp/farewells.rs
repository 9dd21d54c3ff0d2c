//! What servers are told when nobody waits for them any more.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The most messages under way at once. They are courtesies: what goes beyond is not sent.
const MAX_FAREWELLS: usize = 256;

/// How long each may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Sends messages whose answers do not matter: cancellations, the ends of sessions. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Farewells {
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

impl Farewells {
    pub(crate) fn new() -> Self {
        Self { tasks: TaskTracker::new(), places: Arc::new(Semaphore::new(MAX_FAREWELLS)) }
    }

    /// Carries out the work beside everything else, for a short while.
    pub(crate) fn send(&self, work: impl Future<Output = ()> + Send + 'static) {
        // A future may also be dropped by a runtime that is gone.
        if Handle::try_current().is_err() {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        self.tasks.spawn(async move {
            // It is a courtesy: whether it arrives is no matter.
            drop(tokio::time::timeout(FAREWELL, work).await);
            drop(place);
        });
    }

    /// Waits for those under way.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn more_than_there_are_places_for_are_not_sent() {
        let farewells = Farewells::new();
        let (sent, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        for _ in 0..MAX_FAREWELLS + 10 {
            let (sent, gate) = (Arc::clone(&sent), Arc::clone(&gate));
            farewells.send(async move {
                drop(gate.acquire().await);
                sent.fetch_add(1, Ordering::SeqCst);
            });
        }
        gate.add_permits(1);
        farewells.finish().await;
        assert_eq!(sent.load(Ordering::SeqCst), MAX_FAREWELLS);
    }

    #[test]
    fn without_a_runtime_nothing_is_sent() {
        Farewells::new().send(async {});
    }
}
