//! What is meant: the file, then the environment, then the flags, as one `Config` that cannot be
//! wrong.
//!
//! Whatever is not understood is an error that names its place: nothing is sent on a guess.

pub(crate) mod duration;
pub(crate) mod endpoint;
pub(crate) mod env;
pub(crate) mod proxy;
pub(crate) mod switch;

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;
use ureq::tls::RootCerts;

use crate::error::Error;
use crate::http;
use crate::json::object::Object;
use env::Env;
use proxy::Via;
use switch::Switch;

/// Where the manifest mounts the ConfigMap.
pub const DEFAULT_FILE: &str = "/etc/metrics-responder/config.yaml";

/// The project's own upgrade-responder.
pub const DEFAULT_ENDPOINT: &str = "https://metrics-responder.rke2.io/v1/checkupgrade";

/// The keys fill a few hundred bytes.
const MAX_FILE: usize = 64 << 10;

/// A ConfigMap holds no more. So much is read, because an opt-out also counts in a file that is too
/// large.
const MAX_CONFIG_MAP: u64 = 1 << 20;

/// A bundle of every public authority is a quarter of this.
const MAX_CA_FILE: u64 = 1 << 20;

/// Neither a wait nor a time-out of more than a day means anything for a job that runs three times
/// a day.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A year.
const MAX_GRACE_PERIOD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The configuration file as it was found.
#[derive(Debug)]
pub struct File {
    origin: String,
    text: io::Result<Vec<u8>>,
}

impl File {
    /// Reads the file; without one, that of the manifest, which need not exist.
    pub fn read(path: Option<&Path>) -> Self {
        let file = path.unwrap_or(Path::new(DEFAULT_FILE));
        let mut text = Vec::new();
        let beginning = fs::File::open(file).map(|file| file.take(MAX_CONFIG_MAP));
        let text = match beginning.and_then(|mut file| file.read_to_end(&mut text)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.is_none() => Ok(text),
            Err(e) => Err(e),
            Ok(_) => Ok(text),
        };
        Self {
            origin: file.display().to_string(),
            text,
        }
    }

    /// A file of this text.
    pub fn of(origin: &str, text: &[u8]) -> Self {
        Self {
            origin: origin.to_owned(),
            text: Ok(text.to_owned()),
        }
    }

    fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.origin)
    }

    fn keys(self) -> Result<Keys, Error> {
        let Self { origin, text } = self;
        match text {
            Err(error) => Err(Error::config(origin, error)),
            Ok(text) if text.len() > MAX_FILE => Err(Error::config(
                origin,
                format!("larger than {MAX_FILE} bytes"),
            )),
            Ok(text) => Keys::parse(&text).map_err(|error| Error::config(origin, error)),
        }
    }
}

/// Reads a file up to a size that it cannot reasonably exceed.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut file = fs::File::open(path)?.take(limit + 1);
    file.read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(text)
}

/// The keys of the file, as they are written there. Each has a variable: see [`variable`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Judged by [`Switch`].
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
    pub(crate) fn parse(yaml: &[u8]) -> Result<Self, serde_yaml::Error> {
        // An empty document is null.
        let keys: Option<Object<Self>> = serde_yaml::from_slice(yaml)?;
        Ok(keys.map(|Object(keys)| keys).unwrap_or_default())
    }
}

/// A value, and where it was read.
#[derive(Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: String,
}

impl<T> Setting<T> {
    fn map<U>(self, parse: impl FnOnce(T) -> Result<U, String>) -> Result<Setting<U>, Error> {
        let Self { value, origin } = self;
        match parse(value) {
            Ok(value) => Ok(Setting { value, origin }),
            Err(reason) => Err(Error::config(origin, reason)),
        }
    }
}

