//! A CronJob's `schedule`, checked as Kubernetes would: what it refuses is better refused before it is
//! installed.

/// The five fields, with the least and the greatest value, and the names that stand for values.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, MONTHS),
    (0, 6, DAYS),
];

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const MACROS: &[&str] = &[
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Whether Kubernetes takes this as a schedule: five fields or one of cron's macros, without a time zone,
/// which has a key of its own in a CronJob.
#[must_use]
pub fn is_valid(schedule: &str) -> bool {
    let fields: Vec<_> = schedule.split_whitespace().collect();
    match fields[..] {
        [word] => MACROS.contains(&word),
        [_, _, _, _, _] => fields
            .iter()
            .zip(FIELDS)
            .all(|(text, field)| is_list(text, field)),
        _ => false,
    }
}

type Field = (u32, u32, &'static [&'static str]);

fn is_list(text: &str, field: Field) -> bool {
    text.split(',').all(|range| is_range(range, field))
}

/// `*`, `N`, `N-M`, each perhaps with `/STEP`.
fn is_range(text: &str, field: Field) -> bool {
    let (range, step) = text
        .split_once('/')
        .map_or((text, None), |(r, s)| (r, Some(s)));
    if step.is_some_and(|step| number(step).is_none_or(|step| step == 0)) {
        return false;
    }
    if matches!(range, "*" | "?") {
        return true;
    }
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    match (value(from, field), value(to, field)) {
        (Some(from), Some(to)) => from <= to,
        _ => false,
    }
}

fn value(text: &str, (least, greatest, names): Field) -> Option<u32> {
    let name = names
        .iter()
        .position(|name| text.eq_ignore_ascii_case(name));
    let value = match name {
        Some(position) => least + u32::try_from(position).ok()?,
        None => number(text)?,
    };
    (least..=greatest).contains(&value).then_some(value)
}

/// Digits alone: Rust would also take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_what_kubernetes_takes() {
        for (schedule, valid) in [
            ("0 */8 * * *", true),
            ("17 0,8,16 * * *", true),
            ("0-59/15 1-3 1,15 jan-MAR Mon-fri", true),
            ("5/10 * ? * ?", true),
            ("@daily", true),
            ("", false),
            ("0 */8 * *", false),
            ("0 0 */8 * * *", false),
            ("60 * * * *", false),
            ("* 24 * * *", false),
            ("* * 0 * *", false),
            ("* * * 13 *", false),
            ("* * * * 7", false),
            ("*/0 * * * *", false),
            ("*/ * * * *", false),
            ("5-1 * * * *", false),
            ("1,,2 * * * *", false),
            ("+1 * * * *", false),
            ("-1 * * * *", false),
            ("a * * * *", false),
            ("* * * foo *", false),
            ("@reboot", false),
            ("TZ=UTC 0 */8 * * *", false),
            ("CRON_TZ=UTC 0 * * * *", false),
            ("every day", false),
        ] {
            assert_eq!(is_valid(schedule), valid, "{schedule:?}");
        }
    }
}
