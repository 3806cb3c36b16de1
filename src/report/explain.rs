//! `--explain`: the report of this cluster for people, with what becomes of it.

use serde_json::Value;

use super::facts::Facts;
use super::payload::FIELDS;
use crate::config::switch::{Switch, opt_out_command};
use crate::config::{Config, duration};
use crate::http::USER_AGENT;
use crate::kube::timestamp::Timestamp;
use crate::spread;

/// What is explained besides the report.
pub(crate) struct Circumstances<'a> {
    pub(crate) config: &'a Config,
    /// The namespace of the pod.
    pub(crate) namespace: &'a str,
    /// Whether the cluster is read from outside, where its own settings are not known.
    pub(crate) outside: bool,
    pub(crate) now: Timestamp,
}

/// The explanation of a report, as plain text.
pub(crate) fn text(report: &Value, facts: &Facts, circumstances: &Circumstances<'_>) -> String {
    let mut page = Page(String::new());
    page.line("What is sent:");
    page.line("");
    fields(&mut page, report, facts);
    page.line("");
    page.line("Like any request it also carries the address it comes from, and the header");
    page.line(&format!("User-Agent: {USER_AGENT}"));
    page.line("");
    what_becomes_of_it(&mut page, facts, circumstances);
    page.0
}

fn fields(page: &mut Page, report: &Value, facts: &Facts) {
    let row = |key, value: &str, read_from| format!("{key:<18} {value:<37} {read_from}");
    page.line(&row("FIELD", "VALUE", "READ FROM"));
    for field in FIELDS {
        let parts = [report, &report["extraTagInfo"], &report["extraFieldInfo"]];
        let value = match parts.into_iter().find_map(|part| part.get(field.key)) {
            Some(Value::String(value)) => value.clone(),
            Some(value) => value.to_string(),
            None => "omitted, not known".to_owned(),
        };
        page.line(&row(field.key, &value, field.read_from));
        page.paragraph(19, "", field.not_personal);
        if let ("cni-plugin", Err(error)) = (field.key, &facts.cni) {
            page.paragraph(19, "", &format!("not known: {error}"));
        }
    }
}

fn what_becomes_of_it(page: &mut Page, facts: &Facts, circumstances: &Circumstances<'_>) {
    let Circumstances {
        config,
        namespace,
        outside,
        now,
    } = circumstances;
    let chosen = if config.target.chosen {
        "as configured"
    } else {
        "the default"
    };
    page.item("Where", &format!("{} ({chosen})", config.target));
    match &config.switch {
        Switch::Off { by } => {
            page.item("When", "never");
            page.item("Why", &format!("reporting is off: {by}"));
        }
        Switch::On { by } => {
            page.item("When", &when(facts, config));
            from(page, facts, config, *now);
            page.item("Why", &format!("reporting is on: {by}"));
            page.command("Off", &opt_out_command(namespace));
        }
    }
    if *outside {
        whose_settings(page, namespace);
    }
    page.item("Now", "nothing was sent");
}

fn from(page: &mut Page, facts: &Facts, config: &Config, now: Timestamp) {
    let grace_period = &config.grace_period;
    if let Some(begins) = facts.begins(grace_period.value, now) {
        let (age, by) = (duration::text(grace_period.value), &grace_period.origin);
        let reason = format!("the cluster is younger than {age} ({by})");
        page.item("From", &format!("{begins} on: {reason}"));
    }
}

/// From outside, the settings of the cluster are not known.
fn whose_settings(page: &mut Page, namespace: &str) {
    page.item(
        "But",
        "these are the settings of this machine. Those of the cluster, where a suspended CronJob sends nothing:",
    );
    page.command(
        "",
        &format!(
            "kubectl -n {namespace} get --ignore-not-found -o yaml cronjob/rke2-metrics-responder \
             configmap/rke2-metrics-responder configmap/rke2-metrics-responder-override"
        ),
    );
}

fn when(facts: &Facts, config: &Config) -> String {
    if config.spread.is_zero() {
        return "at each run, as soon as the cluster has been read (no spread is set)".to_owned();
    }
    let wait = duration::text(spread::wait(&facts.kube_system.uid, config.spread));
    let spread = duration::text(config.spread);
    format!(
        "at each run, {wait} after the cluster was read: its UUID modulo the spread of {spread}"
    )
}

struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0 += text.trim_end();
        self.0 += "\n";
    }

    fn item(&mut self, label: &str, text: &str) {
        self.paragraph(7, label, text);
    }

    /// Never wrapped, so that it can be pasted.
    fn command(&mut self, label: &str, text: &str) {
        self.line(&format!("{label:<7}{text}"));
    }

    /// Words in lines of at most 100 columns, all of them indented like the first, which begins
    /// with the label.
    fn paragraph(&mut self, indent: usize, label: &str, text: &str) {
        let mut line = format!("{label:<indent$}");
        let mut words = text.split(' ').peekable();
        while let Some(word) = words.next() {
            line += word;
            match words.peek() {
                Some(next) if line.len() + 1 + next.len() <= 100 => line += " ",
                _ => {
                    self.line(&line);
                    line = " ".repeat(indent);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_at_100_columns() {
        let mut page = Page(String::new());
        let word = "x".repeat(44);
        page.item("Why", &format!("a {word} {word}y {word}"));
        let first = format!("Why    a {word} {word}y");
        assert_eq!(first.len(), 99);
        page.item("", &format!("ab {word} {word}y {word}"));
        page.item("", &format!("abc {word} {word}y"));
        let expected = format!(
            "{first}\n       {word}\n       ab {word} {word}y\n       {word}\n       abc {word}\n       {word}y\n"
        );
        assert_eq!(page.0, expected);
    }
}
