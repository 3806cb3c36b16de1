//! The first day: how long a cluster, or an installation in it, has existed, and when it reports.

use std::time::Duration;

use crate::kube::timestamp::Timestamp;

/// When cluster and installation were made, as far as known. None of this leaves the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Age {
    /// `creationTimestamp` of the namespace kube-system.
    pub cluster: Option<Timestamp>,
    /// `creationTimestamp` of the CronJob: a later one, where an old cluster installs the responder.
    pub installation: Option<Timestamp>,
}

impl Age {
    /// The time until the first report, or `None` if the grace period is over. A timestamp in the
    /// future is young; a missing one is no reason to wait.
    pub(crate) fn begins_in(self, grace_period: Duration, now: Timestamp) -> Option<Duration> {
        let youngest = self.cluster.max(self.installation)?;
        let left = now.until(youngest.plus(grace_period));
        (!grace_period.is_zero() && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_report_waits_for_the_later_of_both() {
        let time = |text: &str| Timestamp::try_from(text.to_owned()).unwrap();
        let now = time("2026-11-23T12:00:00Z");
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        let (old, young, future) = (
            Some("2020-01-01T00:00:00Z"),
            Some("2026-11-23T01:00:00Z"),
            Some("2026-11-23T13:00:00Z"),
        );
        for (cluster, installation, grace_period, left) in [
            (young, None, day, Some(13 * hour)),
            (old, young, day, Some(13 * hour)),
            (young, old, day, Some(13 * hour)),
            (None, young, day, Some(13 * hour)),
            (old, old, day, None),
            (old, None, day, None),
            (None, None, day, None),
            (young, young, 11 * hour, None),
            (young, None, Duration::ZERO, None),
            (future, None, day, Some(25 * hour)),
            (future, None, Duration::ZERO, None),
        ] {
            let age = Age {
                cluster: cluster.map(time),
                installation: installation.map(time),
            };
            assert_eq!(
                age.begins_in(grace_period, now),
                left,
                "{age:?} {grace_period:?}"
            );
        }
    }
}
