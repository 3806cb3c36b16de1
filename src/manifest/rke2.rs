//! What `config.yaml` of RKE2 or K3s says about the responder, read as RKE2 reads it: the file,
//! then its drop-ins by name; the last value of a key wins, and a `+` behind a key adds.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::{Mapping, Value};

use super::registry;
use crate::config::env::Env;
use crate::config::file::read;
use crate::config::settings::{Keys, Settings, on_or_off};
use crate::config::spelling::resembles_ours;
use crate::error::Error;
use crate::yaml;

/// Whole configurations are a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// Where RKE2 and K3s read their configuration by default, and the variable that names another
/// file.
const PLACES: [(&str, &str); 2] = [
    ("etc/rancher/rke2/config.yaml", "RKE2_CONFIG_FILE"),
    ("etc/rancher/k3s/config.yaml", "K3S_CONFIG_FILE"),
];

/// What a configuration means for the manifest.
#[derive(Debug, Default)]
pub struct Rke2Config {
    /// The first mistake in our keys.
    mistake: Option<Error>,
    /// `metrics-responder-enabled`
    enabled: Option<bool>,
    /// `metrics-responder-config`: the keys of the ConfigMap's file.
    pub(super) keys: Mapping,
    /// `metrics-responder-config.schedule`
    pub(super) schedule: Option<String>,
    /// `system-default-registry`
    registry: Option<String>,
}

/// Finds the configuration. Without one, `None` stands for the defaults where the manifest is
/// written to a file, as on a server that is about to be installed. Where it is only printed, that
/// is an error: on a workstation the defaults would read as "on".
pub(crate) fn find(
    named: Option<&Path>,
    env: &Env,
    root: &Path,
    written: bool,
) -> Result<Option<PathBuf>, Error> {
    if let Some(file) = named {
        return must_exist(file, "--rke2-config").map(Some);
    }
    for (_, variable) in PLACES {
        if let Some(file) = env.get(variable)? {
            return must_exist(Path::new(&file), variable).map(Some);
        }
    }
    let (mut configured, mut installed) = (Vec::new(), Vec::new());
    for (place, _) in PLACES {
        let file = root.join(place);
        if exists(&file)? || exists(&drop_in_folder(&file))? {
            configured.push(file);
        } else if file.parent().map_or(Ok(false), exists)? {
            installed.push(file);
        }
    }
    if configured.len() > 1 {
        return Err(Error::args(
            "both RKE2 and K3s are configured on this machine: name one configuration with --rke2-config",
        ));
    }
    let found = configured.into_iter().chain(installed).next();
    if found.is_none() && !written {
        return Err(Error::args(
            "neither /etc/rancher/rke2 nor /etc/rancher/k3s is on this machine: name a configuration with \
             --rke2-config (/dev/null for the defaults)",
        ));
    }
    Ok(found)
}

fn must_exist(file: &Path, origin: &str) -> Result<PathBuf, Error> {
    match fs::metadata(file) {
        Ok(_) => Ok(file.to_owned()),
        Err(e) => Err(Error::config(format!("{origin} {}", file.display()), e)),
    }
}

/// Whether anything is there. What cannot be looked at, or is a link that leads nowhere, is an
/// error: as "nothing" it would read as "on".
fn exists(path: &Path) -> Result<bool, Error> {
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        _ => fs::metadata(path),
    };
    found
        .map(|_| true)
        .map_err(|e| Error::config(path.display().to_string(), e))
}

