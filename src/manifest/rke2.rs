//! Reads the responder's keys of RKE2's or K3s' `config.yaml` as RKE2 does: the file, then its
//! drop-ins by name. The last value of a key wins; a `+` after a key adds to its value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_yaml::{Mapping, Value};

use crate::args::local;
use crate::config::env::Env;
use crate::config::file::read;
use crate::config::settings::{KEYS, Keys, Settings, on_or_off};
use crate::config::spelling::resembles_ours;
use crate::config::switch::has_line_off;
use crate::error::Error;
use crate::yaml;

/// Whole configurations are a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// The default configuration files of RKE2 and K3s, each with the variable that names another file.
const PLACES: [(&str, &str); 2] = [
    ("etc/rancher/rke2/config.yaml", "RKE2_CONFIG_FILE"),
    ("etc/rancher/k3s/config.yaml", "K3S_CONFIG_FILE"),
];

/// The part of a configuration that concerns the manifest.
#[derive(Debug, Default)]
pub struct Rke2Config {
    /// The first mistake in our keys.
    mistake: Option<Error>,
    /// `metrics-responder-enabled`
    enabled: Option<bool>,
    /// `disable` names this manifest.
    disabled: bool,
    /// `metrics-responder-config`: the keys of the ConfigMap's file.
    pub(super) keys: Mapping,
    /// The file that set them last, with that key.
    pub(super) place: String,
    /// `metrics-responder-config.schedule`
    pub(super) schedule: Option<String>,
    /// `system-default-registry`
    registry: Option<String>,
}

/// Finds the configuration file. Returns `None`, which means the defaults, on a server without one,
/// and on any machine if the manifest is `written` to a file, because RKE2 may be installed later.
/// Printing a manifest on a workstation is an error: its defaults could be taken for a server's.
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
            return must_exist(&local(variable, file)?, variable).map(Some);
        }
    }
    let (mut configured, mut is_server) = (Vec::new(), written);
    for (place, _) in PLACES {
        let file = root.join(place);
        let folder = file.parent().unwrap_or(root);
        if exists(&file)? || exists(&drop_in_folder(&file))? {
            configured.push(file);
        } else if exists(folder)? {
            is_server = must_exist(folder, "the folder").map(|_| true)?;
        }
    }
    match configured.len() {
        0 if is_server => Ok(None),
        0 => Err(Error::args(
            "neither /etc/rancher/rke2 nor /etc/rancher/k3s is on this machine: name a configuration with \
             --rke2-config (/dev/null for the defaults)",
        )),
        1 => Ok(configured.pop()),
        _ => Err(Error::args(
            "both RKE2 and K3s are configured on this machine: name one configuration with --rke2-config",
        )),
    }
}

fn must_exist(file: &Path, origin: &str) -> Result<PathBuf, Error> {
    let fault = |e| Error::config(format!("{origin} {}", file.display()), e);
    fs::metadata(file).map(|_| file.to_owned()).map_err(fault)
}

/// Returns true if the path exists. A dangling link counts, so that reading it fails: if it counted
/// as missing, reporting would be on by default.
fn exists(path: &Path) -> Result<bool, Error> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true).map_err(|e| Error::config(path.display(), e)),
    }
}

