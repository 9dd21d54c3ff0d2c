//! A gate in a reply, so that a test decides when the next piece leaves.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

/// Holds replies back. Clones are the same gate.
///
/// A reply passes it once before each chunk of text and each tool call, and once before its end: a text in three chunks
/// needs four releases. A reply that is not streamed passes it once.
#[derive(Clone, Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
    arrived: Arc<watch::Sender<usize>>,
}

/// More passes than any test needs, and few enough that adding single ones never overflows the semaphore.
const OPEN: usize = Semaphore::MAX_PERMITS / 2;

impl Gate {
    /// Makes a closed gate.
    pub fn hold() -> Self {
        Self { passes: Arc::new(Semaphore::new(0)), arrived: Arc::new(watch::Sender::new(0)) }
    }

    /// Lets so many pieces pass, now or later.
    pub fn release(&self, count: usize) {
        self.passes.add_permits(count);
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        if !self.is_open() {
            self.passes.add_permits(OPEN);
        }
    }

    /// Waits until pieces have come to the gate so many times in all, passed or not.
    pub async fn wait_for_arrivals(&self, count: usize) {
        drop(self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await);
    }

    pub(super) fn is_open(&self) -> bool {
        self.passes.available_permits() >= OPEN / 2
    }

    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        // The semaphore is never closed.
        if let Ok(permit) = self.passes.acquire().await {
            permit.forget();
        }
    }
}
