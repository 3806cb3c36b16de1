//! A moment as Kubernetes writes it: RFC 3339, such as `2026-11-22T20:17:08Z`.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// So many seconds after 1970-01-01T00:00:00Z.
    pub fn at(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The clock of this machine.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::at(seconds(since.unwrap_or_default()))
    }

    /// The moment that is `later` than this one.
    #[must_use]
    pub(crate) fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(seconds(later)))
    }

    fn parse(text: &str) -> Option<Self> {
        let (moment, zone) = text.split_at_checked("2006-01-02T15:04:05".len())?;
        let well_formed = moment
            .bytes()
            .zip("dddd-dd-ddTdd:dd:dd".bytes())
            .all(|(b, form)| match form {
                b'd' => b.is_ascii_digit(),
                form => b.eq_ignore_ascii_case(&form),
            });
        if !well_formed {
            return None;
        }
        let number = |range: Range<usize>| moment[range].parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let exists = (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !exists {
            return None;
        }
        let days = days_before_year(year) + days_before_month(year, month) + day - 1;
        Some(Self(
            ((days * 24 + hour) * 60 + minute) * 60 + second - offset(zone)?,
        ))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not an RFC 3339 time")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // The calendar repeats itself after 400 years.
        let (cycle, mut days) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
        let mut year = 1970;
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        days -= days_before_year(year);
        let mut month = 1;
        while days_before_month(year, month + 1) <= days {
            month += 1;
        }
        let day = days - days_before_month(year, month) + 1;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let year = year + 400 * cycle;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

const DAY: i64 = 24 * 60 * 60;

/// The days of 400 years.
const CYCLE: i64 = 146_097;

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The offset from UTC in seconds, behind a fraction of a second, which does not matter here.
fn offset(text: &str) -> Option<i64> {
    let zone = match text.strip_prefix('.') {
        None => text,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return None;
            }
            zone
        }
    };
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |text: &str, limit: i64| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i64>().ok().filter(|n| digits && *n < limit)
    };
    Some(sign * (two_digits(hours, 24)? * 60 + two_digits(minutes, 60)?) * 60)
}

/// Days from 1970-01-01 to the first day of this year, in the Gregorian calendar.
fn days_before_year(year: i64) -> i64 {
    let leap_days = |year: i64| {
        let before = year - 1;
        before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
    };
    365 * (year - 1970) + leap_days(year) - leap_days(1970)
}

fn days_before_month(year: i64, month: i64) -> i64 {
    (1..month).map(|month| days_of_month(year, month)).sum()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + days_before_year(year + 1) - days_before_year(year) - 365,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_rfc_3339_is_understood_and_written_in_utc() {
        for (text, utc, seconds) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0),
            (
                "2026-11-22T20:17:08Z",
                "2026-11-22T20:17:08Z",
                1_795_378_628,
            ),
            (
                "2026-11-22t20:17:08.123456789z",
                "2026-11-22T20:17:08Z",
                1_795_378_628,
            ),
            (
                "2026-11-22T22:17:08+02:00",
                "2026-11-22T20:17:08Z",
                1_795_378_628,
            ),
            (
                "2026-11-22T14:47:08.0-05:30",
                "2026-11-22T20:17:08Z",
                1_795_378_628,
            ),
            (
                "2024-02-29T23:59:59Z",
                "2024-02-29T23:59:59Z",
                1_709_251_199,
            ),
            ("2000-12-31T23:59:60Z", "2001-01-01T00:00:00Z", 978_307_200),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z", -1),
            (
                "0000-01-01T00:00:00Z",
                "0000-01-01T00:00:00Z",
                -62_167_219_200,
            ),
            (
                "0000-01-01T00:00:00+23:59",
                "-001-12-31T00:01:00Z",
                -62_167_305_540,
            ),
            (
                "9999-12-31T23:59:59Z",
                "9999-12-31T23:59:59Z",
                253_402_300_799,
            ),
        ] {
            let time = Timestamp::parse(text).unwrap();
            assert_eq!(
                (time.to_string().as_str(), time.0),
                (utc, seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "acme-canary",
            "2026-11-22",
            "2026-11-22T20:17:08",
            "2026-11-22 20:17:08Z",
            "2026-11-22T20:17:08Zulu",
            "2026-11-22T20:17:08.Z",
            "2026-11-22T20:17:08.5",
            "2026-11-22T20:17:08+2:00",
            "2026-11-22T20:17:08+0200",
            "2026-11-22T20:17:08+02:+1",
            "2026-11-22T20:17:08+24:00",
            "2026-11-22T20:17:08+00:60",
            "2026-11-22T20:17:08*02:00",
            "2026-00-22T20:17:08Z",
            "2026-13-22T20:17:08Z",
            "2026-11-00T20:17:08Z",
            "2026-11-31T20:17:08Z",
            "2026-02-29T20:17:08Z",
            "1900-02-29T20:17:08Z",
            "2026-11-22T24:17:08Z",
            "2026-11-22T20:60:08Z",
            "2026-11-22T20:17:61Z",
            "2026-11-22T20:17:0éZ",
            "+026-11-22T20:17:08Z",
        ] {
            assert!(Timestamp::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_day_of_400_years_is_read_back_as_it_was_written() {
        let mut time = Timestamp::parse("1970-01-01T12:34:56Z").unwrap();
        for _ in 0..146_097 {
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
            time = time.plus(Duration::from_secs(86_400));
        }
        assert_eq!(time.to_string(), "2370-01-01T12:34:56Z");
    }

    #[test]
    fn the_clock_is_later_than_this_program() {
        assert!(Timestamp::now() > Timestamp::parse("2026-11-01T00:00:00Z").unwrap());
        assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
    }
}
