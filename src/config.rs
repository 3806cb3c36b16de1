//! Turns file, environment and flag into a valid `Config`, in three stages:
//!
//! - `File`: the unparsed text of the YAML file, or the reason why it cannot be read.
//! - `Settings`: typed values from file, environment and flag, each with its origin. This stage
//!   opens no other file.
//! - `Config`: the meaning of the settings for a run: on or off, the times, the endpoint and the proxy.
//!
//! A setting that is not understood is an error that names its place: the program never guesses.

pub(crate) mod duration;
pub(crate) mod endpoint;
pub(crate) mod env;
pub(crate) mod file;
pub(crate) mod proxy;
pub(crate) mod settings;
pub(crate) mod spelling;
pub(crate) mod switch;

use std::path::Path;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::RootCerts;

use crate::error::Error;
use crate::http;
use env::Env;
use file::File;
use proxy::ViaProxy;
use settings::{Setting, Settings};
use switch::Switch;

/// The project's own upgrade-responder.
pub const DEFAULT_ENDPOINT: &str = "https://metrics-responder.rke2.io/v1/checkupgrade";

/// Four times the size of a bundle of all public authorities.
const MAX_CA_FILE: u64 = 1 << 20;

/// The configuration of a run.
#[derive(Debug)]
pub struct Config {
    /// Reporting on or off.
    pub switch: Switch,
    /// The time limit for reading the cluster, and again for sending.
    pub timeout: Duration,
    /// The upper limit of the wait before sending.
    pub spread: Duration,
    /// The age that the cluster and the CronJob must reach before the first report.
    pub(crate) grace_period: Setting<Duration>,
    /// The endpoint of the report: an absolute URL, plain http only if that is allowed.
    pub(crate) endpoint: Uri,
    /// True if a setting names the endpoint, even if it is the default one.
    pub(crate) has_endpoint: bool,
    /// The proxy that the environment names.
    pub(crate) proxy: Option<ViaProxy>,
    /// The file with additional certificate authorities.
    pub(crate) ca_file: Option<Setting<String>>,
}

impl Config {
    /// Checks file, environment and flag. Opens no file that they name.
    pub fn load(
        file: File,
        switch: Switch,
        env: &Env,
        endpoint: Option<&str>,
    ) -> Result<Self, Error> {
        let place = file.place("");
        let settings = Settings::new(file.keys()?, &place, env, endpoint)?;
        let has_endpoint = settings.endpoint.is_some();
        let default = || Uri::from_static(DEFAULT_ENDPOINT);
        let endpoint = settings.endpoint.map_or_else(default, |setting| setting.value);
        Ok(Self {
            switch,
            timeout: settings.timeout,
            spread: settings.spread,
            grace_period: settings.grace_period,
            proxy: proxy::for_endpoint(&endpoint, env)?,
            endpoint,
            has_endpoint,
            ca_file: settings.ca_file,
        })
    }

    /// Returns the request of the report for messages, without the query, which may contain a key.
    pub(crate) fn request(&self) -> String {
        let scheme = self.endpoint.scheme_str().unwrap_or_default();
        let authority = self.endpoint.authority().map_or("", |authority| authority.as_str());
        format!("POST {scheme}://{authority}{}", self.endpoint.path())
    }

