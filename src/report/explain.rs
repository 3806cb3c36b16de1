//! Writes the page of `--explain`, which describes the report, and when and where it is sent.

use std::time::Duration;

use serde_json::Value;

use super::facts::Facts;
use super::payload::FIELDS;
use crate::config::{Config, duration};
use crate::error::Error;
use crate::http::USER_AGENT;
use crate::kube::installation::Installation;
use crate::kube::timestamp::Timestamp;
use crate::log::plain;
use crate::spread;

/// The content of the page.
#[derive(Debug)]
pub(crate) struct Explanation<'a> {
    pub(crate) reporting: Reporting,
    /// The settings, or `None` if there are none or they contain a mistake.
    pub(crate) config: Option<&'a Config>,
    /// The source of the settings.
    pub(crate) settings: &'static str,
    /// The responder's objects in a cluster that is read from outside.
    pub(crate) installation: Option<&'a Installation>,
    /// The report, or the error that prevents it.
    pub(crate) report: Result<(&'a Facts, Value), &'a Error>,
    /// The command that turns reporting off.
    pub(crate) turn_off: String,
    pub(crate) now: Timestamp,
}

/// The state of reporting in this cluster.
#[derive(Debug)]
pub(crate) enum Reporting {
    /// Not yet; the grace period ends after this time.
    Begins(Duration),
    /// No, for this reason.
    Off(String),
    /// Yes, because of this setting.
    On(String),
    /// Unknown: the CronJob cannot be read, for this reason.
    Unknown(String),
}

impl Explanation<'_> {
    /// Returns the page. Its lines are never wrapped, so that each can be copied.
    pub(crate) fn text(&self) -> String {
        let mut page = Page::default();
        self.answer(&mut page);
        if let Some(config) = self.config {
            self.destination(&mut page, config);
            page.line("Settings", &format!("{}{}", self.settings, self.limit()));
        }
        if let Some(installation) = self.installation {
            self.runs(&mut page, installation);
        }
        match &self.report {
            Ok((facts, report)) => fields(&mut page, facts, report),
            Err(error) => page.line("Report", &format!("not shown: {error}")),
        }
        page.line("Now", "nothing was sent");
        page.0
    }

    fn limit(&self) -> &'static str {
        self.installation.map_or("", Installation::limit)
    }

    fn answer(&self, page: &mut Page) {
        let limit = self.limit();
        match &self.reporting {
            Reporting::Begins(left) => {
                page.line("Reporting", &format!("begins in {}{limit}", duration::rough(*left)));
                page.line("Off", &self.turn_off);
            }
            Reporting::Off(why) => page.line("Reporting", &format!("off: {why}")),
            Reporting::On(by) => {
                page.line("Reporting", &format!("on{limit}"));
                page.line("Why", by);
                page.line("Off", &self.turn_off);
            }
            Reporting::Unknown(why) => page.line("Reporting", &format!("unknown: {why}")),
        }
    }

    fn destination(&self, page: &mut Page, config: &Config) {
        let chosen = if config.has_endpoint { "as configured" } else { "the default" };
        page.line("Where", &format!("{} ({chosen})", config.request()));
        if let Some(via) = &config.proxy {
            let (host, port) = (via.proxy.host(), via.proxy.port());
            page.line("Proxy", &format!("{host}:{port} ({})", via.variable));
        }
        if matches!(self.reporting, Reporting::Off(_)) {
            return;
        }
        page.line("When", &self.when(config));
        let grace_period = &config.grace_period;
        if !grace_period.value.is_zero() {
            let (age, by) = (duration::text(grace_period.value), &grace_period.origin);
            let first = format!("{age} after the cluster and the CronJob were created ({by})");
            page.line("First", &first);
        }
    }

    fn when(&self, config: &Config) -> String {
        let spread = duration::text(config.spread);
        let wait = match &self.report {
            _ if config.spread.is_zero() => "right after reading the cluster (no spread)".into(),
            Ok((facts, _)) => {
                let wait = duration::text(spread::wait(&facts.kube_system.uid, config.spread));
                format!("{wait} after reading the cluster (its UUID modulo the spread of {spread})")
            }
            Err(_) => format!("less than {spread} after reading the cluster"),
        };
        format!("at each run, {wait}")
    }

    fn runs(&self, page: &mut Page, installation: &Installation) {
        let ago = |moment: Option<Timestamp>| match moment {
            Some(moment) => duration::rough(moment.until(self.now)) + " ago",
            None => "never".to_owned(),
        };
        let status = &installation.status;
        let (run, success) = (ago(status.last_schedule_time), ago(status.last_successful_time));
        page.line("Last run", &format!("{run}; last success: {success}"));
        let own = concat!("v", env!("CARGO_PKG_VERSION"));
        let is_other = |tag: &&String| tag.trim_end_matches("-fips") != own;
        if let Some(tag) = installation.tag.as_ref().filter(is_other) {
            page.line("Image", &format!("{tag} is installed, and this program is {own}"));
        }
        if let Some(file) = self.config.and_then(|config| config.ca_file.as_ref()) {
            let (path, by) = (&file.value, &file.origin);
            page.line("Not read", &format!("{path} ({by}): the file exists only in the pod"));
        }
        for (source, _) in &installation.unread {
            page.line("Not read", source);
        }
    }
}

fn fields(page: &mut Page, facts: &Facts, report: &Value) {
    let row = |key, value: &str, rest: &str| format!("{key:<19}{value:<38}{rest}");
    page.0 += "\nA report:\n\n";
    page.text(&row("FIELD", "VALUE", "READ FROM"));
    for field in FIELDS {
        let parts = [report, &report["extraTagInfo"], &report["extraFieldInfo"]];
        let value = match parts.into_iter().find_map(|part| part.get(field.key)) {
            Some(Value::String(value)) => value.clone(),
            Some(value) => value.to_string(),
            None => "omitted, not known".to_owned(),
        };
        page.text(&row(field.key, &value, field.read_from));
        page.text(&row("", field.purpose, ""));
        if let ("cni-plugin", Err(error)) = (field.key, &facts.cni) {
            page.text(&row("", &format!("not known: {error}"), ""));
        }
    }
    page.0 += "\nLike any request, a report also carries the sender's address and the header\n";
    page.text(&format!("User-Agent: {USER_AGENT}"));
    page.0 += "\n";
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        self.text(&format!("{label:<11}{text}"));
    }

    /// Adds a line. Replaces control characters, since some of the text comes from the cluster.
    fn text(&mut self, text: &str) {
        self.0 += plain(text).trim_end();
        self.0 += "\n";
    }
}
