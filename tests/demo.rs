//! Tests the example `demo`, which shows, without a cluster, the numbers that an operator receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "demo/demo.rs"]
mod example;

use std::fs;
use std::path::Path;

use example::{SIZES, demo};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metrics-responder");

const TABLES: &str = "\
Received: 6 clusters with 30 nodes

version           clusters   nodes
v1.36.2+rke2r1           3      21
v1.36.2+k3s1             2       6
v1.36.2                  1       3

CNI               clusters   nodes
multus,cilium            1       9
calico                   1       7
canal                    1       5
flannel                  1       3
kindnet                  1       3
multus,flannel           1       3

OS                clusters   nodes
debian                   3       9
sl-micro                 1       9
sles                     1       7
ubuntu                   1       5

size              clusters   nodes
2-3                      3       9
4-10                     3      21
";

#[test]
fn every_recorded_cluster_is_counted() {
    let tables = demo(Path::new(PROGRAM), Path::new("testdata/clusters"));
    assert_eq!(tables.unwrap(), TABLES);
}

#[test]
fn a_report_that_is_not_accepted_is_an_error_of_one_line() {
    // The program cannot read these folders; `true` succeeds without sending anything.
    for (program, reason) in
        [(PROGRAM, "exit status: 1, level=info msg="), ("/bin/true", "nothing arrived")]
    {
        let error = demo(Path::new(program), Path::new("testdata")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!(" was not accepted: {reason}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_size_classes_are_those_of_the_receivers_queries() {
    let queries = fs::read_to_string("deploy/receiver/queries.influxql").unwrap();
    let names = SIZES.map(|(_, name)| format!("\"{name}\"")).join(", ");
    let query = format!("SELECT {names} FROM \"history\".\"clusters_by_size\"");
    assert!(queries.contains(&query), "{query}");
}
