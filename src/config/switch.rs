//! Decides whether reporting is on, and names the setting that decided it.
//!
//! The opt-outs are read before anything else can fail: with one of them set, a mistake in another
//! setting or in the rest of the file still gives "disabled".

use std::ffi::OsString;

use serde::{Deserialize, Deserializer};

use super::env::Env;
use super::file::{File, MAX_FILE};
use super::settings::{QUOTES, on_or_off};
use crate::error::Error;
use crate::yaml;

/// Reporting is on or off, because of this setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Switch {
    /// Disabled.
    Off {
        /// The setting.
        by: String,
    },
    /// Enabled.
    On {
        /// The setting that enables reporting, or a note that it is on by default.
        by: String,
    },
}

/// The documented opt-out.
///
/// The pod also takes its environment from this ConfigMap, which only the admin creates. No
/// installer owns it, so that no installation, upgrade or deletion undoes the setting.
pub fn opt_out_command(namespace: &str) -> String {
    format!(
        "kubectl -n {namespace} create configmap rke2-metrics-responder-override \
         --from-literal=METRICS_RESPONDER_ENABLED=false"
    )
}

pub(crate) const VARIABLE: &str = "METRICS_RESPONDER_ENABLED";

impl Switch {
    /// Reads `DO_NOT_TRACK`, then the variable, then the file. A value that is not understood is an
    /// error unless one of the others says off.
    pub fn find(file: &File, env: &Env) -> Result<Self, Error> {
        if let Some(by) = off_by_env(env) {
            return Ok(Self::Off { by });
        }
        let by_file = || file.place("enabled");
        match (in_env(env), in_file(file)) {
            (Ok(Some(_)), _) => Ok(Self::On { by: VARIABLE.to_owned() }),
            (_, Ok(Some(false))) => Ok(Self::Off { by: by_file() }),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(None), Ok(Some(true))) => Ok(Self::On { by: by_file() }),
            (Ok(None), Ok(None)) => {
                Ok(Self::On { by: "by default, nothing turns it off".to_owned() })
            }
        }
    }
}

/// Returns whether a variable of this name can turn reporting off.
pub(crate) fn is_opt_out(name: &str) -> bool {
    name == VARIABLE || name == "DO_NOT_TRACK"
}

/// Names the variable that turns reporting off, if there is one, without opening a file.
pub(crate) fn off_by_env(env: &Env) -> Option<String> {
    if do_not_track(env) {
        return Some("DO_NOT_TRACK".to_owned());
    }
    matches!(in_env(env), Ok(Some(false))).then(|| VARIABLE.to_owned())
}

/// Any value except `0` and `false` counts as an opt-out; the convention
/// (<https://www.donottrack.sh>) is `1`, but people use other values.
fn do_not_track(env: &Env) -> bool {
    let is_no = |value: &OsString| ["0", "false"].iter().any(|no| value.eq_ignore_ascii_case(no));
    env.raw("DO_NOT_TRACK").is_some_and(|value| !is_no(&value))
}

fn in_env(env: &Env) -> Result<Option<bool>, Error> {
    let text = env.get(VARIABLE)?;
    text.map(|text| on_or_off(&text).map_err(|reason| Error::config(VARIABLE, reason))).transpose()
}

fn in_file(file: &File) -> Result<Option<bool>, Error> {
    /// The rest of the file is read later.
    #[derive(Deserialize)]
    struct Enabled {
        #[serde(default, deserialize_with = "word")]
        enabled: Option<String>,
    }

    let Ok(text) = &file.text else {
        return Ok(None);
    };
    let understood = match (text.len() <= MAX_FILE).then(|| yaml::read(text)) {
        Some(Ok(Some(Enabled { enabled }))) => enabled.map(|word| on_or_off(&word)).transpose(),
        Some(Ok(None)) => Ok(None),
        // The mistake is reported when the rest of the file is read.
        None | Some(Err(_)) => Ok(has_line_off(text, "enabled").then_some(false)),
    };
    match understood {
        Err(_) if has_line_off(text, "enabled") => Ok(Some(false)),
        understood => understood.map_err(|reason| Error::config(file.place("enabled"), reason)),
    }
}

/// Reads a key without a value as an empty word, which is an error later: if a template lost the
/// value, that must not mean "on".
fn word<'de, D: Deserializer<'de>>(yaml: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(yaml).map(|word| Some(word.unwrap_or_default()))
}

