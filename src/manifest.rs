//! RKE2's configuration → the manifest to install.
//!
//! The manifest is the rendered chart, built in; here it is adapted to the few keys of RKE2's or K3s'
//! `config.yaml` that concern it. All other keys are theirs and are not looked at.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::error::Error;
use crate::object::Object;
use crate::{config, proxy, schedule};

/// The chart, rendered with its defaults.
pub const MANIFEST: &str = include_str!("../deploy/upgrade-responder.yaml");

/// Where RKE2 and K3s read their configuration, unless told otherwise.
const CONFIGS: [&str; 2] = [
    "/etc/rancher/rke2/config.yaml",
    "/etc/rancher/k3s/config.yaml",
];

/// Whole configurations are a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// What installs the responder and what lets it read: not there where reporting is off.
const ACCESS: [&str; 3] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"];

/// The manifest for this configuration file (RKE2's own, or K3s' where only that exists), with its
/// drop-ins; an image that is given is taken as it is.
pub fn render(config: Option<&Path>, image: Option<&str>) -> Result<String, Error> {
    let settings = Settings::read(config.unwrap_or_else(|| default_config()))?;
    let image = image.map(ToOwned::to_owned).or_else(|| settings.image());
    patch(MANIFEST, &settings, image.as_deref())
}

fn default_config() -> &'static Path {
    let mut paths = CONFIGS.iter().map(Path::new);
    let exists = |path: &&Path| path.exists() || drop_in_folder(path).exists();
    paths.find(exists).unwrap_or(Path::new(CONFIGS[0]))
}

/// What a configuration means for the manifest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `metrics-responder-enabled`
    pub enabled: bool,
    /// `metrics-responder-config.endpoint`
    pub endpoint: Option<String>,
    /// `metrics-responder-config.schedule`
    pub schedule: Option<String>,
    /// `system-default-registry`
    pub registry: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: None,
            schedule: None,
            registry: None,
        }
    }
}

/// The keys of one file. With a `+`, RKE2 appends to the value so far: a later scalar still wins, and keys
/// are added to a mapping.
#[derive(Debug, Deserialize)]
struct Keys {
    #[serde(
        rename = "metrics-responder-enabled",
        alias = "metrics-responder-enabled+"
    )]
    enabled: Option<Value>,
    #[serde(rename = "metrics-responder-config")]
    config: Option<Value>,
    #[serde(rename = "metrics-responder-config+")]
    more_config: Option<Value>,
    #[serde(rename = "system-default-registry", alias = "system-default-registry+")]
    registry: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponderConfig {
    endpoint: Option<String>,
    schedule: Option<String>,
}

impl Settings {
    /// The file, then its drop-ins by name; the last value of a key wins. A missing file sets nothing.
    fn read(path: &Path) -> Result<Self, Error> {
        let mut settings = Self::default();
        for file in [vec![path.to_owned()], drop_ins(path)?].concat() {
            match config::read(&file, MAX_FILE) {
                Ok(text) => settings.add(&file.display().to_string(), &text)?,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::config(file.display().to_string(), e.to_string())),
            }
        }
        Ok(settings)
    }

    /// Adds what one file says.
    pub fn add(&mut self, file: &str, text: &[u8]) -> Result<(), Error> {
        let keys: Option<Object<Keys>> = serde_yaml::from_slice(text)
            .map_err(|e| Error::config(file.to_owned(), e.to_string()))?;
        let Some(Object(keys)) = keys else {
            return Ok(());
        };
        let at = |key: &str| format!("{file}: {key}");
        if let Some(value) = keys.enabled {
            self.enabled = bool(&value).ok_or_else(|| {
                Error::config(at("metrics-responder-enabled"), "true or false is expected")
            })?;
        }
        if let Some(value) = keys.registry {
            self.registry =
                registry(&value).map_err(|e| Error::config(at("system-default-registry"), e))?;
        }
        if let Some(value) = keys.config {
            (self.endpoint, self.schedule) = (None, None);
            self.configure(&at("metrics-responder-config"), value)?;
        }
        match keys.more_config {
            Some(value) => self.configure(&at("metrics-responder-config+"), value),
            None => Ok(()),
        }
    }

    fn configure(&mut self, place: &str, value: Value) -> Result<(), Error> {
        let config: Option<Object<ResponderConfig>> = serde_yaml::from_value(value)
            .map_err(|e| Error::config(place.to_owned(), e.to_string()))?;
        let ResponderConfig { endpoint, schedule } =
            config.map(|Object(config)| config).unwrap_or_default();
        if let Some(url) = &endpoint {
            config::parse_endpoint(url, false)
                .map_err(|e| Error::config(format!("{place}.endpoint"), e))?;
        }
        if let Some(text) = schedule.as_ref().filter(|text| !schedule::is_valid(text)) {
            let reason =
                format!("a schedule of five fields such as 0 */8 * * * is expected, not {text:?}");
            return Err(Error::config(format!("{place}.schedule"), reason));
        }
        self.endpoint = endpoint.or(self.endpoint.take());
        self.schedule = schedule.or(self.schedule.take());
        Ok(())
    }

    /// The chart's image out of the private registry, if there is one.
    fn image(&self) -> Option<String> {
        let registry = self.registry.as_ref()?;
        Some(format!(
            "{registry}/rancher/{}:v{}",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION")
        ))
    }
}