impl Rke2Config {
    /// Reads the file, if there is one, and then its drop-ins.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut config = Self::default();
        let own = exists(path)?.then(|| path.to_owned());
        let drop_ins = drop_ins(path).unwrap_or_else(|mistake| {
            config.keep(mistake);
            Vec::new()
        });
        for file in own.into_iter().chain(drop_ins) {
            match read(&file, MAX_FILE) {
                Ok(text) => config.add(&file.display().to_string(), &text),
                Err(e) => config.keep(Error::config(file.display(), e)),
            }
        }
        Ok(config)
    }

    /// Adds the keys of one file.
    pub fn add(&mut self, file: &str, text: &[u8]) {
        let text = utf8(text);
        let keys = own_keys(&text).unwrap_or_else(|e| {
            // An opt-out counts all the same, also one in metrics-responder-config.
            if [ENABLED, "enabled"].iter().any(|key| has_line_off(&text, key)) {
                self.enabled = Some(false);
            }
            self.keep(Error::config(file, e));
            Vec::new()
        });
        for (key, value) in keys {
            if let Err(mistake) = self.set(&key, value, &format!("{file}: {key}")) {
                self.keep(mistake);
            }
        }
    }

    /// Keeps the first mistake for [`Self::validate`].
    fn keep(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    fn set(&mut self, key: &str, value: Value, place: &str) -> Result<(), Error> {
        let (name, adds) = name(key);
        match name {
            ENABLED => self.enabled = Some(flag(place, &value)?),
            "metrics-responder-config" if value.is_null() => {}
            "metrics-responder-config" => self.configure(place, value, adds)?,
            // RKE2 itself knows this manifest by the name of its file, upgrade-responder.
            DISABLE => self.disabled = names_ours(&value) || adds && self.disabled,
            REGISTRY => self.registry = registry(&value).map_err(|e| Error::config(place, e))?,
            _ => {
                let reason = "not a key of the responder; metrics-responder-enabled: false turns \
                              reporting off, metrics-responder-config has its settings";
                return Err(Error::config(place, reason));
            }
        }
        Ok(())
    }

    /// Returns the configuration, and a mistake that is ignored because reporting is off: an
    /// opt-out takes precedence over mistakes in other settings, which are then the defaults.
    pub fn validate(mut self) -> Result<(Self, Option<Error>), Error> {
        let Some(mistake) = self.mistake.take() else {
            return Ok((self, None));
        };
        if self.is_enabled() {
            return Err(mistake);
        }
        let mut disabled = Self::default();
        (disabled.enabled, disabled.registry) = (Some(false), self.registry);
        Ok((disabled, Some(mistake)))
    }

    /// Returns whether the manifest reports. Each of three keys turns it off.
    pub fn is_enabled(&self) -> bool {
        let key = self.keys.get("enabled").and_then(scalar);
        let off = key.is_some_and(|word| on_or_off(&word) == Ok(false));
        self.enabled != Some(false) && !off && !self.disabled
    }

    /// The release's image in the private registry, if there is one.
    pub(super) fn image(&self) -> Option<String> {
        let registry = self.registry.as_ref()?;
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Some(format!("{registry}/rancher/{name}:v{version}"))
    }

    fn configure(&mut self, place: &str, value: Value, adds: bool) -> Result<(), Error> {
        let Value::Mapping(mut keys) = value else {
            return Err(Error::config(place, "a mapping of keys to values is expected"));
        };
        // RKE2 replaces the whole value of a key, unless the key has a `+`.
        if !adds {
            (self.keys, self.schedule) = (Mapping::new(), None);
        }
        place.clone_into(&mut self.place);
        let schedule_key = keys.shift_remove("schedule").filter(|value| !value.is_null());
        // As in the file, a key without a value is not set. `enabled` needs one.
        let is_optional = |key: &Value| key.as_str().is_some_and(|key| KEYS[1..].contains(&key));
        keys.retain(|key, value| !value.is_null() || !is_optional(key));
        // Other mistakes must not undo `enabled: false`.
        self.keys.extend(keys);
        if let Some(value) = schedule_key {
            let place = format!("{place}.schedule");
            self.schedule = Some(schedule(&value).map_err(|e| Error::config(place, e))?);
        }
        self.check(place)
    }

    /// Checks the settings with the code that reads the ConfigMap's file.
    fn check(&self, place: &str) -> Result<(), Error> {
        if self.keys.contains_key("caFile") {
            let reason = "this manifest mounts no file; the chart can, see its value caBundle";
            return Err(Error::config(format!("{place}.caFile"), reason));
        }
        if !self.keys.keys().all(Value::is_string) {
            return Err(Error::config(place, "a mapping of keys to values is expected"));
        }
        let file = serde_yaml::to_string(&self.keys);
        let keys = file.and_then(|file| Keys::parse(file.as_bytes()));
        let keys = keys.map_err(|e| {
            let reason = e.to_string().replace("`caFile`, ", "");
            Error::config(place, reason.replacen("of `", "of `schedule`, `", 1))
        })?;
        if let Some(value) = self.keys.get("enabled") {
            flag(&format!("{place}.enabled"), value)?;
        }
        Settings::new(keys, &format!("{place}."), &Env::of(&[]), None).map(|_| ())
    }
}