impl Rke2Config {
    /// Reads the file, which may be missing where it has drop-ins, and these.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut config = Self::default();
        let own = exists(path)?.then(|| path.to_owned());
        for file in own.into_iter().chain(drop_ins(path)?) {
            let origin = file.display().to_string();
            let text = read(&file, MAX_FILE).map_err(|e| Error::config(&origin, e))?;
            config.add(&origin, &text)?;
        }
        Ok(config)
    }

    /// Adds what one file says, and keeps the first mistake in our keys for [`Self::judged`].
    pub fn add(&mut self, file: &str, text: &[u8]) -> Result<(), Error> {
        let keys = yaml::read_first(text).map_err(|e| Error::config(file, e))?;
        for (key, value) in keys.into_iter().flat_map(|OwnKeys(keys)| keys) {
            let place = format!("{file}: {key}");
            let result = match key.trim_end_matches('+') {
                "metrics-responder-enabled" => {
                    flag(&place, &value).map(|on| self.enabled = Some(on))
                }
                "metrics-responder-config" => self.configure(&place, value, key.ends_with('+')),
                REGISTRY => registry::parse(&value)
                    .map(|registry| self.registry = registry)
                    .map_err(|e| Error::config(place, e)),
                _ => {
                    let reason = "not a key of the responder; metrics-responder-enabled: false turns \
                                  reporting off, metrics-responder-config has its settings";
                    Err(Error::config(place, reason))
                }
            };
            if let Err(mistake) = result {
                self.mistake.get_or_insert(mistake);
            }
        }
        Ok(())
    }

    /// The whole configuration, with a mistake that does not matter because reporting is off: an
    /// opt-out takes precedence here too. The keys are then the defaults.
    pub fn judged(mut self) -> Result<(Self, Option<Error>), Error> {
        match self.mistake.take() {
            Some(mistake) if self.is_enabled() => Err(mistake),
            Some(mistake) => {
                let disabled = Self {
                    enabled: Some(false),
                    registry: self.registry,
                    ..Self::default()
                };
                Ok((disabled, Some(mistake)))
            }
            None => Ok((self, None)),
        }
    }

    /// Whether the manifest reports. Either key turns it off.
    pub fn is_enabled(&self) -> bool {
        let key = self.keys.get("enabled").and_then(scalar);
        let off = key.is_some_and(|word| on_or_off(&word) == Ok(false));
        self.enabled != Some(false) && !off
    }

    /// The image of the release out of the private registry, if there is one.
    pub(super) fn image(&self) -> Option<String> {
        let registry = self.registry.as_ref()?;
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Some(format!("{registry}/rancher/{name}:v{version}"))
    }

    fn configure(&mut self, place: &str, value: Value, add: bool) -> Result<(), Error> {
        let mut keys = match value {
            Value::Null => return Ok(()),
            Value::Mapping(keys) => keys,
            _ => {
                return Err(Error::config(
                    place,
                    "a mapping of keys to values is expected",
                ));
            }
        };
        // RKE2 replaces the whole value of a key, unless the key has a `+`.
        if !add {
            (self.keys, self.schedule) = (Mapping::new(), None);
        }
        // As in the file, a key without a value is not set. `enabled` has to say what it means.
        keys.retain(|key, value| key == "enabled" || !value.is_null());
        // What is wrong besides does not take back an `enabled: false`.
        let schedule_key = keys.shift_remove("schedule");
        self.keys.extend(keys);
        if let Some(value) = schedule_key {
            self.schedule =
                Some(schedule(&value).map_err(|e| Error::config(format!("{place}.schedule"), e))?);
        }
        self.judge(place)
    }

    /// By the code that judges the file of the ConfigMap.
    fn judge(&self, place: &str) -> Result<(), Error> {
        let file = serde_yaml::to_string(&self.keys);
        let keys = file.and_then(|file| Keys::parse(file.as_bytes()));
        // Beside these keys there is `schedule`.
        let keys = keys.map_err(|e| {
            Error::config(place, e.to_string().replacen("of `", "of `schedule`, `", 1))
        })?;
        if let Some(value) = self.keys.get("enabled") {
            flag(&format!("{place}.enabled"), value)?;
        }
        Settings::new(keys, &format!("{place}."), &Env::of(&[]), None).map(|_| ())
    }
}

const REGISTRY: &str = "system-default-registry";

/// Returns whether a key concerns the responder. A key that merely resembles ours does too: a
/// misspelt opt-out must not read as "on".
fn is_ours(key: &str) -> bool {
    resembles_ours(key) || key.trim_end_matches('+') == REGISTRY
}

fn names_ours(merged: &Value) -> bool {
    match merged {
        Value::Mapping(keys) => keys.keys().filter_map(Value::as_str).any(is_ours),
        Value::Sequence(mappings) => mappings.iter().any(names_ours),
        _ => false,
    }
}

