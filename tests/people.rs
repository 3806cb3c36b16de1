//! What people look at: `--explain` for the admin, `record` for the contributor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::Path;

use metrics_responder::payload::FIELDS;
use serde_json::Value;
use support::api;
use support::run::{Pod, bare, bare_with};
use support::server::{Server, closed_port};
use support::{Folder, cluster, clusters, expected};

fn explain(recording: &Path, env: &[(&str, &str)]) -> String {
    let run = bare_with(
        &["--explain", "--recorded", recording.to_str().unwrap()],
        env,
    );
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    run.stdout
}

#[test]
fn the_explanation_has_every_value_of_the_report_and_fits_100_columns() {
    for path in clusters() {
        let text = explain(&path, &[("METRICS_RESPONDER_SPREAD", "10m")]);
        let report: Value = serde_json::from_str(&expected(&path)).unwrap();
        let mut keys = Vec::new();
        for (key, value) in report.as_object().unwrap() {
            match value {
                Value::Object(part) => keys.extend(part),
                value => keys.push((key, value)),
            }
        }
        assert_eq!(keys.len(), FIELDS.len());
        for (key, value) in keys {
            let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
            let row = text
                .lines()
                .find(|line| line.split_whitespace().next() == Some(key));
            assert_eq!(
                row.unwrap().split_whitespace().nth(1),
                Some(&*value),
                "{text}"
            );
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(!text.contains("acme-canary"));
    }
}

#[test]
fn the_explanation_says_where_when_why_and_how_to_stop_it() {
    let env = [
        (
            "METRICS_RESPONDER_ENDPOINT",
            "https://receiver.example/v1?key=secret",
        ),
        ("METRICS_RESPONDER_SPREAD", "10m"),
        ("METRICS_RESPONDER_ENABLED", "true"),
    ];
    let text = explain(&cluster("kind"), &env);
    for expected in [
        "Where  POST https://receiver.example/v1 (as configured)",
        "its UUID modulo the spread of 600s",
        "Why    reporting is on: METRICS_RESPONDER_ENABLED",
        r#"Off    kubectl -n kube-system patch cronjob rke2-metrics-responder -p '{"spec":{"suspend":true}}'"#,
        "nothing was sent",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("secret"));
}

#[test]
fn the_explanation_sends_nothing() {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("kind"));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let run = pod
        .api(api.port)
        .endpoint(&endpoint.https())
        .args(["--explain"])
        .run();
    assert_eq!((run.code, endpoint.connections()), (Some(0), 0), "{run:?}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    found
}

fn without_uuid(report: &str) -> Value {
    let mut report: Value = serde_json::from_str(report).unwrap();
    let uuid = report["extraTagInfo"]["clusteruuid"].take();
    assert_eq!(uuid.as_str().unwrap().len(), 36);
    report
}

#[test]
fn a_recording_is_harmless_and_replays_to_the_same_payload() {
    for path in clusters() {
        let pod = Pod::new();
        let api = api::serve(pod.authority.server(), &path);
        let target = pod.folder.path().join("recording");
        let target = target.to_str().unwrap().to_owned();
        let sa = pod.folder.path().join("sa");
        let sa = sa.to_str().unwrap();
        let port = api.port.to_string();
        let env = [
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", &*port),
        ];
        let run = bare_with(&["record", &target, "--serviceaccount-dir", sa], &env);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
        assert!(run.stdout.contains("osImage"));

        let original = expected(&path);
        let uuid: Value = serde_json::from_str(&original).unwrap();
        let uuid = uuid["extraTagInfo"]["clusteruuid"].as_str().unwrap();
        for (name, text) in files(Path::new(&target)) {
            for forbidden in ["acme-canary", "192.0.2.", uuid, "docker.io", "node-args"] {
                assert!(
                    !format!("{name}{text}").contains(forbidden),
                    "{name}: {forbidden}"
                );
            }
        }
        // Once from the Table, once from the typed list; and it is stable.
        let replay = bare(&["--dry-run", "--recorded", &target]).stdout;
        assert_eq!(without_uuid(&replay), without_uuid(&original));
        fs::remove_file(Path::new(&target).join("api/v1/nodes.table.json")).unwrap();
        assert_eq!(bare(&["--dry-run", "--recorded", &target]).stdout, replay);
        let again = Folder::new();
        let again_path = again.path().join("again");
        let again_path = again_path.to_str().unwrap();
        bare(&["record", again_path, "--recorded", path.to_str().unwrap()]);
        assert_eq!(
            bare(&["--dry-run", "--recorded", again_path]).stdout,
            replay
        );
    }
}

#[test]
fn a_recording_overwrites_nothing() {
    let folder = Folder::new();
    folder.write("mine", "mine");
    let target = folder.path().to_str().unwrap();
    let run = bare(&[
        "record",
        target,
        "--recorded",
        cluster("kind").to_str().unwrap(),
    ]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("nothing is overwritten"));
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn a_recording_of_a_cluster_that_is_not_there_is_a_failure() {
    let folder = Folder::new();
    let target = folder.path().join("x");
    let pod = Pod::new();
    let sa = pod.folder.path().join("sa");
    let port = closed_port().to_string();
    let env = [
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", &*port),
    ];
    let args = [
        "record",
        target.to_str().unwrap(),
        "--serviceaccount-dir",
        sa.to_str().unwrap(),
    ];
    let run = bare_with(&args, &env);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("Connection refused") && !target.exists(),
        "{run:?}"
    );
}