fn drop_in_folder(config: &Path) -> PathBuf {
    let mut folder = config.as_os_str().to_owned();
    folder.push(".d");
    folder.into()
}

fn drop_ins(config: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = drop_in_folder(config);
    let fault = |e: std::io::Error| Error::config(folder.display().to_string(), e.to_string());
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fault(e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        let is_yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if is_yaml && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// RKE2 makes a flag of each key, and `"true"` is as good a flag as `true`.
fn bool(value: &Value) -> Option<bool> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_bool().or(text)
}

/// As RKE2 takes it: `host[:port]`, without scheme or path; empty is none.
fn registry(value: &Value) -> Result<Option<String>, &'static str> {
    let expected = "a host, perhaps with a port, is expected";
    let text = value.as_str().ok_or(expected)?;
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(address) if !text.contains('@') && proxy::is_address(&address) => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(expected),
    }
}

/// Adapts a manifest. What it is adapted to already, it stays.
pub fn patch(manifest: &str, settings: &Settings, image: Option<&str>) -> Result<String, Error> {
    let broken = |reason: String| Error::config("the manifest".to_owned(), reason);
    let mut text = header(settings.enabled);
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let object = Option::<Mapping>::deserialize(document).map_err(|e| broken(e.to_string()))?;
        // A document of comments alone.
        let Some(mut object) = object else {
            continue;
        };
        let kind = object.get("kind").and_then(Value::as_str);
        let kind = kind.unwrap_or_default().to_owned();
        if !settings.enabled && ACCESS.contains(&kind.as_str()) {
            continue;
        }
        let patched = match kind.as_str() {
            "ConfigMap" => patch_config_map(&mut object, settings),
            "CronJob" => patch_cron_job(&mut object, settings, image),
            _ => Some(()),
        };
        patched.ok_or_else(|| broken(format!("{kind} is not as expected")))?;
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object).map_err(|e| broken(e.to_string()))?);
    }
    Ok(text)
}

fn header(enabled: bool) -> String {
    let state = if enabled {
        "Reporting is on. To turn it off: metrics-responder-enabled: false in RKE2's or K3s' config.yaml."
    } else {
        "Reporting is off: nothing runs, and nothing may be read."
    };
    format!("# rke2-metrics-responder, as `metrics-responder manifest` writes it.\n# {state}\n")
}

fn patch_config_map(object: &mut Mapping, settings: &Settings) -> Option<()> {
    let text = child(object, &["data"])?.get_mut("config.yaml")?;
    let mut config: Mapping = serde_yaml::from_str(text.as_str()?).ok()?;
    if let Some(endpoint) = &settings.endpoint {
        config.insert("endpoint".into(), endpoint.as_str().into());
    }
    config.insert("enabled".into(), settings.enabled.into());
    *text = serde_yaml::to_string(&config).ok()?.into();
    Some(())
}

fn patch_cron_job(object: &mut Mapping, settings: &Settings, image: Option<&str>) -> Option<()> {
    let spec = child(object, &["spec"])?;
    if let Some(schedule) = &settings.schedule {
        spec.insert("schedule".into(), schedule.as_str().into());
    }
    if !settings.enabled {
        spec.insert("suspend".into(), true.into());
    }
    let pod = child(spec, &["jobTemplate", "spec", "template", "spec"])?;
    if !settings.enabled {
        pod.shift_remove("serviceAccountName");
        pod.insert("automountServiceAccountToken".into(), false.into());
    }
    let container = pod.get_mut("containers")?.as_sequence_mut()?.first_mut()?;
    if let Some(image) = image {
        let container = container.as_mapping_mut()?;
        container.insert("image".into(), image.into());
    }
    Some(())
}

