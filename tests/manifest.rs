//! `metrics-responder-manifest`: the configuration of RKE2 or K3s → the manifest to install, printed
//! or written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metrics_responder::internals::{MANIFEST, MANIFEST_HELP, Rke2Config, opt_out_command, patch};
use serde::Deserialize;
use serde_yaml::Value;
use support::Folder;
use support::run::{Run, finish, manifest_with};

const OFF: &str = "metrics-responder-enabled: false\n";

/// Runs the command for the configuration in this folder.
fn manifest(folder: &Folder, args: &[&str]) -> Run {
    let config = folder.path().join("config.yaml");
    let named = ["--rke2-config", config.to_str().unwrap()];
    manifest_with(&[&named, args].concat(), &[])
}

/// The manifest for a configuration and its drop-ins.
fn printed(config: &str, drop_ins: &[(&str, &str)]) -> Objects {
    let folder = Folder::new();
    folder.write("config.yaml", config);
    for (name, text) in drop_ins {
        folder.write(&format!("config.yaml.d/{name}"), text);
    }
    let run = manifest(&folder, &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    Objects::of(&run.stdout)
}

fn refused(config: &str) -> String {
    let folder = Folder::new();
    folder.write("config.yaml", config);
    let run = manifest(&folder, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{config}: {run:?}");
    assert_eq!(run.lines().len(), 1, "{run:?}");
    run.answer().unwrap().replace(folder.path().to_str().unwrap(), "")
}

/// A manifest, taken apart.
#[derive(Debug, PartialEq)]
struct Objects(Vec<Value>);

impl Objects {
    fn of(text: &str) -> Self {
        let documents = serde_yaml::Deserializer::from_str(text);
        let values = documents.map(|document| Value::deserialize(document).unwrap());
        Self(values.filter(|value| !value.is_null()).collect())
    }

    fn kinds(&self) -> Vec<&str> {
        self.0.iter().map(|object| object["kind"].as_str().unwrap()).collect()
    }

    fn get(&self, kind: &str) -> &Value {
        self.0.iter().find(|object| object["kind"] == kind).unwrap()
    }

    /// A key of the ConfigMap's file.
    fn key(&self, key: &str) -> Value {
        let file = self.get("ConfigMap")["data"]["config.yaml"].as_str().unwrap();
        let keys: Value = serde_yaml::from_str(file).unwrap();
        keys.get(key).cloned().unwrap_or_default()
    }

    fn spec(&self) -> &Value {
        &self.get("CronJob")["spec"]
    }

    fn pod(&self) -> &Value {
        &self.spec()["jobTemplate"]["spec"]["template"]["spec"]
    }

    fn image(&self) -> &str {
        self.pod()["containers"][0]["image"].as_str().unwrap()
    }

    fn deadline(&self) -> u64 {
        self.spec()["jobTemplate"]["spec"]["activeDeadlineSeconds"].as_u64().unwrap()
    }

    fn is_off(&self) -> bool {
        let off = self.key("enabled") == false;
        let removed = self.kinds() == ["ConfigMap", "CronJob"];
        let suspended = self.spec().get("suspend") == Some(&Value::Bool(true));
        assert!(off == removed && off == suspended, "{self:?}");
        off
    }
}

#[test]
fn help_and_version_are_printed() {
    for flag in ["-h", "--help"] {
        let run = manifest_with(&[flag, "--output"], &[]);
        assert_eq!((run.code, &*run.stdout), (Some(0), MANIFEST_HELP));
    }
    let version = concat!("metrics-responder-manifest ", env!("CARGO_PKG_VERSION"));
    for flag in ["-V", "--version"] {
        let run = manifest_with(&[flag], &[]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.starts_with(version), "{run:?}");
    }
    let run = manifest_with(&["--dry-run"], &[]);
    assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:?}");
}

#[test]
fn nothing_configured_is_the_chart_itself() {
    let run = manifest_with(&["--rke2-config", "/dev/null"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(Objects::of(&run.stdout), Objects::of(MANIFEST));
    let opt_out = format!("# Reporting enabled. Turn it off: {}\n", opt_out_command("kube-system"));
    assert!(run.stdout.contains(&opt_out), "{}", run.stdout);
    assert_eq!(printed("# nothing\n", &[]), Objects::of(MANIFEST));
    assert_eq!(
        printed("cni: [multus, canal]\ntls-san: [a]\ntls-san: [b]\n1: x\n", &[]),
        Objects::of(MANIFEST)
    );
}

#[test]
fn off_leaves_nothing_that_could_read_or_send() {
    for config in [
        OFF,
        "metrics-responder-enabled: no\n",
        "metrics-responder-enabled: 'False'\n",
        "metrics-responder-enabled+: 0\n",
        "metrics-responder-config: {enabled: off}\n",
        "metrics-responder-enabled: true\nmetrics-responder-config: {enabled: false}\n",
        "metrics-responder-enabled: false\nmetrics-responder-config: {enabled: true}\n",
    ] {
        let objects = printed(config, &[]);
        assert!(objects.is_off(), "{config}");
        assert_eq!(objects.pod()["automountServiceAccountToken"], false);
        assert!(objects.pod().get("serviceAccountName").is_none());
    }
    let folder = Folder::new();
    folder.write("config.yaml", OFF);
    assert!(
        manifest(&folder, &[]).stdout.contains("# Reporting disabled: the CronJob is suspended")
    );
}

#[test]
fn every_key_of_the_file_is_taken_and_no_other() {
    let objects = printed(
        "metrics-responder-config:\n  endpoint: http://receiver.ns.svc.cluster.local/\n  allowHttp: true\n  \
         spread: 20m\n  gracePeriod: 168h\n  timeout: 30s\n  \
         schedule: '@every 8h'\n",
        &[],
    );
    for (key, value) in [
        ("enabled", Value::from(true)),
        ("endpoint", "http://receiver.ns.svc.cluster.local/".into()),
        ("allowHttp", true.into()),
        ("spread", "20m".into()),
        ("gracePeriod", "168h".into()),
        ("timeout", "30s".into()),
        ("schedule", Value::Null),
    ] {
        assert_eq!(objects.key(key), value, "{key}");
    }
    assert_eq!(objects.spec()["schedule"], "@every 8h");
    assert!(objects.spec().get("suspend").is_none());
}

#[test]
fn the_deadline_of_a_job_follows_spread_and_timeout() {
    for (config, seconds) in [
        ("", 7200),
        ("{spread: 1h}", 7200),
        ("{spread: 1h54m40s}", 7200),
        ("{spread: 1h54m41s}", 7201),
        ("{spread: 2h, timeout: 90s}", 7680),
        ("{spread: 2h, timeout: 1500ms}", 7503),
        ("{spread: 2h, timeout: 1501ms}", 7504),
        ("{spread: 7h54m39s}", 28799),
    ] {
        let config = format!("metrics-responder-config: {config}\n");
        assert_eq!(printed(&config, &[]).deadline(), seconds, "{config}");
    }
    // The time until the next run is known only for the built-in schedule.
    let weekly = "metrics-responder-config: {spread: 12h, schedule: '@weekly'}";
    assert_eq!(printed(weekly, &[]).deadline(), 43520);
    let same = "metrics-responder-config: {spread: 12h, schedule: 0 */8 * * *}";
    assert!(refused(same).contains("longer than the 8h"));
    // A manifest that is off starts no Job.
    let off = format!("{OFF}metrics-responder-config: {{spread: 8h}}\n");
    assert_eq!(printed(&off, &[]).deadline(), 7200);
    let error = refused("metrics-responder-config: {spread: 7h54m40s}");
    let expected = "/config.yaml: metrics-responder-config: spread + 2 * timeout";
    assert!(error.starts_with(expected), "{error}");
    // A part of a second counts as a whole one, as in the chart.
    assert_eq!(refused("metrics-responder-config: {spread: 7h54m39s1ms}"), error);
}

#[test]
fn the_last_value_of_a_key_wins_and_a_plus_adds() {
    let first = "metrics-responder-config: {endpoint: https://a, schedule: '1 * * * *'}\n";
    for (drop_in, endpoint, schedule) in [
        ("", "https://a", "1 * * * *"),
        ("metrics-responder-config: {endpoint: https://b}", "https://b", "0 */8 * * *"),
        ("metrics-responder-config+: {endpoint: https://b}", "https://b", "1 * * * *"),
        ("metrics-responder-config+: {schedule: '@daily'}", "https://a", "@daily"),
        ("metrics-responder-config:", "https://a", "1 * * * *"),
    ] {
        let objects = printed(first, &[("50.yaml", drop_in)]);
        assert_eq!(objects.key("endpoint"), endpoint, "{drop_in}");
        assert_eq!(objects.spec()["schedule"], schedule, "{drop_in}");
    }
    // Also within one file.
    let twice = format!("{OFF}metrics-responder-enabled: true\n");
    assert!(!printed(&twice, &[]).is_off());
}

#[test]
fn drop_ins_are_read_in_the_order_of_their_names_and_nothing_else_is() {
    let on = "metrics-responder-enabled: true\n";
    for (drop_ins, off) in [
        (&[("10.yaml", OFF)][..], true),
        (&[("10.yml", OFF)], true),
        (&[("10.YAML", OFF)], true),
        (&[(".yaml", OFF)], true),
        (&[("10.yaml", OFF), ("20.yaml", on)], false),
        (&[("20.yaml", OFF), ("10.yaml", on)], true),
        (&[("20.yaml", OFF), ("100.yaml", on)], true),
        (&[("10.yaml.bak", OFF)], false),
        (&[("10.json", OFF)], false),
        (&[("10yaml", OFF)], false),
        (&[("10.yaml/inner.yaml", OFF)], false),
        (&[("10.yaml", OFF), ("20.yaml", "metrics-responder-enabled+: true\n")], false),
    ] {
        assert_eq!(printed(on, drop_ins).is_off(), off, "{drop_ins:?}");
    }
    // A file that is named must exist, even if it has drop-ins.
    let folder = Folder::new();
    folder.write("config.yaml.d/10.yaml", OFF);
    assert_eq!(manifest(&folder, &[]).code, Some(2));
}

#[test]
fn the_variables_of_rke2_and_k3s_name_another_configuration() {
    let folder = Folder::new();
    let config = folder.write("other.yaml", OFF);
    for variable in ["RKE2_CONFIG_FILE", "K3S_CONFIG_FILE"] {
        let run = manifest_with(&[], &[(variable, config.to_str().unwrap())]);
        assert!(Objects::of(&run.stdout).is_off(), "{run:?}");
        let run = manifest_with(&[], &[(variable, "/nowhere/config.yaml")]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        let answer = run.answer().unwrap();
        assert!(answer.starts_with(&format!("{variable} /nowhere/")), "{run:?}");
        // The flag takes precedence.
        let named = ["--rke2-config", "/dev/null"];
        let run = manifest_with(&named, &[(variable, config.to_str().unwrap())]);
        assert!(!Objects::of(&run.stdout).is_off(), "{run:?}");
    }
}

#[test]
fn a_machine_without_a_configuration_is_refused_or_gets_the_defaults_written() {
    if ["/etc/rancher/rke2", "/etc/rancher/k3s"].iter().any(|folder| Path::new(folder).exists()) {
        return; // a server of RKE2 or K3s
    }
    let run = manifest_with(&[], &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(run.stderr.contains("neither /etc/rancher/rke2 nor /etc/rancher/k3s"), "{run:?}");
    let folder = Folder::new();
    let target = folder.path().join("m.yaml");
    let run = manifest_with(&["--output", target.to_str().unwrap()], &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(Objects::of(&fs::read_to_string(target).unwrap()), Objects::of(MANIFEST));
}

/// A configuration, and how the refusal begins.
const WRONG: &[(&str, &str)] = &[
    // An opt-out without a blank, a key without a value, and a key that is a mapping.
    (
        "metrics-responder-config: {enabled:false}",
        "/config.yaml: metrics-responder-config: unknown",
    ),
    ("metrics-responder-config:\n  disabled:", "/config.yaml: metrics-responder-config: unknown"),
    (
        "metrics-responder-config: {{enabled: false}}",
        "/config.yaml: metrics-responder-config: a map",
    ),
    ("metrics-responder-enabled: maybe", "/config.yaml: metrics-responder-enabled: true or false"),
    (
        "metrics-responder-enabled: [false, false]",
        "/config.yaml: metrics-responder-enabled: true or false",
    ),
    ("metrics-responder-enabled:", "/config.yaml: metrics-responder-enabled: true or false"),
    (
        "metrics-responder-enable: false",
        "/config.yaml: metrics-responder-enable: not a key of the responder",
    ),
    (
        "metrics-responder: {enabled: false}",
        "/config.yaml: metrics-responder: not a key of the responder",
    ),
    (
        "metrics_responder_enabled: false",
        "/config.yaml: metrics_responder_enabled: not a key of the responder",
    ),
    (
        "Metrics-Responder-Enabled: false",
        "/config.yaml: Metrics-Responder-Enabled: not a key of the responder",
    ),
    (
        "metrics-responder-config.endpoint: x",
        "/config.yaml: metrics-responder-config.endpoint: not a key of the responder",
    ),
    ("metrics-responder-config: x", "/config.yaml: metrics-responder-config: a mapping"),
    (
        "metrics-responder-config: {endpint: x}",
        "/config.yaml: metrics-responder-config: unknown field `endpint`",
    ),
    (
        "metrics-responder-config: {enabled: perhaps}",
        "/config.yaml: metrics-responder-config.enabled: true or",
    ),
    (
        "metrics-responder-config: {endpoint: ftp://x}",
        "/config.yaml: metrics-responder-config.endpoint: an https",
    ),
    (
        "metrics-responder-config: {endpoint: 'http://x'}",
        "/config.yaml: metrics-responder-config.endpoint: http is",
    ),
    (
        "metrics-responder-config: {allowHttp: 7}",
        "/config.yaml: metrics-responder-config.allowHttp: true or",
    ),
    (
        "metrics-responder-config: {gracePeriod: 1d}",
        "/config.yaml: metrics-responder-config.gracePeriod: a duration",
    ),
    (
        "metrics-responder-config+: {schedule: ''}",
        "/config.yaml: metrics-responder-config+.schedule: five fields",
    ),
    (
        "metrics-responder-config: {schedule: hourly}",
        "/config.yaml: metrics-responder-config.schedule: five fields",
    ),
    (
        "system-default-registry: https://x",
        "/config.yaml: system-default-registry: a registry is expected",
    ),
    ("\tx: y", "/config.yaml: "),
    (
        "--metrics-responder-enabled: false",
        "/config.yaml: --metrics-responder-enabled: not a key of the responder",
    ),
    (
        "<<: {metrics-responder: false}",
        "/config.yaml: metrics-responder: not a key of the responder",
    ),
    (
        "metrics-responder-config: {caFile: /ca.pem}",
        "/config.yaml: metrics-responder-config.caFile: this manifest mounts no file",
    ),
    (
        "metrics-responder-config: {enabled: }",
        "/config.yaml: metrics-responder-config.enabled: true or",
    ),
    ("token=acme-canary", "/config.yaml: invalid type: a text, expected a mapping"),
    ("[metrics-responder-enabled]", "/config.yaml: invalid type: sequence, expected a mapping"),
    (
        "metrics-responder-config: {endpint: x}",
        "/config.yaml: metrics-responder-config: unknown field `endpint`, expected one of `schedule`, \
         `enabled`, `endpoint`, `allowHttp`, `spread`",
    ),
];

#[test]
fn what_is_wrong_is_named_with_file_and_key() {
    for (config, reason) in WRONG {
        let found = refused(config);
        assert!(found.starts_with(reason), "{config}: {found}");
    }
}

/// As in RKE2. Keys that are not ours are RKE2's business.
#[test]
fn what_says_nothing_is_not_set() {
    for config in [
        "metrics-responder-config: {gracePeriod: , spread: null, schedule: }",
        "metrics-responder-config: {spread: ~}\nsystem-default-registry:",
        "system-default-registry: ''",
        "system-default-registry: ' / '",
        "disable: [rke2-security-responder, rke2-metrics-server]",
        "[]",
        "# nothing\n---\n[ ]\n",
        "? [metrics-responder-enabled]\n: false\n? {a: b}\n: c\n7: x\n~: y",
        "token: x\n<<: {debug: true}\n---\nmetrics-responder-enabled: false",
    ] {
        assert_eq!(printed(config, &[]), Objects::of(MANIFEST), "{config}");
    }
    let first = "metrics-responder-config: {spread: 1h}\n";
    let added = "metrics-responder-config+: {spread: , timeout: 5s}";
    let objects = printed(first, &[("50.yaml", added)]);
    assert_eq!((objects.key("spread"), objects.key("timeout")), ("1h".into(), "5s".into()));
}

/// Windows editors write the mark, and RKE2 ignores it.
#[test]
fn an_opt_out_behind_a_byte_order_mark_is_one() {
    for config in [
        "\u{feff}metrics-responder-enabled: false\n",
        "\u{feff}token: x\nmetrics-responder-enabled: false\n",
    ] {
        assert!(printed(config, &[]).is_off(), "{config}");
        assert!(printed("", &[("50.yaml", config)]).is_off(), "{config}");
    }
}

/// RKE2 accepts every one of these files.
#[test]
fn an_opt_out_is_found_in_whatever_rke2_accepts() {
    let brackets = format!("# {}\n", "[ ".repeat(120));
    let text = format!("a: \"{0}\"\nb: |\n  {0}\nc: x {0}\n", "[ {".repeat(120));
    for config in [
        &*format!("{brackets}{OFF}"),
        &format!("{text}{OFF}"),
        "a: \"\\'b\\'\"\nmetrics-responder-enabled: false # for now\n",
        "a: \"\\'b\\'\"\r\n\"metrics-responder-enabled\" : 'no'\r\n",
        "token: x\n? [a, b]\n: c\nmetrics-responder-enabled: false\n",
        "metrics-responder-enabled: n\n",
        "metrics-responder-enabled: F\n",
        "metrics-responder-enabled: [false]\n",
        "metrics-responder-enabled: ['off']\n",
        "<<: {metrics-responder-enabled: false}\n",
        "<<: {<<: {metrics-responder-enabled: false}}\n",
        "<<: [{metrics-responder-enabled: false}, {metrics-responder-enabled: true}]\n",
        "disable: [rke2-ingress-nginx, rke2-metrics-responder]\n",
        "disable: rke2-ingress-nginx, upgrade-responder\n",
        "disable: metrics-responder\nmetrics-responder-enabled: true\n",
        "disable: [a]\ndisable+: ['b,rke2-metrics-responder']\n",
        "disable+: [rke2-metrics-responder]\ndisable+: [a]\n",
        "disable: [rke2-metric-responder]\n",
        "disable: {rke2-metrics-responder: true}\n",
        "disable:\n  - rke2-metrics-responder:\n",
        "disable:\n  - name: metrics-responder\n",
        "disable: metrics-responder\nmetrics-responder-config: {spread: 1m, spread: 2m}\n",
        "metrics-responder-config: {enabled: false, spread: 1m, spread: 2m}\n",
        "metrics-responder-config:\n  enabled: false\n  spread: !!int x\n",
    ] {
        for (file, drop_in) in [(config, ""), ("", config)] {
            let folder = Folder::new();
            folder.write("config.yaml", file);
            folder.write("config.yaml.d/50.yaml", drop_in);
            let run = manifest(&folder, &[]);
            assert_eq!(run.code, Some(0), "{config}: {run:?}");
            assert!(Objects::of(&run.stdout).is_off(), "{config}");
        }
    }
    let replaced = [("50.yaml", "disable: [a]\n")];
    assert!(!printed("disable: [rke2-metrics-responder]\n", &replaced).is_off());
    let own = "<<: {metrics-responder-enabled: false}\nmetrics-responder-enabled: true\n";
    assert!(!printed(own, &[]).is_off());
}

/// Brackets outside of collections are not nested, whether reporting is off or on.
#[test]
fn settings_are_read_beside_any_number_of_brackets() {
    let brackets = "[ {".repeat(120);
    let config = format!(
        "# {brackets}\na: \"{brackets}\"\nb: |\n  {brackets}\nmetrics-responder-config: {{spread: 1h}}\n"
    );
    assert_eq!(printed(&config, &[]).key("spread"), "1h");
}

#[test]
fn utf_16_with_a_mark_is_read() {
    for config in [OFF, "token: x\r\nmetrics-responder-enabled: false\r\n"] {
        let units = || std::iter::once(0xfeff).chain(config.encode_utf16());
        let little: Vec<_> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<_> = units().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            let folder = Folder::new();
            folder.write("config.yaml", bytes);
            let run = manifest(&folder, &[]);
            assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
            assert!(Objects::of(&run.stdout).is_off(), "{run:?}");
        }
    }
}

#[test]
fn a_key_that_is_nearly_the_opt_out_is_an_error_that_names_it() {
    for key in [
        "metric-responder-enabled",
        "metricsresponder-enabled",
        "metricsResponderEnabled",
        "METRICS_RESPONDER_ENABLED",
        "rke2-metrics-responder-enabled",
        "rke2-metrics-enabled",
        "k3s_metrics_disable",
        "upgrade-responder-enabled",
        "metrics-responer-enabled",
        "do-not-track",
        "DoNotTrack",
    ] {
        for config in [format!("{key}: false\n"), format!("a: b\n{key}+: true\n")] {
            let error = refused(&config);
            let expected = ": not a key of the responder; metrics-responder-enabled: false turns";
            assert!(error.starts_with(&format!("/config.yaml: {key}")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }
    let others = "rke2-security-responder-enabled: false\nsecurity-responder: x\notel-metrics-enabled: true\n\
                  kube-apiserver-arg: [a]\nsupervisor-metrics: true\netcd-expose-metrics: false\nenabled: false\n";
    assert_eq!(printed(others, &[]), Objects::of(MANIFEST));
}

#[test]
fn a_link_that_leads_nowhere_is_not_taken_for_a_missing_configuration() {
    let folder = Folder::new();
    let config = folder.path().join("config.yaml");
    symlink("/nowhere", &config).unwrap();
    folder.write("config.yaml.d/50.yaml", "");
    let output = folder.path().join("m.yaml");
    let run = manifest(&folder, &["--output", output.to_str().unwrap()]);
    assert_eq!((run.code, output.exists()), (Some(2), false), "{run:?}");
    assert!(run.stderr.contains("/config.yaml: No such file"), "{run:?}");
}

const IGNORED: &str = "reporting is disabled, so a mistake is ignored: ";

/// An opt-out in any file takes precedence over mistakes in all of them. The mistake is reported, and
/// does not leave a manifest in place that reports.
#[test]
fn an_opt_out_takes_precedence_over_mistakes_which_are_reported() {
    let defaults = printed(OFF, &[]);
    for (config, drop_in, told) in [
        ("metrics-responder-enable: true", OFF, "not a key of the responder"),
        (OFF, "metrics-responder-config: {endpint: x}", "`endpint`"),
        (
            "metrics-responder-config: {enabled: false, schedule: hourly, spread: 1h}",
            "",
            "metrics-responder-config.schedule: five fields",
        ),
        (
            "metrics-responder-config: {enabled: false, gracePeriod: 1d}",
            "system-default-registry: https://x",
            "metrics-responder-config.gracePeriod: a duration",
        ),
        ("metrics-responder-enabled: nope", OFF, "true or false"),
        ("<<: [{metrics-responder: {}}]", OFF, "metrics-responder: not a key of the responder"),
        // A file that is not YAML, before or after the opt-out.
        ("\t[", OFF, "config.yaml: "),
        (OFF, "\"\\'\"", "50.yaml: "),
        ("\t[", "disable: rke2-metrics-responder", "config.yaml: "),
    ] {
        let folder = Folder::new();
        folder.write("config.yaml", config);
        folder.write("config.yaml.d/50.yaml", drop_in);
        let run = manifest(&folder, &[]);
        assert_eq!(run.code, Some(0), "{config}: {run:?}");
        assert_eq!(Objects::of(&run.stdout), defaults, "{config}");
        assert_eq!(run.lines().len(), 1, "{run:?}");
        let mistake = run.answer().unwrap().strip_prefix(IGNORED).unwrap();
        assert!(mistake.starts_with('/') && mistake.contains(told), "{mistake}");
    }
    // The registry also counts beside a mistake.
    let folder = Folder::new();
    folder.write("config.yaml", format!("{OFF}system-default-registry: a\ndo-not-track: x\n"));
    let run = manifest(&folder, &[]);
    assert_eq!(Objects::of(&run.stdout).image(), format!("a/{IMAGE}"), "{run:?}");
    // The last value of a key counts, and a misspelt word is not an opt-out.
    for (config, drop_in) in [
        (OFF, "metrics-responder-enabled: true\nmetrics-responder-config: {endpint: x}"),
        ("metrics-responder-enabled: flase", ""),
        // The last value counts, also after a file that is not YAML.
        ("\t[\nmetrics-responder-enabled: false", "metrics-responder-enabled: true"),
        ("\t[", "metrics-responder-enabled: true"),
    ] {
        let folder = Folder::new();
        folder.write("config.yaml", config);
        folder.write("config.yaml.d/50.yaml", drop_in);
        let run = manifest(&folder, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{config}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    let run = manifest(&folder, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(
        run.stderr.contains("--rke2-config ") && run.stderr.contains("No such file"),
        "{run:?}"
    );
    folder.write("config.yaml", "# x\n".repeat(300_000));
    assert!(manifest(&folder, &[]).stderr.contains("larger than 1048576 bytes"));
    folder.write("config.yaml", "");
    folder.write("config.yaml.d", "");
    assert!(manifest(&folder, &[]).stderr.contains("config.yaml.d: Not a directory"));
}

/// Reads a table of values that the chart's own checks use too.
fn table(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart");
    serde_yaml::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn listed(name: &str, verdict: &str) -> Vec<String> {
    let lists = table(name);
    let texts = lists[verdict].as_sequence().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A configuration of one key, written by a library that knows which blanks need an escape.
fn with(key: &str, text: &str) -> String {
    let one = |key: &str, value: Value| Value::Mapping([(key.into(), value)].into_iter().collect());
    let config = match key {
        "schedule" => one("metrics-responder-config", one("schedule", text.into())),
        key => one(key, text.into()),
    };
    serde_yaml::to_string(&config).unwrap()
}

#[test]
fn the_chart_accepts_the_same_schedules() {
    for text in listed("schedules.yaml", "accepted") {
        assert_eq!(printed(&with("schedule", &text), &[]).spec()["schedule"], *text);
    }
    for text in listed("schedules.yaml", "refused") {
        assert!(refused(&with("schedule", &text)).contains(".schedule: five fields"), "{text}");
    }
}

const IMAGE: &str = concat!("rancher/rke2-metrics-responder:v", env!("CARGO_PKG_VERSION"));

#[test]
fn a_registry_that_the_chart_accepts_comes_before_the_image() {
    for text in listed("registries.yaml", "accepted") {
        let registry = if text.is_empty() { "docker.io" } else { &text };
        let objects = printed(&with("system-default-registry", &text), &[]);
        assert_eq!(objects.image(), format!("{registry}/{IMAGE}"));
    }
    let folder = Folder::new();
    folder.write("config.yaml", "system-default-registry: a\n");
    let run = manifest(&folder, &["--image", "b/c:d"]);
    assert_eq!(Objects::of(&run.stdout).image(), "b/c:d");
}

#[test]
fn a_registry_is_trimmed_as_by_rke2_and_else_trusted() {
    let lists = table("registries.yaml");
    for (written, trimmed) in lists["trimmed"].as_mapping().unwrap() {
        let config = with("system-default-registry", written.as_str().unwrap());
        let image = format!("{}/{IMAGE}", trimmed.as_str().unwrap());
        assert_eq!(printed(&config, &[]).image(), image);
    }
    let objects = printed("system-default-registry: registry_1.example.com/A//", &[]);
    assert_eq!(objects.image(), format!("registry_1.example.com/A//{IMAGE}"));
    for text in [
        "https://registry.example.com",
        "registry .example.com",
        "registry.example.com\nx",
        "registry.example.com\u{7f}",
        "régistry.example.com",
    ] {
        let error = refused(&with("system-default-registry", text));
        let expected = "/config.yaml: system-default-registry: a registry";
        assert!(error.starts_with(expected), "{error}");
    }
    refused("system-default-registry: {a: b}");
}

/// A manifest whose pod mounts its token by a volume, and whose rights include a Role.
#[test]
fn off_also_removes_the_token_and_the_role() {
    let object = |kind: &str, spec: &str| format!("---\nkind: {kind}\n{spec}\n");
    let pod = "{serviceAccountName: x, automountServiceAccountToken: false, containers: [{image: y, volumeMounts: \
               [{name: config}, {name: serviceaccount}]}], volumes: [{name: serviceaccount}, {name: config}]}";
    let job = format!("{{activeDeadlineSeconds: 7200, template: {{spec: {pod}}}}}");
    let whole = [
        object("Role", ""),
        object("RoleBinding", ""),
        object("ConfigMap", "data: {config.yaml: \"enabled: true\\n\"}"),
        object("CronJob", &format!("spec: {{jobTemplate: {{spec: {job}}}}}")),
    ];
    let whole = whole.concat();
    let mut config = Rke2Config::default();
    let on = Objects::of(&patch(&whole, &config, None).unwrap());
    assert_eq!(on, Objects::of(&whole));
    config.add("config.yaml", OFF.as_bytes());
    let off = Objects::of(&patch(&whole, &config, None).unwrap());
    assert!(off.is_off());
    let expected: Value = serde_yaml::from_str(
        "{automountServiceAccountToken: false, containers: [{image: y, volumeMounts: [{name: config}]}], \
         volumes: [{name: config}]}",
    )
    .unwrap();
    assert_eq!(off.pod(), &expected);
}

/// A folder with a configuration, and a target that is not there yet.
struct Place {
    folder: Folder,
    target: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("config.yaml", "");
        let target = folder.path().join("manifests/upgrade-responder.yaml");
        Self { folder, target }
    }

    fn write(&self) -> Run {
        manifest(&self.folder, &["--output", self.target.to_str().unwrap()])
    }

    /// Copies the program to a place where every user can start it. Another process copies it: a file
    /// that this process, or a child of another test, has open for writing cannot be executed.
    fn program_for_all(&self) -> PathBuf {
        let program = self.folder.path().join("program");
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_metrics-responder-manifest")).arg(&program);
        assert!(copy.status().unwrap().success());
        for (path, mode) in [(self.folder.path(), 0o711), (&program, 0o755)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        program
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.target).unwrap()
    }

    /// Lists the files in the folder of the target.
    fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.target.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn assert_alone(&self) {
        assert_eq!(self.files(), BTreeSet::from(["upgrade-responder.yaml".to_owned()]));
    }

    fn assert_says(&self, run: &Run, what: &str) {
        let line = format!("{}: {what}\n", self.target.display());
        assert_eq!((run.code, &*run.stdout, &*run.stderr), (Some(0), &*line, ""), "{run:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_write_makes_the_folders_for_the_owner_alone() {
    let place = Place::new();
    place.assert_says(&place.write(), "written, reporting enabled");
    assert_eq!(Objects::of(&place.content()), Objects::of(MANIFEST));
    assert_eq!((mode(&place.target), mode(place.target.parent().unwrap())), (0o600, 0o700));
    place.assert_alone();
}

#[test]
fn the_same_content_is_not_written_again() {
    let place = Place::new();
    place.write();
    let before = fs::metadata(&place.target).unwrap();
    place.assert_says(&place.write(), "up to date, reporting enabled");
    let after = fs::metadata(&place.target).unwrap();
    assert_eq!(before.ino(), after.ino());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn new_content_takes_the_place_of_the_old_as_a_whole() {
    let place = Place::new();
    place.write();
    fs::set_permissions(&place.target, fs::Permissions::from_mode(0o644)).unwrap();
    let before = fs::metadata(&place.target).unwrap().ino();
    place.folder.write("config.yaml", OFF);
    place.assert_says(&place.write(), "written, reporting disabled");
    assert!(Objects::of(&place.content()).is_off());
    assert_ne!(fs::metadata(&place.target).unwrap().ino(), before);
    assert_eq!(mode(&place.target), 0o600);
    place.assert_alone();
}

#[test]
fn on_any_error_the_old_file_stays() {
    let place = Place::new();
    place.write();
    let old = place.content();
    for config in
        ["metrics-responder-enable: false\n", "\t\n", "metrics-responder-config: {spread: 8h}\n"]
    {
        place.folder.write("config.yaml", config);
        assert_eq!(place.write().code, Some(2));
        assert_eq!(place.content(), old);
    }
    fs::remove_file(place.folder.path().join("config.yaml")).unwrap();
    assert_eq!(place.write().code, Some(2));
    assert_eq!(place.content(), old);
    place.assert_alone();
}

#[test]
fn a_disk_without_room_leaves_the_old_file_and_nothing_beside_it() {
    let place = Place::new();
    place.write();
    let old = place.content();
    place.folder.write("config.yaml", OFF);
    // With a limit of 0 no file may grow. The signal is ignored, so that writing fails.
    let line = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let config = place.folder.path().join("config.yaml");
    let mut command = Command::new("sh");
    command
        .args(["-c", line, "sh", env!("CARGO_BIN_EXE_metrics-responder-manifest"), "--rke2-config"])
        .args([&config, Path::new("--output"), &place.target])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = finish(command.spawn().unwrap());
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("upgrade-responder.yaml: File too large"), "{run:?}");
    assert_eq!(place.content(), old);
    place.assert_alone();
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let place = Place::new();
    for (target, reason) in [
        (place.folder.path().join("config.yaml/m.yaml"), "config.yaml: "),
        (place.folder.path().join("config.yaml/inner/m.yaml"), "config.yaml/inner: "),
        ("/proc/nowhere/m.yaml".into(), "/proc/nowhere: "),
        // Nobody may create a file here, not even root.
        ("/proc/m.yaml".into(), "/proc: No such file or directory"),
        ("/".into(), "--output expects a file, not /"),
    ] {
        let run = manifest(&place.folder, &["--output", target.to_str().unwrap()]);
        assert!(matches!(run.code, Some(1 | 2)) && run.stdout.is_empty(), "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
    }
    // Anything that is not a regular file is never replaced, even through a symlink.
    let socket = place.folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let link = place.folder.path().join("link");
    symlink("/dev/null", &link).unwrap();
    for target in [&socket, &link] {
        let run = manifest(&place.folder, &["--output", target.to_str().unwrap()]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains(": is not a file"), "{run:?}");
        assert!(!target.symlink_metadata().unwrap().is_file());
    }
    // The target is a folder.
    fs::create_dir_all(&place.target).unwrap();
    let run = place.write();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("upgrade-responder.yaml: is not a file"), "{run:?}");
    place.assert_alone();
}

/// Makes a command of root, whom no permission stops, run as `nobody`, and gives these paths to
/// that user.
fn without_privileges(command: &mut Command, owned: &[&Path]) {
    const NOBODY: u32 = 65534;
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        for path in owned {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// /dev/stdout leads to a regular file if standard output is redirected to one.
#[test]
fn a_symlink_in_dev_is_not_replaced() {
    let place = Place::new();
    let captured = place.folder.path().join("captured");
    let mut command = Command::new(place.program_for_all());
    command
        .args(["--rke2-config=/dev/null", "--output=/dev/stdout"])
        .stdout(fs::File::create(&captured).unwrap())
        .stderr(Stdio::piped());
    // As root, a program that replaces links would replace /dev/stdout itself.
    without_privileges(&mut command, &[]);
    let run = finish(command.spawn().unwrap());
    assert_eq!(run.code, Some(1), "{run:?}");
    let reason = "/dev/stdout: is not a file";
    assert!(run.stderr.contains(reason), "{run:?}");
    assert_eq!(fs::read_to_string(captured).unwrap(), "");
}

#[test]
fn the_old_file_survives_a_read_only_folder() {
    let place = Place::new();
    place.write();
    let old = place.content();
    let config = place.folder.write("config.yaml", OFF);
    let mut command = Command::new(place.program_for_all());
    command
        .args(["--rke2-config"])
        .args([&config, Path::new("--output"), &place.target])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let folder = place.target.parent().unwrap();
    without_privileges(&mut command, &[&config, folder, &place.target]);
    fs::set_permissions(folder, fs::Permissions::from_mode(0o500)).unwrap();
    let run = finish(command.spawn().unwrap());
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(run.code, Some(1), "{run:?}");
    let reason = "manifests: Permission denied";
    assert!(run.stderr.contains(reason), "{run:?}");
    assert_eq!(place.content(), old);
    place.assert_alone();
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_stays() {
    let place = Place::new();
    let elsewhere = place.folder.write("elsewhere.yaml", "mine");
    fs::create_dir_all(place.target.parent().unwrap()).unwrap();
    symlink(&elsewhere, &place.target).unwrap();
    place.assert_says(&place.write(), "written, reporting enabled");
    assert!(place.target.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    // A link to the same content is replaced too, because RKE2 opens its manifests for writing.
    fs::rename(&place.target, &elsewhere).unwrap();
    symlink(&elsewhere, &place.target).unwrap();
    place.assert_says(&place.write(), "written, reporting enabled");
    assert!(place.target.symlink_metadata().unwrap().is_file());
}

#[test]
fn a_bare_name_is_written_into_the_present_folder() {
    let place = Place::new();
    let run = Command::new(env!("CARGO_BIN_EXE_metrics-responder-manifest"))
        .args(["--rke2-config", "/dev/null", "--output", "m.yaml"])
        .current_dir(place.folder.path())
        .output()
        .unwrap();
    assert_eq!(
        (run.status.code(), &*run.stdout),
        (Some(0), &b"m.yaml: written, reporting enabled\n"[..])
    );
    assert!(place.folder.path().join("m.yaml").is_file());
}

/// Temporary files of an earlier process with the same id do not get in the way.
#[test]
fn leftovers_of_a_crash_do_no_harm() {
    let place = Place::new();
    place.write();
    place.folder.write("config.yaml", OFF);
    let folder = place.target.parent().unwrap();
    let line =
        "for i in 0 1 2; do : >\"$1/.upgrade-responder.yaml.$$-$i\"; done; shift; exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            line,
            "sh",
            folder.to_str().unwrap(),
            env!("CARGO_BIN_EXE_metrics-responder-manifest"),
        ])
        .args(["--rke2-config"])
        .args([&place.folder.path().join("config.yaml"), Path::new("--output"), &place.target])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = finish(command.spawn().unwrap());
    place.assert_says(&run, "written, reporting disabled");
    assert!(Objects::of(&place.content()).is_off());
    // RKE2 ignores them: it applies no dotfiles, and no files without .yaml at the end.
    let left: Vec<_> =
        place.files().into_iter().filter(|name| name != "upgrade-responder.yaml").collect();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|name| name.starts_with(".upgrade-responder.yaml.")), "{left:?}");
}

#[test]
fn of_two_at_once_each_writes_the_whole() {
    let place = Place::new();
    let other = Folder::new();
    other.write("config.yaml", OFF);
    place.write();
    let on = place.content();
    let off = manifest(&other, &[]).stdout;
    let writers: Vec<_> = (0..40)
        .map(|i| {
            let folder = if i % 2 == 0 { &place.folder } else { &other };
            Command::new(env!("CARGO_BIN_EXE_metrics-responder-manifest"))
                .args(["--rke2-config"])
                .args([&folder.path().join("config.yaml"), Path::new("--output"), &place.target])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        while writer.try_wait().unwrap().is_none() {
            let content = place.content();
            assert!(content == on || content == off, "{content}");
        }
        assert!(writer.wait().unwrap().success());
    }
    place.assert_alone();
}