const ENABLED: &str = "metrics-responder-enabled";
const DISABLE: &str = "disable";
const REGISTRY: &str = "system-default-registry";

/// Splits off the `+` that adds to a value instead of replacing it.
fn name(key: &str) -> (&str, bool) {
    key.strip_suffix('+').map_or((key, false), |name| (name, true))
}

/// Returns whether a key concerns the responder. A key that merely resembles ours does too: a
/// misspelt opt-out must not mean "on".
fn is_ours(key: &str) -> bool {
    matches!(name(key).0, DISABLE | REGISTRY) || resembles_ours(key)
}

/// Returns true if a list, a text with commas or, by mistake, a mapping has the name of this
/// manifest, or nearly that.
fn names_ours(value: &Value) -> bool {
    match value {
        Value::String(names) => names.split(',').any(resembles_ours),
        Value::Sequence(names) => names.iter().any(names_ours),
        Value::Mapping(names) => {
            names.iter().any(|(key, value)| names_ours(key) || names_ours(value))
        }
        _ => false,
    }
}

/// RKE2 removes blanks around a registry and a slash after it, and trusts the rest.
fn registry(value: &Value) -> Result<Option<String>, &'static str> {
    const EXPECTED: &str = "a registry is expected, written host[:port][/path]";
    let text = scalar(value).ok_or(EXPECTED)?;
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains("://") || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(EXPECTED);
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Reads a switch in any of the words that people use.
fn flag(place: &str, value: &Value) -> Result<bool, Error> {
    let word = scalar(value).unwrap_or_default();
    on_or_off(&word).map_err(|reason| Error::config(place, reason))
}

/// Returns a value as text. RKE2 makes a flag of each key, so `"true"` and `[true]` are the same as
/// `true`.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Sequence(list) if list.len() == 1 => scalar(&list[0]),
        _ => None,
    }
}

/// Checks only the shape: five fields, `@daily` and the like, or `@every 8h`. The API server
/// validates the rest.
fn schedule(value: &Value) -> Result<String, String> {
    let text = scalar(value).unwrap_or_default();
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["@every", _] | [_, _, _, _, _] => Ok(text),
        [word] if word.len() > 1 && word.starts_with('@') => Ok(text),
        _ => Err(format!(
            "five fields such as 0 */8 * * *, @daily or @every 8h are expected, not {text:?}"
        )),
    }
}

fn drop_in_folder(config: &Path) -> PathBuf {
    let mut folder = config.as_os_str().to_owned();
    folder.push(".d");
    folder.into()
}

/// The file extensions of drop-ins, in any case.
const ENDINGS: [&str; 2] = [".yaml", ".yml"];

/// Lists the drop-ins in the order of their names.
fn drop_ins(config: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = drop_in_folder(config);
    let fault = |e| Error::config(folder.display(), e);
    if !exists(&folder)? {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).map_err(fault)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<_> = paths.collect::<Result<_, _>>().map_err(fault)?;
    files.retain(|path| {
        let name = path.to_string_lossy().to_ascii_lowercase();
        ENDINGS.iter().any(|ending| name.ends_with(ending)) && !path.is_dir()
    });
    files.sort();
    Ok(files)
}

/// Converts UTF-16, which RKE2 also reads if it begins with a byte order mark.
fn utf8(text: &[u8]) -> Cow<'_, [u8]> {
    let unit = match text {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return text.into(),
    };
    let (pairs, _) = text.as_chunks();
    let units: Vec<_> = pairs.iter().copied().map(unit).collect();
    String::from_utf16_lossy(&units).into_bytes().into()
}