    /// Reads the trusted roots, as sets that are tried one after the other.
    ///
    /// The authorities of `caFile` come first, since a proxy that intercepts TLS uses them. The
    /// public ones follow, since such a proxy may pass some hosts through unchanged.
    pub(crate) fn roots(&self) -> Result<Vec<RootCerts>, Error> {
        let mut roots = Vec::new();
        if let Some(Setting { value, origin }) = &self.ca_file {
            let pem = file::read(Path::new(value), MAX_CA_FILE).map_err(|e| e.to_string());
            let own = pem.and_then(|pem| http::roots(&pem));
            roots.push(own.map_err(|reason| Error::config(origin, format!("{value}: {reason}")))?);
        }
        roots.push(http::public_roots());
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str, env: &[(&str, &str)], endpoint: Option<&str>) -> Result<Config, String> {
        let file = File::of("c.yaml", yaml.as_bytes());
        let env = Env::of(env);
        let switch = Switch::find(&file, &env).map_err(|e| e.to_string())?;
        let config = Config::load(file, switch, &env, endpoint).map_err(|e| e.to_string())?;
        config.roots().map_err(|e| e.to_string())?;
        Ok(config)
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
            let config = load(yaml, env, flag).unwrap();
            assert_eq!(config.endpoint, endpoint);
            assert_eq!(config.has_endpoint, endpoint != DEFAULT_ENDPOINT);
        }
    }

    #[test]
    fn unset_settings_have_the_documented_defaults() {
        for yaml in ["", "# nothing\n", "{}", "endpoint:\n", "endpoint: ~\nspread: null\n"] {
            let config = load(yaml, &[], None).unwrap();
            assert_eq!(config.timeout, Duration::from_secs(10));
            assert_eq!(config.spread, Duration::ZERO);
            assert_eq!(config.grace_period.value, Duration::ZERO);
            assert_eq!(config.endpoint, DEFAULT_ENDPOINT);
            assert_eq!(config.roots().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_value_keeps_its_origin() {
        let config = load("gracePeriod: 8760h\nspread: 24h\ntimeout: 1ms\n", &[], None).unwrap();
        assert_eq!(config.grace_period.value, Duration::from_secs(8760 * 3600));
        assert_eq!(config.grace_period.origin, "c.yaml: gracePeriod");
        assert_eq!(config.spread, Duration::from_secs(24 * 3600));
        assert_eq!(config.timeout, Duration::from_millis(1));
        let env = [("METRICS_RESPONDER_GRACE_PERIOD", "1h")];
        let config = load("gracePeriod: 24h\n", &env, None).unwrap();
        assert_eq!(config.grace_period.origin, "METRICS_RESPONDER_GRACE_PERIOD");
        assert!(load("endpoint: http://a\nallowHttp: yes\n", &[], None).is_ok());
    }

    #[test]
    fn an_error_names_its_place_and_the_expected_value() {
        for (yaml, env, origin, expected) in [
            ("endpoint: ftp://a", &[][..], "c.yaml: endpoint: ", "an https URL"),
            ("timeout: 0s", &[], "c.yaml: timeout: ", "a duration"),
            ("spread: soon", &[], "c.yaml: spread: ", "a duration"),
            ("spread: 24h1ms", &[], "c.yaml: spread: ", "at most 24h"),
            ("gracePeriod: 1d", &[], "c.yaml: gracePeriod: ", "at most 8760h"),
            ("gracePeriod: 8761h", &[], "c.yaml: gracePeriod: ", "at most 8760h"),
            ("caFile: /nowhere", &[], "c.yaml: caFile: ", "/nowhere: No such file"),
            ("caFile: ''", &[], "c.yaml: caFile: ", "a path is expected"),
            ("caFile: https://a", &[], "c.yaml: caFile: ", "a path is expected"),
            ("caFile: src", &[], "c.yaml: caFile: ", "src: Is a directory"),
            ("caFile: Cargo.toml", &[], "c.yaml: caFile: ", "no certificate"),
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
            ("endpint: x", &[], "c.yaml: ", "unknown field `endpint`, expected one of `enabled`"),
            ("enabled: 3", &[], "c.yaml: enabled: ", "true or false"),
            ("enabled:", &[], "c.yaml: enabled: ", "true or false"),
            ("enabled: ~", &[], "c.yaml: enabled: ", "true or false"),
            ("timeout: 10", &[], "c.yaml: timeout: ", "a duration"),
            ("endpoint: a\nendpoint: b", &[], "c.yaml: ", "duplicate"),
        ] {
            let error = load(yaml, env, None).unwrap_err();
            assert!(error.starts_with(origin) && error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_file_may_be_as_large_as_the_limit() {
        let largest = format!("timeout: 1s\n#{}", " ".repeat(file::MAX_FILE - 13));
        assert!(load(&largest, &[], None).is_ok());
        let error = load(&format!("{largest} "), &[], None).unwrap_err();
        assert_eq!(error, "c.yaml: larger than 65536 bytes");
    }

    #[test]
    fn a_misspelt_variable_is_an_error() {
        for name in [
            "METRICS_RESPONDER_ENABLE",
            "metrics_responder_enabled",
            "METRICS_RESPONDER_SERVICE_HOST",
            "DoNotTrack",
            "enabled",
            "config.yaml",
        ] {
            let error = load("", &[(name, "false")], None).unwrap_err();
            let expected = format!(
                "{name}: not a variable of this program; METRICS_RESPONDER_ENABLED=false turns reporting off, "
            );
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains("METRICS_RESPONDER_ENDPOINT"), "{error}");
        }
        for name in ["OTEL_METRICS_ENABLED", "RKE2_SECURITY_RESPONDER_ENABLED"] {
            assert!(load("", &[(name, "x")], None).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_endpoint_is_shown_without_its_query() {
        let config = load("endpoint: 'https://a:8443/v1?key=secret'", &[], None).unwrap();
        assert_eq!(config.request(), "POST https://a:8443/v1");
    }
}