/// Returns whether a line of the text is just `KEY: WORD` with a word for off. Used for files that
/// are not valid YAML: they end the run in any case, either as an opt-out or as a mistake.
pub(crate) fn has_line_off(text: &[u8], key: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.trim_start_matches('\u{feff}').split(['\n', '\r']);
    lines.any(|line| {
        let line = line.split('#').next().and_then(|line| line.split_once(':'));
        line.is_some_and(|(name, word)| {
            name.trim().trim_matches(QUOTES) == key && on_or_off(word) == Ok(false)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(yaml: &[u8], env: &[(&str, &str)]) -> Result<Switch, String> {
        let file = File::of("c.yaml", yaml);
        Switch::find(&file, &Env::of(env)).map_err(|e| e.to_string())
    }

    #[allow(clippy::unnecessary_wraps, reason = "compared with what `find` returns")]
    fn off(by: &str) -> Result<Switch, String> {
        Ok(Switch::Off { by: by.into() })
    }

    #[test]
    fn the_first_opt_out_is_named() {
        let enabled = ("METRICS_RESPONDER_ENABLED", "false");
        let track = ("DO_NOT_TRACK", "1");
        assert_eq!(find(b"enabled: false", &[enabled, track]), off("DO_NOT_TRACK"));
        assert_eq!(find(b"enabled: false", &[enabled]), off("METRICS_RESPONDER_ENABLED"));
        assert_eq!(find(b"enabled: false", &[]), off("c.yaml: enabled"));
        let on = |by: &str| Ok(Switch::On { by: by.into() });
        assert_eq!(find(b"enabled: true", &[]), on("c.yaml: enabled"));
        assert_eq!(find(b"", &[]), on("by default, nothing turns it off"));
    }

    #[test]
    fn do_not_track_overrides_the_variable_which_overrides_the_file() {
        let enabled = ("METRICS_RESPONDER_ENABLED", "true");
        let by = "METRICS_RESPONDER_ENABLED".to_owned();
        assert_eq!(find(b"enabled: false", &[enabled]), Ok(Switch::On { by }));
        assert_eq!(find(b"", &[enabled, ("DO_NOT_TRACK", "1")]), off("DO_NOT_TRACK"));
    }

    #[test]
    fn do_not_track_opts_out_unless_it_is_0_or_false() {
        for (value, opts_out) in [
            ("1", true),
            ("true", true),
            ("please", true),
            ("0", false),
            ("False", false),
            ("", false),
        ] {
            let found = find(b"", &[("DO_NOT_TRACK", value)]);
            assert_eq!(found == off("DO_NOT_TRACK"), opts_out, "{value:?}");
        }
    }

    #[test]
    fn common_spellings_of_off_and_on_are_understood() {
        for word in [
            "false",
            "no",
            "off",
            "0",
            "n",
            "f",
            "False",
            "NO",
            "N",
            "F",
            "\"false\"",
            "'off'",
            "\" no \"",
        ] {
            let yaml = format!("enabled: {word}\n");
            assert_eq!(find(yaml.as_bytes(), &[]), off("c.yaml: enabled"), "{word}");
            let env = [("METRICS_RESPONDER_ENABLED", word)];
            assert_eq!(find(b"", &env), off("METRICS_RESPONDER_ENABLED"), "{word}");
        }
        for word in ["true", "Yes", "on", "'1'", "y", "T"] {
            let yaml = format!("enabled: {word}\n");
            assert!(matches!(find(yaml.as_bytes(), &[]), Ok(Switch::On { .. })), "{word}");
        }
    }

    #[test]
    fn an_opt_out_counts_even_if_the_rest_of_the_file_is_invalid() {
        for yaml in [
            &b"enabled: false\nunknown: 1\n"[..],
            b"spread: 1s\n\"enabled\" : 'off' # for now\n\tx\n",
            b"  enabled\t:\tF\t# for now\n\tx\n",
            b"enabled: true\nenabled: false\n",
            b"enabled: false\n---\nenabled: true\n",
            b"a: &a [*a]\nenabled: 0\n",
            b"endpoint: \xff\xfe\nenabled: false",
            b"enabled: false\nenabled: [",
            b"\xef\xbb\xbfenabled: false\nspread: 1m",
            b"\xef\xbb\xbfenabled: false\nx: [",
            b"enabled: false\n  and so on",
            b"x: [\r\nenabled: n\r\n",
            b"enabled: true\renabled: ' off '\rx: [",
        ] {
            let text = String::from_utf8_lossy(yaml);
            assert_eq!(find(yaml, &[]), off("c.yaml: enabled"), "{text}");
            let maybe = [("METRICS_RESPONDER_ENABLED", "perhaps")];
            assert_eq!(find(yaml, &maybe), off("c.yaml: enabled"), "{text}");
        }
    }

    #[test]
    fn text_that_only_resembles_an_opt_out_leaves_reporting_on() {
        for yaml in [
            "# enabled: false\n\tx",
            "spread: 1s # enabled: false\n\tx",
            "disabled: false\n\tx",
            "{enabled: no, spread: [}",
            "enabled:\n  false\nx: [",
            "enabled: |-\n  false\nx: [",
            "? enabled\n: false\nx: [",
            "x enabled: false\n\t",
            "enabled: &a !!bool false\nx: [",
            "- enabled: false",
            "enabled: # false\n\tx",
            "enabled\n\tx",
            "a: {enabled: false}",
            "enabled: true\nenabled: true",
        ] {
            assert!(matches!(find(yaml.as_bytes(), &[]), Ok(Switch::On { .. })), "{yaml}");
        }
    }

    #[test]
    fn a_word_that_is_not_understood_is_an_error_with_its_place() {
        let expected = "true or false is expected, not \"maybe\"";
        assert_eq!(find(b"enabled: maybe", &[]), Err(format!("c.yaml: enabled: {expected}")));
        let env = [("METRICS_RESPONDER_ENABLED", "maybe")];
        let error = format!("METRICS_RESPONDER_ENABLED: {expected}");
        assert_eq!(find(b"", &env), Err(error.clone()));
        assert_eq!(find(b"enabled: true", &env), Err(error));
    }

    #[test]
    fn the_opt_out_names_the_namespace_of_the_pod() {
        assert_eq!(
            opt_out_command("kube-system"),
            "kubectl -n kube-system create configmap rke2-metrics-responder-override \
             --from-literal=METRICS_RESPONDER_ENABLED=false"
        );
    }
}