/// Reads the keys that concern the responder. Keeps duplicate keys, because RKE2 allows them.
fn own_keys(text: &[u8]) -> Result<Vec<(String, Value)>, serde_yaml::Error> {
    match yaml::read_first(text) {
        // RKE2 reads an empty list as an empty file.
        Err(_) if yaml::first::<[(); 0]>(text).is_ok() => Ok(Vec::new()),
        keys => Ok(keys?.map_or_else(Vec::new, |OwnKeys(keys)| keys)),
    }
}

struct OwnKeys(Vec<(String, Value)>);

/// A value of one of our keys. RKE2 allows a mapping to repeat a key: the last one counts.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum OwnValue {
    Keys(BTreeMap<String, Value>),
    Other(Value),
}

impl<'de> Deserialize<'de> for OwnKeys {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = OwnKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of keys to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OwnKeys, A::Error> {
                let (mut merged, mut entries) = (Vec::new(), Vec::new());
                while let Some(key) = map.next_key::<Value>()? {
                    match key.as_str() {
                        Some("<<") => merged.extend(merge(map.next_value()?)),
                        Some(key) if is_ours(key) => {
                            let value = serde_yaml::to_value(map.next_value::<OwnValue>()?);
                            entries.push((key.to_owned(), value.map_err(A::Error::custom)?));
                        }
                        _ => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                }
                // A key of the mapping itself has precedence over a merged one.
                merged.append(&mut entries);
                Ok(OwnKeys(merged))
            }
        }

        yaml.deserialize_map(KeyVisitor)
    }
}

/// The entries that a merge key `<<` adds. The first mapping of a list has precedence.
fn merge(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Sequence(list) => list.into_iter().rev().flat_map(merge).collect(),
        Value::Mapping(keys) => {
            let entries = keys.into_iter().map(|(key, value)| match key {
                Value::String(key) if key == "<<" => merge(value),
                Value::String(key) if is_ours(&key) => vec![(key, value)],
                _ => Vec::new(),
            });
            entries.flatten().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    /// Finds the configuration of a machine with these files.
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
            (&["rke2/rke2.yaml"], &None),
            (&["k3s/k3s.yaml"], &None),
            (&["rke2/rke2.yaml", "k3s/k3s.yaml"], &None),
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
        // An earlier process with the same id may have left it.
        let _ = fs::remove_dir_all(&root);
        let folder = root.join("etc/rancher");
        fs::create_dir_all(&folder).unwrap();
        for link in ["rke2", "k3s"] {
            let link = folder.join(link);
            std::os::unix::fs::symlink("/nowhere", &link).unwrap();
            let error = find(None, &Env::of(&[]), &root, true).unwrap_err();
            assert!(error.kind == error::ErrorKind::Config, "{error}");
            fs::remove_file(link).unwrap();
        }
        // A folder of drop-ins that cannot be read is no missing one, and costs no opt-out.
        let named = folder.join("a.yaml");
        fs::write(&named, "").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.join("a.yaml.d")).unwrap();
        assert!(Rke2Config::read(&named).unwrap().validate().is_err());
        fs::write(&named, "disable: metrics-responder").unwrap();
        assert!(!Rke2Config::read(&named).unwrap().validate().unwrap().0.is_enabled());
        // An opt-out in a drop-in counts beside it.
        let config = folder.join("config.yaml");
        std::os::unix::fs::symlink("/nowhere", &config).unwrap();
        fs::create_dir(folder.join("config.yaml.d")).unwrap();
        fs::write(folder.join("config.yaml.d/1.yaml"), "disable: metrics-responder").unwrap();
        let (config, mistake) = Rke2Config::read(&config).unwrap().validate().unwrap();
        assert!(!config.is_enabled() && mistake.unwrap().to_string().contains("/config.yaml: "));
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "a file where a folder should be").unwrap();
        assert!(find(None, &Env::of(&[]), &root, true).is_err());
        fs::remove_dir_all(root).unwrap();
    }

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
