//! Work with a deadline.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Does the work on another thread. What is not done in time may still get done until the program
/// ends, a moment later: a report that counts as not accepted may have arrived.
pub(super) fn within<T: Send + 'static>(
    budget: Duration,
    work: impl FnOnce() -> Result<T, ureq::Error> + Send + 'static,
) -> Result<T, ureq::Error> {
    let (done, result) = mpsc::sync_channel(1);
    thread::Builder::new().spawn(move || done.send(work()))?;
    result
        .recv_timeout(budget)
        .unwrap_or(Err(ureq::Error::Timeout(ureq::Timeout::Global)))
}
