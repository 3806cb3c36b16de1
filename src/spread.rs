//! The wait before sending, so that a fleet of clusters does not send in one second.

use std::time::Duration;

use uuid::Uuid;

/// The cluster's UUID modulo the window, to the millisecond: without a random source or state it is
/// the same on each run, and uniform over a fleet, since the low bits of a UUID are random.
pub fn wait(cluster: &Uuid, window: Duration) -> Duration {
    let millis = cluster.as_u128() % window.as_millis().max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_always_waits_the_same_and_less_than_the_window() {
        let cluster = Uuid::from_u128(0x0fd6_ac60_b9ea_46b8_85fa_cb6c_fdb9_e57e);
        let window = Duration::from_secs(600);
        assert!(wait(&cluster, window) < window);
        assert_eq!(wait(&cluster, window), wait(&cluster, window));
        assert_eq!(
            wait(&Uuid::from_u128(1_234_567), window).as_millis(),
            34_567
        );
    }

    #[test]
    fn no_window_is_no_wait() {
        assert_eq!(wait(&Uuid::from_u128(7), Duration::ZERO), Duration::ZERO);
    }
}
