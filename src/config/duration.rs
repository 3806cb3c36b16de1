//! Reads and writes durations as people do: whole numbers with units, such as `90s` or `1m30s`.

use std::time::Duration;

/// Units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; returns `None` for any other text.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis = 0_u64;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &after[..end])?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = &after[end..];
    }
    Some(Duration::from_millis(millis))
}

/// Writes a duration so that [`parse`] reads it back, to the millisecond.
pub(crate) fn text(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit) in UNITS {
        if millis >= unit {
            text += &(millis / unit).to_string();
            text += name;
            millis %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes a duration for a person: rounded up to minutes, or to seconds below one minute.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1000);
    let unit = if seconds < 60 { 1 } else { 60 };
    let rounded = seconds.div_ceil(unit) * unit;
    text(Duration::from_secs(u64::try_from(rounded).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("10m", Some(600_000)),
            ("90s", Some(90_000)),
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("1m30s", Some(90_000)),
            ("24h", Some(86_400_000)),
            ("24h1ms", Some(86_400_001)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
            ("5d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("18446744073709551615ms1ms", None),
            ("5sé", None),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), millis, "{text:?}");
        }
    }

    #[test]
    fn a_written_duration_can_be_read_back() {
        for (millis, written) in
            [(0, "0s"), (600_000, "10m"), (86_400_000, "24h"), (3_661_001, "1h1m1s1ms")]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(text(duration), written);
            assert_eq!(parse(written), Some(duration));
        }
    }

    #[test]
    fn a_rough_duration_is_rounded_up() {
        for (millis, written) in [
            (0, "0s"),
            (1, "1s"),
            (59_000, "59s"),
            (59_001, "1m"),
            (60_000, "1m"),
            (60_001, "2m"),
            (47_999_000, "13h20m"),
            (48_000_000, "13h20m"),
        ] {
            assert_eq!(rough(Duration::from_millis(millis)), written);
        }
    }
}
