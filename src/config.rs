//! What is meant: the file, then the environment, then the flags, as one `Config` that cannot be wrong.
//!
//! Whatever is not understood is an error that names where it stands: nothing is sent on a guess.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::Proxy;
use ureq::http::Uri;
use ureq::tls::RootCerts;

use crate::env::Env;
use crate::error::Error;
use crate::object::Object;
use crate::{http, proxy};

/// Where the manifest mounts the ConfigMap.
pub const DEFAULT_FILE: &str = "/etc/metrics-responder/config.yaml";

/// The project's own upgrade-responder.
pub const DEFAULT_ENDPOINT: &str = "https://metrics-responder.rke2.io/v1/checkupgrade";

/// Six keys fill a few hundred bytes.
const MAX_FILE: u64 = 64 << 10;

/// A bundle of every public authority is a quarter of this.
const MAX_CA_FILE: u64 = 1 << 20;

/// What a run is to do.
#[derive(Debug)]
pub enum Config {
    /// Nothing, since somebody said so; with where.
    Disabled(String),
    /// Report.
    Enabled(Settings),
}

/// How to report.
#[derive(Debug)]
pub struct Settings {
    /// Why reporting is on, for people.
    pub enabled_by: String,
    /// The budget for reading the cluster.
    pub timeout: Duration,
    /// The window of the wait before sending.
    pub spread: Duration,
    /// Where to send.
    pub target: Target,
}

/// Where a report is sent, and how.
#[derive(Debug)]
pub struct Target {
    /// An absolute URL; http only where that was allowed.
    pub endpoint: Uri,
    /// Whether somebody set it, rather than nobody.
    pub chosen: bool,
    /// The proxy of the environment.
    pub proxy: Option<Proxy>,
    /// Whom to trust as the endpoint: each set of roots for itself, in this order.
    pub roots: Vec<RootCerts>,
    /// The budget for sending.
    pub timeout: Duration,
}

impl fmt::Display for Target {
    /// Without the query, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(authority) = self.endpoint.authority() else {
            return Ok(());
        };
        let scheme = self.endpoint.scheme_str().unwrap_or_default();
        write!(f, "POST {scheme}://{authority}{}", self.endpoint.path())
    }
}

/// The keys of the file. `METRICS_RESPONDER_` and the key in capitals is its variable.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Keys {
    enabled: Option<bool>,
    endpoint: Option<String>,
    allow_http: Option<bool>,
    ca_file: Option<String>,
    spread: Option<String>,
    timeout: Option<String>,
}

impl Config {
    /// Reads file and environment. A file that was asked for has to exist. Where reporting is off, nothing
    /// beyond that is looked at: no mistake elsewhere can turn an opt-out into a failure.
    pub fn load(file: Option<&Path>, endpoint: Option<&str>, env: &Env) -> Result<Self, Error> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match read(path, MAX_FILE) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && file.is_none() => Vec::new(),
            Err(e) => return at(path.display().to_string(), Err(e.to_string())),
        };
        Self::from_text(&text, path, endpoint, env)
    }

    /// The same of a file's text.
    pub fn from_text(
        text: &[u8],
        path: &Path,
        endpoint: Option<&str>,
        env: &Env,
    ) -> Result<Self, Error> {
        // An empty document is null.
        let keys: Result<Option<Object<Keys>>, _> = serde_yaml::from_slice(text);
        let keys = at(path.display().to_string(), keys.map_err(|e| e.to_string()))?;
        let keys = keys.map(|Object(keys)| keys).unwrap_or_default();
        let source = Source { path, env };
        let objection = env.get("DO_NOT_TRACK")?;
        if objection.is_some_and(|value| is_objection(&value)) {
            return Ok(Self::Disabled("DO_NOT_TRACK".to_owned()));
        }
        let enabled_by = match source.flag("enabled", "METRICS_RESPONDER_ENABLED", keys.enabled)? {
            Some((false, origin)) => return Ok(Self::Disabled(origin)),
            Some((true, origin)) => origin,
            None => "by default, nothing turns it off".to_owned(),
        };
        source
            .settings(keys, endpoint, enabled_by)
            .map(Self::Enabled)
    }
}

/// A value, and where it was read.
type Found<T> = Option<(T, String)>;

/// Where settings are read besides the flags.
struct Source<'a> {
    path: &'a Path,
    env: &'a Env,
}

