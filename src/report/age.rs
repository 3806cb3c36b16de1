//! Computes when a young cluster, or a new installation, begins to report.

use std::time::Duration;

use crate::kube::timestamp::Timestamp;

/// The times at which the cluster and the installation were made, if known. They are never sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Age {
    /// `creationTimestamp` of the namespace kube-system.
    pub cluster: Option<Timestamp>,
    /// `creationTimestamp` of the CronJob, which is later if the responder came to an old cluster.
    pub installation: Option<Timestamp>,
}

impl Age {
    /// Returns the time until the first report, or `None` if the grace period is over. A timestamp
    /// in the future counts as young; a missing one does not delay the report.
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
    fn the_grace_period_counts_from_the_later_timestamp() {
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
            let age = Age { cluster: cluster.map(time), installation: installation.map(time) };
            assert_eq!(age.begins_in(grace_period, now), left, "{age:?} {grace_period:?}");
        }
    }
}
