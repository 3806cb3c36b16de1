//! Tests the example `record`, with which a contributor saves a cluster for `testdata`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

#[path = "record/record.rs"]
mod example;

use std::fs;
use std::path::{Path, PathBuf};

use example::record;
use metrics_responder::internals::{Cluster, Env};
use serde_json::Value;
use support::api;
use support::run::{Pod, bare};
use support::server::closed_port;
use support::{Folder, cluster, clusters, expected, files};

fn without_uuid(report: &str) -> Value {
    let mut report: Value = serde_json::from_str(report).unwrap();
    let uuid = report["extraTagInfo"]["clusteruuid"].take();
    assert_eq!(uuid.as_str().unwrap().len(), 36);
    report
}

/// Returns the pod's own cluster, and the environment that names its API server.
fn own(pod: &Pod, port: u16) -> (Cluster, Env) {
    let env =
        [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", &*port.to_string())];
    (Cluster::Own(pod.folder.path().join("sa")), Env::of(&env))
}

fn dry_run(recording: &Path) -> String {
    bare(&["--dry-run", "--recorded", recording.to_str().unwrap()]).stdout
}

#[test]
fn a_recording_is_harmless_and_replays_to_the_same_payload() {
    for path in clusters() {
        let pod = Pod::new();
        let api = api::serve(pod.authority.server(), &path);
        let target: PathBuf = pod.folder.path().join("recording");
        let (cluster, env) = own(&pod, api.port);
        let summary = record(&cluster, &env, &target).unwrap();
        assert!(summary.contains("osImage"), "{summary}");

        let original = expected(&path);
        let uuid: Value = serde_json::from_str(&original).unwrap();
        let uuid = uuid["extraTagInfo"]["clusteruuid"].as_str().unwrap();
        for file in files(&target) {
            let name = file.display();
            let all = format!("{name}{}", fs::read_to_string(target.join(&file)).unwrap());
            for forbidden in
                ["acme-canary", "192.0.2.", uuid, "docker.io", "node-args", "creationTimestamp"]
            {
                assert!(!all.contains(forbidden), "{name}: {forbidden}");
            }
        }
        // The Table, the typed list and a second recording give the same report.
        let replay = dry_run(&target);
        assert_eq!(without_uuid(&replay), without_uuid(&original));
        fs::remove_file(target.join("api/v1/nodes.table.json")).unwrap();
        assert_eq!(dry_run(&target), replay);
        let again = Folder::new();
        record(&Cluster::Recorded(path), &Env::of(&[]), again.path()).unwrap();
        assert_eq!(dry_run(again.path()), replay);
    }
}

#[test]
fn a_recording_overwrites_nothing() {
    let folder = Folder::new();
    folder.write("mine", "mine");
    let error = record(&Cluster::Recorded(cluster("kind")), &Env::of(&[]), folder.path())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("not empty, and nothing is overwritten"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn recording_a_cluster_that_does_not_answer_fails() {
    let pod = Pod::new();
    let target = pod.folder.path().join("x");
    let (cluster, env) = own(&pod, closed_port());
    let error = record(&cluster, &env, &target).unwrap_err().to_string();
    assert!(error.contains("Connection refused") && !target.exists(), "{error}");
}
