//! Compares the report of every recorded cluster with its expected payload. `just bless` rewrites
//! the payloads, so that their diff can be reviewed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;

use support::run::bare;
use support::{Folder, clusters, expected, files};

fn dry_run(recording: &Path) -> String {
    let run = bare(&["--dry-run", "--recorded", recording.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", recording.display());
    run.stdout
}

#[test]
fn every_recorded_cluster_gives_its_payload() {
    assert!(clusters().len() >= 5);
    for cluster in clusters() {
        let report = dry_run(&cluster);
        if std::env::var_os("BLESS").is_some() {
            fs::write(cluster.join("expected-payload.json"), &report).unwrap();
        }
        assert_eq!(report, expected(&cluster) + "\n", "{}", cluster.display());
    }
}

#[test]
fn the_typed_list_gives_the_same_report_as_the_table() {
    for cluster in clusters() {
        let copy = copy_of(&cluster);
        fs::remove_file(copy.path().join("api/v1/nodes.table.json")).unwrap();
        assert_eq!(dry_run(copy.path()), expected(&cluster) + "\n");
    }
}

#[test]
fn the_typed_list_replaces_a_table_without_its_columns() {
    for cluster in clusters() {
        let copy = copy_of(&cluster);
        let table = copy.path().join("api/v1/nodes.table.json");
        let renamed = fs::read_to_string(&table).unwrap().replace("\"Roles\"", "\"Funktion\"");
        fs::write(&table, renamed).unwrap();
        assert_eq!(dry_run(copy.path()), expected(&cluster) + "\n");
    }
}

/// Makes a copy of a recording, for a test that changes it.
fn copy_of(cluster: &Path) -> Folder {
    let copy = Folder::new();
    for file in files(cluster) {
        copy.write(file.to_str().unwrap(), fs::read(cluster.join(&file)).unwrap());
    }
    copy
}