/// The settings, each of its type. Nothing but the environment is read for them.
#[derive(Debug)]
pub(crate) struct Settings {
    endpoint: Option<Setting<Uri>>,
    ca_file: Option<Setting<String>>,
    pub(crate) spread: Duration,
    grace_period: Setting<Duration>,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Lays the environment over the file, and a flag over both. `place` is what stands before a
    /// key of the file in an error, such as `config.yaml: `.
    pub(crate) fn new(
        keys: Keys,
        place: &str,
        env: &Env,
        endpoint: Option<&str>,
    ) -> Result<Self, Error> {
        refuse_unknown_variables(env)?;
        let layers = Layers { place, env };
        let allow_http = layers.flag("allowHttp", keys.allow_http)?;
        let url = match endpoint {
            Some(url) => Some(Setting {
                value: url.to_owned(),
                origin: "--endpoint".to_owned(),
            }),
            None => layers.text("endpoint", keys.endpoint)?,
        };
        let url = url.map(|setting| setting.map(|url| endpoint::parse(&url, allow_http)));
        let (zero, moment) = (Duration::ZERO, Duration::from_millis(1));
        let spread = layers.duration("spread", keys.spread, zero..=MAX_WAIT)?;
        let age = layers.duration("gracePeriod", keys.grace_period, zero..=MAX_GRACE_PERIOD)?;
        let timeout = layers.duration("timeout", keys.timeout, moment..=MAX_WAIT)?;
        Ok(Self {
            endpoint: url.transpose()?,
            ca_file: layers.text("caFile", keys.ca_file)?,
            spread: spread.map_or(zero, |setting| setting.value),
            grace_period: age.unwrap_or(Setting {
                value: zero,
                origin: "the default".to_owned(),
            }),
            timeout: timeout.map_or(DEFAULT_TIMEOUT, |setting| setting.value),
        })
    }
}

/// What lies over what: the environment over the file.
struct Layers<'a> {
    place: &'a str,
    env: &'a Env,
}

impl Layers<'_> {
    fn text(&self, key: &str, in_file: Option<String>) -> Result<Option<Setting<String>>, Error> {
        let variable = variable(key);
        Ok(match self.env.get(&variable)? {
            Some(value) => Some(Setting {
                value,
                origin: variable,
            }),
            None => in_file.map(|value| Setting {
                value,
                origin: format!("{}{key}", self.place),
            }),
        })
    }

    fn flag(&self, key: &str, in_file: Option<String>) -> Result<bool, Error> {
        match self.text(key, in_file)? {
            Some(setting) => Ok(setting.map(|word| switch::parse(&word))?.value),
            None => Ok(false),
        }
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
                let most = duration::text(*allowed.end());
                format!("a duration such as 10m or 90s, at most {most}, is expected, not {text:?}")
            })
        };
        let setting = self.text(key, in_file)?;
        setting.map(|setting| setting.map(parse)).transpose()
    }
}

/// The keys of [`Keys`].
const KEYS: [&str; 7] = [
    "enabled",
    "endpoint",
    "allowHttp",
    "caFile",
    "spread",
    "gracePeriod",
    "timeout",
];

/// A misspelt variable is as wrong as a misspelt key: `METRICS_RESPONDER_ENABLE=false` must not
/// read as "on". Those that Kubernetes sets for a Service named `metrics-responder` are not meant
/// for this program.
fn refuse_unknown_variables(env: &Env) -> Result<(), Error> {
    let known = KEYS.map(variable);
    let of_a_service = |name: &str| {
        ["SERVICE_", "PORT"]
            .iter()
            .any(|part| name[PREFIX.len()..].starts_with(part))
    };
    let mut names = env.names(PREFIX).into_iter();
    match names.find(|name| !known.contains(name) && !of_a_service(name)) {
        None => Ok(()),
        Some(name) => {
            let expected = known.map(|name| format!("`{name}`")).join(", ");
            Err(Error::config(
                name,
                format!("unknown variable, expected one of {expected}"),
            ))
        }
    }
}

const PREFIX: &str = "METRICS_RESPONDER_";

/// The variable of a key: `METRICS_RESPONDER_ALLOW_HTTP` for `allowHttp`.
fn variable(key: &str) -> String {
    let mut variable = PREFIX.to_owned();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            variable.push('_');
        }
        variable.push(c.to_ascii_uppercase());
    }
    variable
}

/// How to report.
#[derive(Debug)]
pub struct Config {
    /// Whether to report at all.
    pub switch: Switch,
    /// The budget for reading the cluster.
    pub timeout: Duration,
    /// The window of the wait before sending.
    pub spread: Duration,
    /// The age from which a cluster reports.
    pub(crate) grace_period: Setting<Duration>,
    /// Where to send.
    pub target: Target,
}

