//! Computes the wait before sending, so that a fleet of clusters does not send in the same second.

use std::time::Duration;

use uuid::Uuid;

/// Returns the cluster's UUID modulo the window, in milliseconds. This needs no random source and
/// no state, is the same on each run, and is uniform over a fleet, since the low bits are random.
pub fn wait(cluster: &Uuid, window: Duration) -> Duration {
    let millis = cluster.as_u128() % window.as_millis().max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_always_waits_for_the_same_time_within_the_window() {
        let cluster = Uuid::from_u128(0x0fd6_ac60_b9ea_46b8_85fa_cb6c_fdb9_e57e);
        let window = Duration::from_secs(600);
        assert!(wait(&cluster, window) < window);
        assert_eq!(wait(&cluster, window), wait(&cluster, window));
        assert_eq!(wait(&Uuid::from_u128(1_234_567), window).as_millis(), 34_567);
    }

    #[test]
    fn a_window_of_zero_gives_no_wait() {
        assert_eq!(wait(&Uuid::from_u128(7), Duration::ZERO), Duration::ZERO);
    }
}
