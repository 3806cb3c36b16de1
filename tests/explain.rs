//! `--explain`, which shows the admin what is sent and what becomes of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::path::Path;

use metrics_responder::internals::{FIELDS, PRIMARY, opt_out_command};
use serde_json::Value;
use support::api::{self, Handled};
use support::run::{Pod, bare_with, scene};
use support::server::Server;
use support::{cluster, clusters, expected};

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
        // A command is not wrapped, so that it can be pasted.
        let prose = |line: &&str| !line.contains("kubectl ");
        assert!(
            text.lines().filter(prose).all(|line| line.len() <= 100),
            "{text}"
        );
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
    let off = format!("\nOff    {}\n", opt_out_command("kube-system"));
    for expected in [
        "Where  POST https://receiver.example/v1 (as configured)\n",
        "its UUID modulo the spread of 10m\n",
        "Why    reporting is on: METRICS_RESPONDER_ENABLED\n",
        &off,
        "Now    nothing was sent\n",
        concat!(
            "\nUser-Agent: rke2-metrics-responder/",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ),
        "carries the address it comes from",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("secret"));
    let text = explain(&cluster("kind"), &[]);
    for expected in [
        "checkupgrade (the default)\n",
        "(no spread is set)\n",
        "by default, nothing turns it off\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn from_outside_it_says_whose_settings_these_are() {
    let outside = "But    these are the settings of this machine.";
    assert!(explain(&cluster("kind"), &[]).contains(outside));
    let (pod, ..) = scene("kind");
    let inside = pod.args(["--explain"]).run();
    assert!(
        inside.code == Some(0) && !inside.stdout.contains("\nBut "),
        "{inside:?}"
    );
}

#[test]
fn a_cni_that_cannot_be_read_is_told_once_and_fits_100_columns() {
    let pod = Pod::new();
    let api = api::serve_with(
        pod.authority.server(),
        &cluster("kind"),
        |request, connection| {
            if !request.target.contains("/daemonsets/") {
                return Ok(Handled::No);
            }
            let (status, body) = api::refusal(403);
            connection.reply(status, &body).map(|()| Handled::Yes)
        },
    );
    let pod = pod.api(api.port);
    let run = pod.args(["--explain"]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let words: Vec<_> = run.stdout.split_whitespace().collect();
    let text = words.join(" ");
    let reason = format!(
        "not known: GET {}?resourceVersion=0: status 403, the ServiceAccount may not read this",
        PRIMARY.last().unwrap().daemonset.path()
    );
    assert_eq!(text.matches(&reason).count(), 1, "{text}");
    assert_eq!(text.matches("status 403").count(), 1, "{text}");
    let rows: Vec<_> = run.stdout.lines().collect();
    let cni = rows
        .iter()
        .position(|row| row.starts_with("cni-plugin         omitted, not known"))
        .unwrap();
    assert!(
        rows[cni + 2].trim().starts_with("not known: "),
        "{}",
        rows[cni + 2]
    );
    let prose = |row: &&str| !row.contains("kubectl ");
    assert!(
        rows.into_iter().filter(prose).all(|row| row.len() <= 100),
        "{}",
        run.stdout
    );
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
