//! Tells the life of an installation. Read this test first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use support::run::scene;
use support::server::{Server, answer};
use support::{cluster, expected};

#[test]
fn a_cluster_reports_until_its_admin_opts_out() {
    // An RKE2 cluster of five nodes, an endpoint, and the CronJob's pod with its ServiceAccount.
    let (pod, api_server, endpoint) = scene("rke2-canal-ha");
    let report = expected(&cluster("rke2-canal-ha"));

    // The first run reads the cluster over one connection, prints the report and posts it once.
    let run = pod.run();
    assert_eq!((run.code, run.stdout), (Some(0), format!("{report}\n")));
    assert_eq!(api_server.connections(), 1);
    assert_eq!(endpoint.seen()[0].text(), report);
    assert!(run.stderr.contains("the report was accepted"));

    // Another endpoint refuses. The Job succeeds anyway; the next run is the retry.
    let refusing = Server::saying(Some(pod.authority.server()), answer(503, ""));
    let pod = pod.endpoint(&refusing.https());
    let run = pod.run();
    assert_eq!((run.code, refusing.seen().len()), (Some(0), 1));
    assert!(run.stderr.contains("no report was accepted") && run.stderr.contains("status 503"));

    // The admin opts out. The run says so, and opens no connection at all.
    let pod = pod.env("METRICS_RESPONDER_ENABLED", "false");
    let run = pod.run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    assert!(run.stderr.contains("reporting is disabled, nothing was sent"));
    assert_eq!((api_server.connections(), refusing.connections()), (2, 1));
}