/// A switch as people write it; RKE2 makes a flag of each key, and `"true"` is as good a flag as
/// `true`.
fn flag(place: &str, value: &Value) -> Result<bool, Error> {
    let word = scalar(value).unwrap_or_default();
    on_or_off(&word).map_err(|reason| Error::config(place, reason))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The shape alone: five fields, `@daily` and the like, or `@every 8h`. The API server judges the
/// rest.
fn schedule(value: &Value) -> Result<String, String> {
    let text = scalar(value).unwrap_or_default();
    let has_shape = match text.split_whitespace().collect::<Vec<_>>()[..] {
        [word] => word.len() > 1 && word.starts_with('@'),
        ["@every", _] | [_, _, _, _, _] => true,
        _ => false,
    };
    if has_shape {
        Ok(text)
    } else {
        Err(format!(
            "five fields such as 0 */8 * * *, @daily or @every 8h are expected, not {text:?}"
        ))
    }
}

fn drop_in_folder(config: &Path) -> PathBuf {
    let mut folder = config.as_os_str().to_owned();
    folder.push(".d");
    folder.into()
}

/// What the name of a drop-in ends in, whatever the case.
const ENDINGS: [&str; 2] = [".yaml", ".yml"];

/// The drop-ins in the order of their names.
fn drop_ins(config: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = drop_in_folder(config);
    let fault = |e| Error::config(folder.display().to_string(), e);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fault(e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        let name = path.to_string_lossy().to_ascii_lowercase();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The keys that concern the responder, each as often as it is written, which RKE2 allows.
struct OwnKeys(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OwnKeys {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = OwnKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of keys to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OwnKeys, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if is_ours(&key) {
                        entries.push((key, map.next_value()?));
                    } else if key == "<<" {
                        // RKE2 reads such keys too. They are few enough to be refused.
                        let merged: Value = map.next_value()?;
                        if names_ours(&merged) {
                            entries.push((key, merged));
                        }
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OwnKeys(entries))
            }
        }

        yaml.deserialize_map(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    /// What is found on a machine with these files.
    fn found(files: &[&str], written: bool) -> Result<Option<String>, Error> {
        let root = std::env::temp_dir().join(format!(
            "root-{}-{}",
            std::process::id(),
            files.join("-").replace('/', "_")
        ));
        for file in files {
            let file = root.join("etc/rancher").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let found = find(None, &Env::of(&[]), &root, written);
        let _ = fs::remove_dir_all(&root);
        let relative = |file: PathBuf| file.strip_prefix(&root).unwrap().display().to_string();
        found.map(|file| file.map(relative))
    }

    #[test]
    fn the_configuration_is_that_of_rke2_or_of_k3s_where_only_that_exists() {
        let rke2 = Some("etc/rancher/rke2/config.yaml".to_owned());
        let k3s = Some("etc/rancher/k3s/config.yaml".to_owned());
        for (files, expected) in [
            (&["rke2/config.yaml"][..], &rke2),
            (&["k3s/config.yaml"], &k3s),
            // A drop-in is a configuration.
            (&["k3s/config.yaml.d/x.yaml"], &k3s),
            (&["rke2/rke2.yaml", "k3s/config.yaml"], &k3s),
            // An installation without one has the defaults.
            (&["rke2/rke2.yaml"], &rke2),
            (&["k3s/k3s.yaml"], &k3s),
            (&["rke2/rke2.yaml", "k3s/k3s.yaml"], &rke2),
        ] {
            for written in [false, true] {
                assert_eq!(&found(files, written).unwrap(), expected, "{files:?}");
            }
        }
    }

    #[test]
    fn keys_are_those_of_a_mapping() {
        let error = serde_yaml::from_str::<OwnKeys>("[]").err().unwrap();
        let expected = "expected a mapping of keys to values";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_nothing() {
        let root = std::env::temp_dir().join(format!("links-{}", std::process::id()));
        let folder = root.join("etc/rancher");
        fs::create_dir_all(&folder).unwrap();
        for link in ["rke2", "k3s"] {
            let link = folder.join(link);
            std::os::unix::fs::symlink("/nowhere", &link).unwrap();
            let error = find(None, &Env::of(&[]), &root, true).unwrap_err();
            assert!(error.kind == error::ErrorKind::Config, "{error}");
            fs::remove_file(link).unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "a file where a folder should be").unwrap();
        assert!(find(None, &Env::of(&[]), &root, true).is_err());
        fs::remove_dir_all(root).unwrap();
    }

    /// Which of two is meant, only a person can say.
    #[test]
    fn two_configurations_are_one_too_many() {
        let both = ["rke2/config.yaml", "k3s/config.yaml.d/x.yaml"];
        for written in [false, true] {
            assert!(matches!(
                found(&both, written),
                Err(e) if e.kind == error::ErrorKind::Args
            ));
        }
    }

    #[test]
    fn without_an_installation_the_defaults_are_written_but_not_printed() {
        assert_eq!(found(&[], true).unwrap(), None);
        assert!(matches!(
            found(&[], false),
            Err(e) if e.kind == error::ErrorKind::Args
        ));
        assert!(matches!(
            found(&["other/config.yaml"], false),
            Err(e) if e.kind == error::ErrorKind::Args
        ));
    }
}