impl Config {
    /// Judges file, environment and flag.
    pub fn load(
        file: File,
        switch: Switch,
        env: &Env,
        endpoint: Option<&str>,
    ) -> Result<Self, Error> {
        let place = file.place("");
        let settings = Settings::new(file.keys()?, &place, env, endpoint)?;
        let chosen = settings.endpoint.is_some();
        let endpoint = match settings.endpoint {
            Some(setting) => setting.value,
            None => Uri::from_static(DEFAULT_ENDPOINT),
        };
        Ok(Self {
            switch,
            timeout: settings.timeout,
            spread: settings.spread,
            grace_period: settings.grace_period,
            target: Target {
                proxy: proxy::for_endpoint(&endpoint, env)?,
                endpoint,
                chosen,
                roots: roots(settings.ca_file)?,
                timeout: settings.timeout,
            },
        })
    }
}

/// Where a report is sent, and how.
#[derive(Debug)]
pub struct Target {
    /// An absolute URL; http only where that was allowed.
    pub(crate) endpoint: Uri,
    /// Whether somebody set it, rather than nobody.
    pub(crate) chosen: bool,
    /// The proxy of the environment.
    pub(crate) proxy: Option<Via>,
    /// The roots its certificate may chain to, tried one set after the other.
    pub(crate) roots: Vec<RootCerts>,
    /// The budget for sending.
    pub(crate) timeout: Duration,
}

impl fmt::Display for Target {
    /// Without the query, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.endpoint.scheme_str().unwrap_or_default();
        let authority = self
            .endpoint
            .authority()
            .map_or("", |authority| authority.as_str());
        write!(f, "POST {scheme}://{authority}{}", self.endpoint.path())
    }
}