impl Source<'_> {
    fn settings(
        &self,
        file: Keys,
        flag: Option<&str>,
        enabled_by: String,
    ) -> Result<Settings, Error> {
        let timeout = self.text("timeout", "METRICS_RESPONDER_TIMEOUT", file.timeout)?;
        let spread = self.text("spread", "METRICS_RESPONDER_SPREAD", file.spread)?;
        let allow_http = self.flag("allowHttp", "METRICS_RESPONDER_ALLOW_HTTP", file.allow_http)?;
        let ca_file = self.text("caFile", "METRICS_RESPONDER_CA_FILE", file.ca_file)?;
        let endpoint = match flag {
            Some(url) => Some((url.to_owned(), "--endpoint".to_owned())),
            None => self.text("endpoint", "METRICS_RESPONDER_ENDPOINT", file.endpoint)?,
        };
        let chosen = endpoint.is_some();
        let (url, origin) = endpoint.unwrap_or_else(|| {
            (
                DEFAULT_ENDPOINT.to_owned(),
                "the default endpoint".to_owned(),
            )
        });
        let allow_http = allow_http.is_some_and(|(allowed, _)| allowed);
        let endpoint = at(origin, parse_endpoint(&url, allow_http))?;
        let timeout = duration(timeout, Duration::from_secs(10), Duration::from_millis(1))?;
        Ok(Settings {
            enabled_by,
            timeout,
            spread: duration(spread, Duration::ZERO, Duration::ZERO)?,
            target: Target {
                proxy: proxy::for_endpoint(&endpoint, self.env)?,
                endpoint,
                chosen,
                roots: roots(ca_file)?,
                timeout,
            },
        })
    }

    fn text(
        &self,
        key: &str,
        variable: &str,
        in_file: Option<String>,
    ) -> Result<Found<String>, Error> {
        Ok(match self.env.get(variable)? {
            Some(value) => Some((value, variable.to_owned())),
            None => in_file.map(|value| (value, self.place(key))),
        })
    }

    fn flag(&self, key: &str, variable: &str, in_file: Option<bool>) -> Result<Found<bool>, Error> {
        Ok(match self.env.get(variable)? {
            Some(value) => {
                let parsed = at(variable.to_owned(), parse_bool(&value))?;
                Some((parsed, variable.to_owned()))
            }
            None => in_file.map(|value| (value, self.place(key))),
        })
    }

    fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.path.display())
    }
}

/// Reads a file that is not larger than it can reasonably be.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(text)
}

fn at<T>(origin: String, result: Result<T, impl Into<String>>) -> Result<T, Error> {
    result.map_err(|reason| Error::config(origin, reason))
}

/// Anything but a plain "no" is one: <https://consoledonottrack.com> says `1`, people write more.
fn is_objection(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "false")
}

fn parse_bool(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("true or false is expected, not {value:?}")),
    }
}

/// Takes an absolute URL without what could be a secret or is meaningless in a POST; http only to this
/// machine, or where `allowHttp` says so.
pub(crate) fn parse_endpoint(url: &str, allow_http: bool) -> Result<Uri, String> {
    let expected = || format!("an https URL is expected, not {:?}", without_userinfo(url));
    if url.contains('#') {
        return Err(expected());
    }
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?;
    if authority.as_str().contains('@') {
        return Err("a URL without user and password is expected".to_owned());
    }
    let host = authority.host().trim_matches(['[', ']']);
    if !proxy::is_address(authority) || rustls::pki_types::ServerName::try_from(host).is_err() {
        return Err(expected());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if allow_http || is_loopback(host) => Ok(uri),
        Some("http") => {
            Err("http is only for this machine, or with allowHttp; https is expected".to_owned())
        }
        _ => Err(expected()),
    }
}

/// What may be repeated of a URL that is refused.
fn without_userinfo(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn duration(found: Found<String>, default: Duration, least: Duration) -> Result<Duration, Error> {
    let Some((text, origin)) = found else {
        return Ok(default);
    };
    let parsed = parse_duration(&text).filter(|duration| *duration >= least);
    let expected = || format!("a duration such as 10m or 90s is expected, not {text:?}");
    at(origin, parsed.ok_or_else(expected))
}

/// Beyond a day neither a wait nor a time-out means anything for a job that runs thrice daily.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Whole numbers with units, as in `90s` or `1m30s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let end = rest[digits..].find(|c: char| c.is_ascii_digit());
        let end = end.map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(60 * 60),
            _ => return None,
        };
        sum = sum.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[end..];
    }
    (sum <= MAX_DURATION).then_some(sum)
}

