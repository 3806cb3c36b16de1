//! The settings: their keys in the file, their variables, and what they mean.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;

use super::env::Env;
use super::spelling::resembles_variable;
use super::switch::is_opt_out;
use super::{duration, endpoint};
use crate::error::{Error, but_not};
use crate::yaml;

/// Neither a wait nor a timeout of more than a day means anything for a job that runs three times
/// a day.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A year.
const MAX_GRACE_PERIOD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A run that hangs should end by itself before anybody has to look into it.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of the file, as they are written there. Each has a variable: see [`variable`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Read by [`super::switch::Switch`].
    #[serde(rename = "enabled")]
    _enabled: Option<String>,
    endpoint: Option<String>,
    allow_http: Option<String>,
    ca_file: Option<String>,
    spread: Option<String>,
    grace_period: Option<String>,
    timeout: Option<String>,
}

impl Keys {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, serde_yaml::Error> {
        Ok(yaml::read(text)?.unwrap_or_default())
    }
}

/// A value, and where it was read.
#[derive(Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: String,
}

impl<T> Setting<T> {
    /// Parses the value; the error names its origin.
    pub(super) fn map<U>(
        self,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<Setting<U>, Error> {
        match parse(self.value) {
            Ok(value) => Ok(Setting { value, origin: self.origin }),
            Err(reason) => Err(Error::config(self.origin, reason)),
        }
    }
}

/// The settings, parsed. Making them reads environment variables, but opens no file.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) endpoint: Option<Setting<Uri>>,
    pub(super) ca_file: Option<Setting<String>>,
    pub(crate) spread: Duration,
    pub(super) grace_period: Setting<Duration>,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Merges the settings: a flag overrides the environment, which overrides the file. Errors put
    /// `place` before a key of the file, for instance `config.yaml: `.
    pub(crate) fn new(
        keys: Keys,
        place: &str,
        env: &Env,
        endpoint: Option<&str>,
    ) -> Result<Self, Error> {
        refuse_misspelt_variables(env)?;
        let layers = Layers { place, env };
        let allow_http = layers.flag("allowHttp", keys.allow_http)?;
        let url = match endpoint {
            Some(url) => Some(Setting { value: url.to_owned(), origin: "--endpoint".to_owned() }),
            None => layers.text("endpoint", keys.endpoint)?,
        };
        let url = url.map(|setting| setting.map(|url| endpoint::parse(&url, allow_http)));
        let (zero, moment) = (Duration::ZERO, Duration::from_millis(1));
        let spread = layers.duration("spread", keys.spread, zero..=MAX_WAIT)?;
        let age = layers.duration("gracePeriod", keys.grace_period, zero..=MAX_GRACE_PERIOD)?;
        let timeout = layers.duration("timeout", keys.timeout, moment..=MAX_WAIT)?;
        let ca_file = layers.text("caFile", keys.ca_file)?;
        Ok(Self {
            endpoint: url.transpose()?,
            ca_file: ca_file.map(|setting| setting.map(path)).transpose()?,
            spread: spread.map_or(zero, |setting| setting.value),
            grace_period: age.unwrap_or(Setting { value: zero, origin: "the default".to_owned() }),
            timeout: timeout.map_or(DEFAULT_TIMEOUT, |setting| setting.value),
        })
    }
}

/// Takes a path. A URL is a mistake that is not quoted, since it may contain a password.
fn path(text: String) -> Result<String, String> {
    let is_path = !text.is_empty() && !text.contains("://");
    is_path.then_some(text).ok_or_else(|| "a path is expected".to_owned())
}

/// The environment has precedence over the file.
struct Layers<'a> {
    place: &'a str,
    env: &'a Env,
}

impl Layers<'_> {
    fn text(&self, key: &str, in_file: Option<String>) -> Result<Option<Setting<String>>, Error> {
        let variable = variable(key);
        Ok(match self.env.get(&variable)? {
            Some(value) => Some(Setting { value, origin: variable }),
            None => in_file.map(|value| Setting { value, origin: format!("{}{key}", self.place) }),
        })
    }

    fn flag(&self, key: &str, in_file: Option<String>) -> Result<bool, Error> {
        let word = self.text(key, in_file)?;
        let flag = word.map(|setting| setting.map(|word| on_or_off(&word))).transpose()?;
        Ok(flag.is_some_and(|setting| setting.value))
    }

    fn duration(
        &self,
        key: &str,
        in_file: Option<String>,
        allowed: RangeInclusive<Duration>,
    ) -> Result<Option<Setting<Duration>>, Error> {
        let parse = |text: String| {
            let parsed = duration::parse(&text).filter(|duration| allowed.contains(duration));
            parsed.ok_or_else(|| {
                let (most, wrong) = (duration::text(*allowed.end()), but_not(&text));
                format!("a duration such as 10m or 90s, at most {most}, is expected{wrong}")
            })
        };
        let setting = self.text(key, in_file)?;
        setting.map(|setting| setting.map(parse)).transpose()
    }
}

/// The keys of [`Keys`]; `enabled` is the first.
pub(crate) const KEYS: [&str; 7] =
    ["enabled", "endpoint", "allowHttp", "caFile", "spread", "gracePeriod", "timeout"];

/// Returns true for a variable that is nearly one of ours. It is as wrong as a misspelt key:
/// `METRICS_RESPONDER_ENABLE=false` must not mean "on".
pub(crate) fn is_misspelt(name: &str) -> bool {
    let is_known = KEYS.map(variable).iter().any(|known| known == name) || is_opt_out(name);
    resembles_variable(name) && !is_known
}

fn refuse_misspelt_variables(env: &Env) -> Result<(), Error> {
    let Some(name) = env.names().into_iter().find(|name| is_misspelt(name)) else {
        return Ok(());
    };
    let reason = format!(
        "not a variable of this program; METRICS_RESPONDER_ENABLED=false turns reporting off, \
         the others are {} and DO_NOT_TRACK",
        KEYS.map(variable)[1..].join(", ")
    );
    Err(Error::config(name, reason))
}

/// The variable of a key: `METRICS_RESPONDER_ALLOW_HTTP` for `allowHttp`.
fn variable(key: &str) -> String {
    let mut variable = "METRICS_RESPONDER_".to_owned();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            variable.push('_');
        }
        variable.push(c.to_ascii_uppercase());
    }
    variable
}

/// The quotation marks that are removed from both ends of a word.
pub(super) const QUOTES: [char; 2] = ['"', '\''];

/// The words for on and off that people write, quoted or not.
pub(crate) fn on_or_off(word: &str) -> Result<bool, String> {
    let bare = word.trim().trim_matches(QUOTES).trim();
    match bare.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Ok(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Ok(false),
        _ => Err(format!("true or false is expected{}", but_not(bare))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_to_the_file_and_has_a_variable() {
        for key in KEYS {
            assert!(Keys::parse(format!("{key}: x").as_bytes()).is_ok(), "{key}");
        }
        let error = Keys::parse(b"x: y").unwrap_err().to_string();
        let listed = KEYS.map(|key| format!("`{key}`")).join(", ");
        assert!(error.contains(&listed), "{error}");
        assert_eq!(variable("gracePeriod"), "METRICS_RESPONDER_GRACE_PERIOD");
    }
}
