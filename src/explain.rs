//! `--explain`: the report of this cluster for people, with what becomes of it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::config::Settings;
use crate::facts::Facts;
use crate::payload::FIELDS;
use crate::spread;

/// What stops it whatever else was configured, and outlives an upgrade.
pub const TURN_OFF: &str =
    r#"kubectl -n kube-system patch cronjob rke2-metrics-responder -p '{"spec":{"suspend":true}}'"#;

/// Plain text that fits 100 columns.
#[must_use]
pub fn text(report: &str, facts: &Facts, settings: &Settings) -> String {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    let mut text = String::from("What is sent, and nothing else:\n\n");
    line(&mut text, "FIELD", "VALUE", "READ FROM");
    for field in FIELDS {
        let value = match find(&report, field.key) {
            Some(Value::String(value)) => value.clone(),
            Some(value) => value.to_string(),
            None => "left out, not known".to_owned(),
        };
        line(&mut text, field.key, &value, field.read_from);
        line(&mut text, "", field.not_personal, "");
    }
    if let Err(error) = &facts.cni {
        line(
            &mut text,
            "",
            &format!("cni-plugin is not known: {error}"),
            "",
        );
    }
    let Settings {
        spread,
        target,
        enabled_by,
        ..
    } = settings;
    let wait = spread::wait(&facts.cluster, *spread);
    let chosen = if target.chosen {
        "as configured"
    } else {
        "the default"
    };
    text.push('\n');
    if let Err(error) = &facts.cni {
        item(
            &mut text,
            "But",
            &format!("cni-plugin is left out: {error}"),
        );
    }
    item(&mut text, "Where", &format!("{target} ({chosen})"));
    item(&mut text, "When", &when(wait, *spread));
    item(&mut text, "Why", &format!("reporting is on: {enabled_by}"));
    item(&mut text, "Off", TURN_OFF);
    item(&mut text, "Now", "nothing was sent");
    text
}

fn when(wait: Duration, spread: Duration) -> String {
    if spread.is_zero() {
        return "at each run, as soon as the cluster was read (no spread is set)".to_owned();
    }
    format!(
        "at each run, {wait:?} after the cluster was read: its UUID modulo the spread of {spread:?}"
    )
}

fn find<'a>(report: &'a Value, key: &str) -> Option<&'a Value> {
    let parts = [report, &report["extraTagInfo"], &report["extraFieldInfo"]];
    parts.into_iter().find_map(|part| part.get(key))
}

/// A line that cannot be written to a string does not exist.
fn line(text: &mut String, field: &str, value: &str, read_from: &str) {
    let line = format!("{field:<18} {value:<37} {read_from}");
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A name and its value, whose words go on below themselves where a line is full. A command is one word.
fn item(text: &mut String, name: &str, value: &str) {
    let mut line = format!("{name:<6}");
    let words = if value == TURN_OFF {
        vec![value]
    } else {
        value.split(' ').collect()
    };
    for word in words {
        if line.len() > 6 && line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(6);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// Columns, of any terminal and of none.
const WIDTH: usize = 100;