/// The operator's own authorities first: whoever names some is behind a proxy that intercepts TLS
/// with them.
fn roots(ca_file: Option<Setting<String>>) -> Result<Vec<RootCerts>, Error> {
    let mut roots = Vec::new();
    if let Some(setting) = ca_file {
        let own = setting.map(|file| {
            let pem = read(&PathBuf::from(&file), MAX_CA_FILE).map_err(|e| e.to_string());
            let own = pem.and_then(|pem| http::roots(&pem).map_err(ToOwned::to_owned));
            own.map_err(|reason| format!("{file}: {reason}"))
        });
        roots.push(own?.value);
    }
    roots.push(http::public_roots());
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str, env: &[(&str, &str)], endpoint: Option<&str>) -> Result<Config, String> {
        let file = File::of("c.yaml", yaml.as_bytes());
        let env = Env::of(env);
        let switch = Switch::find(&file, &env).map_err(|e| e.to_string())?;
        Config::load(file, switch, &env, endpoint).map_err(|e| e.to_string())
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = "endpoint: https://file";
        let env = [("METRICS_RESPONDER_ENDPOINT", "https://env")];
        let empty = [("METRICS_RESPONDER_ENDPOINT", "")];
        for (yaml, env, flag, endpoint) in [
            ("", &[][..], None, DEFAULT_ENDPOINT),
            (file, &[], None, "https://file/"),
            (file, &empty, None, "https://file/"),
            (file, &env, None, "https://env/"),
            (file, &env, Some("https://flag"), "https://flag/"),
        ] {
            let target = load(yaml, env, flag).unwrap().target;
            assert_eq!(target.endpoint, endpoint);
            assert_eq!(target.chosen, endpoint != DEFAULT_ENDPOINT);
        }
    }

    #[test]
    fn nothing_set_means_the_documented_defaults() {
        for yaml in [
            "",
            "# nothing\n",
            "{}",
            "endpoint:\n",
            "endpoint: ~\nspread: null\n",
        ] {
            let config = load(yaml, &[], None).unwrap();
            assert_eq!(config.timeout, Duration::from_secs(10));
            assert_eq!(config.spread, Duration::ZERO);
            assert_eq!(config.grace_period.value, Duration::ZERO);
            assert_eq!(config.target.endpoint, DEFAULT_ENDPOINT);
            assert_eq!(config.target.roots.len(), 1);
        }
    }

    #[test]
    fn a_value_is_understood_with_its_origin() {
        let config = load("gracePeriod: 8760h\nspread: 24h\ntimeout: 1ms\n", &[], None).unwrap();
        assert_eq!(config.grace_period.value, MAX_GRACE_PERIOD);
        assert_eq!(config.grace_period.origin, "c.yaml: gracePeriod");
        assert_eq!(config.spread, MAX_WAIT);
        assert_eq!(config.timeout, Duration::from_millis(1));
        let env = [("METRICS_RESPONDER_GRACE_PERIOD", "1h")];
        let config = load("gracePeriod: 24h\n", &env, None).unwrap();
        assert_eq!(config.grace_period.origin, "METRICS_RESPONDER_GRACE_PERIOD");
        assert!(load("endpoint: http://a\nallowHttp: yes\n", &[], None).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_was_expected() {
        for (yaml, env, origin, expected) in [
            (
                "endpoint: ftp://a",
                &[][..],
                "c.yaml: endpoint: ",
                "an https URL",
            ),
            ("timeout: 0s", &[], "c.yaml: timeout: ", "a duration"),
            ("spread: soon", &[], "c.yaml: spread: ", "a duration"),
            ("spread: 24h1ms", &[], "c.yaml: spread: ", "at most 24h"),
            (
                "gracePeriod: 1d",
                &[],
                "c.yaml: gracePeriod: ",
                "at most 8760h",
            ),
            (
                "gracePeriod: 8761h",
                &[],
                "c.yaml: gracePeriod: ",
                "at most 8760h",
            ),
            (
                "caFile: /nowhere",
                &[],
                "c.yaml: caFile: ",
                "/nowhere: No such file",
            ),
            (
                "caFile: src",
                &[],
                "c.yaml: caFile: ",
                "src: Is a directory",
            ),
            (
                "caFile: Cargo.toml",
                &[],
                "c.yaml: caFile: ",
                "no certificate",
            ),
            (
                "",
                &[("METRICS_RESPONDER_TIMEOUT", "x")],
                "METRICS_RESPONDER_TIMEOUT: ",
                "a duration",
            ),
            (
                "",
                &[("METRICS_RESPONDER_GRACE_PERIOD", "x")],
                "METRICS_RESPONDER_GRACE_PERIOD: ",
                "a duration",
            ),
            (
                "",
                &[("METRICS_RESPONDER_ALLOW_HTTP", "x")],
                "METRICS_RESPONDER_ALLOW_HTTP: ",
                "true or false",
            ),
            (
                "endpint: x",
                &[],
                "c.yaml: ",
                "unknown field `endpint`, expected one of `enabled`",
            ),
            ("enabled: 3", &[], "c.yaml: enabled: ", "true or false"),
            ("timeout: 10", &[], "c.yaml: timeout: ", "a duration"),
            ("endpoint: a\nendpoint: b", &[], "c.yaml: ", "duplicate"),
        ] {
            let error = load(yaml, env, None).unwrap_err();
            assert!(
                error.starts_with(origin) && error.contains(expected),
                "{yaml}: {error}"
            );
        }
    }

    #[test]
    fn a_misspelt_variable_is_an_error() {
        let error = load("", &[("METRICS_RESPONDER_ENABLE", "false")], None).unwrap_err();
        assert!(
            error.starts_with("METRICS_RESPONDER_ENABLE: unknown variable"),
            "{error}"
        );
        assert!(error.contains("`METRICS_RESPONDER_ENABLED`"), "{error}");
        for name in [
            "METRICS_RESPONDER_SERVICE_HOST",
            "METRICS_RESPONDER_PORT_80_TCP",
        ] {
            assert!(load("", &[(name, "x")], None).is_ok(), "{name}");
        }
    }

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

    #[test]
    fn a_target_is_shown_without_its_query() {
        let target = load("endpoint: 'https://a:8443/v1?key=secret'", &[], None)
            .unwrap()
            .target;
        assert_eq!(target.to_string(), "POST https://a:8443/v1");
    }
}
