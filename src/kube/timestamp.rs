//! Parses timestamps as Kubernetes writes them, such as `2026-11-22T20:17:08Z`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Timestamp(u64);

impl Timestamp {
    /// Reads the clock of this machine.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs())
    }

    /// Returns the time from this moment to `later`, or zero if `later` is not later.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_secs(later.0.saturating_sub(self.0))
    }

    /// Returns the moment that is `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, the one form that Kubernetes writes.
    fn parse(text: &str) -> Option<Self> {
        let mut pairs = text.bytes().zip(FORM.bytes());
        let is_as_written = |(byte, form): (u8, u8)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        };
        if text.len() != FORM.len() || !pairs.all(is_as_written) {
            return None;
        }
        let number = |from: usize, to| text[from..to].parse::<u64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let is_leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let february = 28 + u64::from(is_leap);
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
        let exists = (1..=length).contains(&day) && hour < 24 && minute < 60 && second <= 60;
        if year < 1970 || !exists {
            return None;
        }
        // Let years begin in March, so that the leap day is the last day of its year.
        let (year, month) = (year - u64::from(month <= 2), (month + 9) % 12);
        let leap_days = year / 4 - year / 100 + year / 400;
        let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - MARCH_0_TO_1970;
        Some(Self(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

const FORM: &str = "0000-00-00T00:00:00Z";

/// Days from the first of March of year 0 to 1970-01-01.
const MARCH_0_TO_1970: u64 = 719_468;

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a Kubernetes timestamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_of_kubernetes_is_parsed() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T20:17:08Z", 1_795_378_628),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2000-12-31T23:59:60Z", 978_307_200),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("1972-01-01T00:00:00Z", 63_072_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(seconds)), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in [
            "",
            "acme-canary",
            "2026-11-22",
            "2026-11-22T20:17:08",
            "2026-11-22 20:17:08Z",
            "2026-11-22t20:17:08z",
            "2026-11-22T20:17:08Zulu",
            "2026-11-22T20:17:08.5Z",
            "2026-11-22T20:17:08+02:00",
            "2026-00-22T20:17:08Z",
            "2026-13-22T20:17:08Z",
            "2026-11-00T20:17:08Z",
            "2026-11-31T20:17:08Z",
            "2026-02-29T20:17:08Z",
            "2100-02-29T20:17:08Z",
            "2026-11-22T24:17:08Z",
            "2026-11-22T20:60:08Z",
            "2026-11-22T20:17:61Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22T20:17:0éZ",
            "+026-11-22T20:17:08Z",
        ] {
            assert!(Timestamp::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn consecutive_days_are_one_day_apart() {
        // Across the end of February in a leap year and in another year, and across a year's end.
        for days in [
            ["2000-02-28", "2000-02-29", "2000-03-01"],
            ["2023-02-27", "2023-02-28", "2023-03-01"],
            ["2026-12-30", "2026-12-31", "2027-01-01"],
        ] {
            let times = days.map(|day| Timestamp::parse(&format!("{day}T12:00:00Z")).unwrap());
            let day = Duration::from_secs(86_400);
            assert_eq!([times[0].plus(day), times[0].plus(2 * day)], [times[1], times[2]]);
        }
    }

    #[test]
    fn a_duration_is_never_negative() {
        let (early, late) = (Timestamp(100), Timestamp(160));
        assert_eq!(early.until(late), Duration::from_secs(60));
        assert_eq!(late.until(early), Duration::ZERO);
        assert_eq!(Timestamp(u64::MAX).plus(Duration::MAX), Timestamp(u64::MAX));
        assert!(Timestamp::now() > Timestamp::parse("2026-11-01T00:00:00Z").unwrap());
    }
}