/// The mapping at the end of this path.
fn child<'a>(object: &'a mut Mapping, path: &[&str]) -> Option<&'a mut Mapping> {
    path.iter()
        .try_fold(object, |object, key| object.get_mut(*key)?.as_mapping_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[&str]) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (i, text) in files.iter().enumerate() {
            settings
                .add(&format!("{i}.yaml"), text.as_bytes())
                .map_err(|e| e.to_string())?;
        }
        Ok(settings)
    }

    fn objects(text: &str) -> Vec<Value> {
        let documents = serde_yaml::Deserializer::from_str(text);
        documents
            .map(|document| Value::deserialize(document).unwrap())
            .collect()
    }

    #[test]
    fn nothing_configured_is_the_chart_itself() {
        let text = patch(MANIFEST, &Settings::default(), None).unwrap();
        assert_eq!(objects(&text), objects(MANIFEST));
    }

    #[test]
    fn the_last_file_wins_and_a_plus_adds() {
        let first = "metrics-responder-config: {endpoint: https://a, schedule: '1 * * * *'}";
        for (files, endpoint, schedule) in [
            (&[first][..], Some("https://a"), Some("1 * * * *")),
            (
                &[first, "metrics-responder-config: {endpoint: https://b}"],
                Some("https://b"),
                None,
            ),
            (
                &[first, "metrics-responder-config+: {endpoint: https://b}"],
                Some("https://b"),
                Some("1 * * * *"),
            ),
            (
                &[first, "metrics-responder-config:"],
                Some("https://a"),
                Some("1 * * * *"),
            ),
            (
                &[first, "tls-san: [a]\ntls-san: [b]\ncni: canal\n"],
                Some("https://a"),
                Some("1 * * * *"),
            ),
            (&["", "# nothing\n"], None, None),
        ] {
            let settings = settings(files).unwrap();
            let found = (settings.endpoint.as_deref(), settings.schedule.as_deref());
            assert_eq!(found, (endpoint, schedule), "{files:?}");
        }
        let off = |files: &[&str]| !settings(files).unwrap().enabled;
        assert!(off(&["metrics-responder-enabled: false"]));
        assert!(off(&[
            "metrics-responder-enabled: true",
            "metrics-responder-enabled: 'false'"
        ]));
        assert!(!off(&[
            "metrics-responder-enabled: false",
            "metrics-responder-enabled+: true"
        ]));
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_key() {
        for (text, expected) in [
            (
                "metrics-responder-enabled: maybe",
                "0.yaml: metrics-responder-enabled: true or false",
            ),
            (
                "metrics-responder-config: {endpint: x}",
                "0.yaml: metrics-responder-config: unknown field `endpint`",
            ),
            (
                "metrics-responder-config: x",
                "0.yaml: metrics-responder-config: invalid type",
            ),
            (
                "metrics-responder-config: {endpoint: ftp://x}",
                "0.yaml: metrics-responder-config.endpoint: an https URL",
            ),
            (
                "metrics-responder-config: {endpoint: 'http://x'}",
                "0.yaml: metrics-responder-config.endpoint: http is only",
            ),
            (
                "metrics-responder-config: {schedule: hourly}",
                "0.yaml: metrics-responder-config.schedule: a schedule",
            ),
            (
                "metrics-responder-config+: {schedule: ''}",
                "0.yaml: metrics-responder-config+.schedule: a schedule",
            ),
            (
                "system-default-registry: https://x",
                "0.yaml: system-default-registry: a host",
            ),
            (
                "system-default-registry: x/y",
                "0.yaml: system-default-registry: a host",
            ),
            (
                "system-default-registry: x:99999",
                "0.yaml: system-default-registry: a host",
            ),
            ("\tx: y", "0.yaml: "),
            ("[]", "0.yaml: "),
        ] {
            let error = settings(&[text]).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_registry_stands_before_the_image() {
        let image = |text| settings(&[text]).unwrap().image();
        let expected = format!(
            "r.example:5000/rancher/rke2-metrics-responder:v{}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(
            image("system-default-registry: r.example:5000"),
            Some(expected)
        );
        assert_eq!(image("system-default-registry: ''"), None);
        assert_eq!(image(""), None);
    }

    #[test]
    fn off_leaves_nothing_that_could_read_or_send() {
        let off = settings(&["metrics-responder-enabled: false"]).unwrap();
        let text = patch(MANIFEST, &off, None).unwrap();
        let objects = objects(&text);
        let kinds: Vec<_> = objects
            .iter()
            .map(|o| o["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["ConfigMap", "CronJob"]);
        assert!(
            objects[0]["data"]["config.yaml"]
                .as_str()
                .unwrap()
                .contains("enabled: false")
        );
        let spec = &objects[1]["spec"];
        let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(spec["suspend"], true);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert!(pod.get("serviceAccountName").is_none());
    }

    #[test]
    fn a_manifest_patched_twice_is_patched_once() {
        for text in [
            "",
            "metrics-responder-enabled: false",
            "metrics-responder-config: {endpoint: 'https://a/?b=%23', schedule: '@daily'}",
        ] {
            let settings = settings(&[text]).unwrap();
            let once = patch(MANIFEST, &settings, Some("a/b:c")).unwrap();
            assert_eq!(patch(&once, &settings, Some("a/b:c")).unwrap(), once);
        }
    }
}
