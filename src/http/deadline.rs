//! Limits the time for all requests to one peer.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A time limit for all requests to one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// The configured time limit.
    pub(super) budget: Duration,
    at: Instant,
}

impl Deadline {
    /// Starts the time limit now.
    pub(crate) fn after(budget: Duration) -> Self {
        Self { budget, at: Instant::now() + budget }
    }

    /// Returns the time that is left.
    pub(super) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Does the work on another thread. Work that misses the deadline may still finish before the
    /// program exits, so a report that counts as not accepted may have arrived.
    pub(super) fn within<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, ureq::Error> + Send + 'static,
    ) -> Result<T, ureq::Error> {
        let (done, result) = mpsc::sync_channel(1);
        thread::Builder::new().spawn(move || done.send(work()))?;
        result.recv_timeout(self.left()).unwrap_or(Err(ureq::Error::Timeout(ureq::Timeout::Global)))
    }
}
