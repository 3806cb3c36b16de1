//! An opt-out that is nearly right never sends: generated misspellings as variables and as keys of
//! RKE2's config.yaml.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use proptest::prelude::*;
use proptest::sample::select;
use support::Folder;
use support::run::{manifest_with, scene};

const CLUSTER: &str = "rke2-canal-ha";

/// Joins the words with a separator, in one of three cases.
fn name(words: Vec<String>) -> impl Strategy<Value = String> {
    let separators = select(vec!["_", "-", "", ".", "__"]);
    let case =
        select(vec![str::to_owned as fn(&str) -> String, str::to_uppercase, str::to_lowercase]);
    (Just(words), separators, case).prop_map(|(words, separator, case)| {
        let words: Vec<_> = words.into_iter().filter(|w| !w.is_empty()).collect();
        case(&words.join(separator))
    })
}

fn word(words: &[&str]) -> impl Strategy<Value = String> {
    select(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
}

/// `Responder` without one of its letters.
fn responder() -> impl Strategy<Value = String> {
    (0..9_usize).prop_map(|missing| {
        let mut word = "Responder".to_owned();
        word.remove(missing);
        word
    })
}

/// Names that are nearly an opt-out of any kind, and perhaps one.
fn near_miss() -> impl Strategy<Value = String> {
    let product = || word(&["", "", "Rke2", "K3s"]);
    let metrics = || word(&["Metrics", "Metric", "Metricss"]);
    let switch = || word(&["Enabled", "Enable", "Enabeld", "Disabled", "Disable", "Off", ""]);
    let verb = word(&["Enabled", "Enable", "Disabled", "Disable"]);
    let first = prop_oneof![metrics(), word(&["Upgrade", "Metrik", "Telemetry", ""])];
    prop_oneof![
        (product(), first, switch()).prop_flat_map(|(product, first, switch)| {
            name(vec![product, first, "Responder".into(), switch])
        }),
        (product(), metrics(), responder(), verb).prop_flat_map(
            |(product, metrics, word, verb)| name(vec![product, metrics, word, verb])
        ),
        name(["Do", "Not", "Track"].map(Into::into).to_vec()),
    ]
}

fn value() -> impl Strategy<Value = &'static str> {
    select(vec!["false", "true", "0", "1", "off", "n"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_misspelt_variable_sends_nothing_and_is_named_with_the_right_one(
        name in prop_oneof![
            8 => near_miss(),
            1 => word(&["enabled", "ENABLED", "Enabled", "config.yaml"]),
        ].prop_filter("is right", |name| name != "METRICS_RESPONDER_ENABLED" && name != "DO_NOT_TRACK"),
        value in value(),
    ) {
        let (pod, api, endpoint) = scene(CLUSTER);
        let run = pod.env(&name, value).run();
        prop_assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{:?}", run);
        prop_assert_eq!(run.lines().len(), 1, "{:?}", run);
        let reason = run.logged("reason").unwrap();
        let expected = format!("{name}: not a variable of this program; METRICS_RESPONDER_ENABLED=false ");
        prop_assert!(reason.starts_with(&expected) && reason.ends_with(" and DO_NOT_TRACK"), "{}", reason);
        prop_assert_eq!((api.connections(), endpoint.connections()), (0, 0));
    }

    #[test]
    fn a_misspelt_key_writes_no_manifest_and_is_named_with_the_right_one(
        name in near_miss().prop_filter("is right", |name| name != "metrics-responder-enabled"),
        plus in word(&["", "+"]),
        value in value(),
    ) {
        let folder = Folder::new();
        let config = folder.write("config.yaml", format!("token: x\n\"{name}{plus}\": {value}\n"));
        let output = folder.path().join("m.yaml");
        let paths = [config, output.clone()].map(|path| path.to_str().unwrap().to_owned());
        let run = manifest_with(&["--rke2-config", &paths[0], "--output", &paths[1]], &[]);
        prop_assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{:?}", run);
        prop_assert_eq!(run.lines().len(), 1, "{:?}", run);
        prop_assert!(run.stderr.contains("metrics-responder-enabled: false turns"), "{:?}", run);
        prop_assert!(!output.exists());
    }

    #[test]
    fn variables_of_other_programs_do_not_matter(
        product in "[A-Z]{2,8}".prop_filter("resembles ours", |name| {
            !name.starts_with("METRIC") && name != "RKE2" && name != "K3S"
        }),
        name in word(&["_METRICS_ENABLED", "_METRIC_DISABLE", "_ENABLED", "_SECURITY_RESPONDER_ENABLED"]),
        value in value(),
    ) {
        let (pod, _, endpoint) = scene(CLUSTER);
        let run = pod.env(&(product + &name), value).run();
        prop_assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{:?}", run);
    }
}

#[test]
fn the_variables_of_a_server_do_not_matter() {
    let (mut pod, _, endpoint) = scene(CLUSTER);
    for name in [
        "OTEL_METRICS_ENABLED",
        "METRICS_PORT",
        "RKE2_CONFIG_FILE",
        "RKE2_SECURITY_RESPONDER_ENABLED",
        "security-responder-enabled",
        "rke2-security-responder",
        "CONFIG_YAML",
        "TRACK",
    ] {
        pod = pod.env(name, "false");
    }
    let run = pod.run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
}