/// The operator's own authorities first: who names some is behind a proxy that opens TLS, and sees theirs.
fn roots(ca_file: Found<String>) -> Result<Vec<RootCerts>, Error> {
    let mut roots = Vec::new();
    if let Some((file, origin)) = ca_file {
        let pem = read(&PathBuf::from(&file), MAX_CA_FILE).map_err(|e| e.to_string());
        let own = pem.and_then(|pem| http::roots(&pem).map_err(ToOwned::to_owned));
        roots.push(at(origin, own.map_err(|e| format!("{file}: {e}")))?);
    }
    roots.push(http::public_roots());
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str, env: &[(&str, &str)], endpoint: Option<&str>) -> Result<Config, String> {
        let path = Path::new("c.yaml");
        Config::from_text(yaml.as_bytes(), path, endpoint, &Env::of(env)).map_err(|e| e.to_string())
    }

    fn settings(yaml: &str, env: &[(&str, &str)], endpoint: Option<&str>) -> Settings {
        match load(yaml, env, endpoint) {
            Ok(Config::Enabled(settings)) => settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = "endpoint: https://file";
        let env = [("METRICS_RESPONDER_ENDPOINT", "https://env")];
        for (yaml, env, flag, endpoint) in [
            ("", &[][..], None, DEFAULT_ENDPOINT),
            (file, &[], None, "https://file/"),
            (
                file,
                &[("METRICS_RESPONDER_ENDPOINT", "")],
                None,
                "https://file/",
            ),
            (file, &env, None, "https://env/"),
            (file, &env, Some("https://flag"), "https://flag/"),
        ] {
            let target = settings(yaml, env, flag).target;
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
            let settings = settings(yaml, &[], None);
            assert_eq!(settings.timeout, Duration::from_secs(10));
            assert_eq!(settings.spread, Duration::ZERO);
            assert_eq!(settings.target.endpoint, DEFAULT_ENDPOINT);
            assert_eq!(settings.target.roots.len(), 1);
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("10m", Some(600_000)),
            ("90s", Some(90_000)),
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("1m30s", Some(90_000)),
            ("24h", Some(86_400_000)),
            ("24h1ms", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
            ("5d", None),
            ("99999999999s", None),
            ("4294967295h", None),
            ("5sé", None),
        ] {
            assert_eq!(
                parse_duration(text).map(|d| d.as_millis()),
                millis,
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_https_or_on_this_machine_or_allowed() {
        for (url, allow_http, good) in [
            ("https://a", false, true),
            ("HTTPS://a:8443/v1?x=y", false, true),
            ("https://[fd00::1]:8443/v1", false, true),
            ("http://a", false, false),
            ("http://a", true, true),
            ("http://localhost:8314/v1", false, true),
            ("http://127.0.0.2", false, true),
            ("http://[::1]:1", false, true),
            ("http://localhost.evil", false, false),
            ("", true, false),
            ("a", true, false),
            ("/v1", true, false),
            ("//a/v1", true, false),
            ("ftp://a", true, false),
            ("https://", true, false),
            ("https:///v1", true, false),
            ("https://:443", true, false),
            ("https://a:99999", true, false),
            ("https://a:0", true, false),
            ("https://a:", true, false),
            ("https://u:p@a", true, false),
            ("https://a b", true, false),
            ("https://a\n", true, false),
            ("https://a/#b", true, false),
            ("https://ä", true, false),
            ("https://a..b", true, false),
            ("https://[fd00::1", true, false),
        ] {
            assert_eq!(parse_endpoint(url, allow_http).is_ok(), good, "{url:?}");
        }
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
            ("enabled: 3", &[], "", "enabled: invalid type"),
            ("timeout: 10", &[], "c.yaml: timeout: ", "a duration"),
            ("endpoint: a\nendpoint: b", &[], "", "duplicate"),
        ] {
            let error = load(yaml, env, None).unwrap_err();
            assert!(
                error.starts_with(origin) && error.contains(expected),
                "{yaml}: {error}"
            );
        }
    }

    #[test]
    fn an_objection_is_anything_but_no() {
        for (value, disabled) in [
            ("1", true),
            ("true", true),
            ("please", true),
            ("0", false),
            ("False", false),
            ("", false),
        ] {
            let env = Env::of(&[("DO_NOT_TRACK", value)]);
            let config = Config::load(None, None, &env).unwrap();
            assert_eq!(matches!(config, Config::Disabled(_)), disabled, "{value:?}");
        }
    }

    #[test]
    fn an_opt_out_stands_whatever_else_is_wrong() {
        let env = Env::of(&[
            ("METRICS_RESPONDER_ENABLED", "false"),
            ("METRICS_RESPONDER_TIMEOUT", "nonsense"),
            ("HTTPS_PROXY", "socks5://x"),
        ]);
        let Ok(Config::Disabled(by)) = Config::load(None, Some("nonsense"), &env) else {
            panic!("enabled");
        };
        assert_eq!(by, "METRICS_RESPONDER_ENABLED");
    }
}
