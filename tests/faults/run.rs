//! Runs rows, and compares the expected outcome of each with its run.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::row::{CLUSTER, OR, Outcome, Row};
use crate::support::logfmt;
use crate::support::run::Run;
use crate::support::server::Request;
use crate::support::{cluster, expected};

/// The number of rows that run in parallel. There are more than processors, since many rows only
/// wait for a timeout.
const SIDE_BY_SIDE: usize = 12;

/// Returns the text that selects rows, or `None` to run all rows.
pub fn selection() -> Option<String> {
    std::env::var("ROW").ok().filter(|text| !text.is_empty())
}

pub fn is_selected(name: &str) -> bool {
    selection().is_none_or(|text| name.contains(&text))
}

pub fn full_name(test: &str, row: &Row) -> String {
    format!("{test}: {}", row.name)
}

/// Runs the selected rows of a test, and names those that fail.
pub fn all(test: &str, rows: Vec<Row>) {
    let named = rows.into_iter().map(|row| (full_name(test, &row), row));
    let rows: Vec<_> = named.filter(|(name, _)| is_selected(name)).collect();
    let total = rows.len();
    let (rows, failed) = (Mutex::new(rows.into_iter()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let Some((name, row)) = rows.lock().unwrap().next() else {
                        break;
                    };
                    if let Err(fault) = one(&name, row) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("{name}: {fault}");
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner(), 0, "of {total} rows");
}

/// Runs one row. A panic, such as that about a line that is not logfmt, fails only this row.
fn one(name: &str, row: Row) -> Result<(), String> {
    let outcome = row.outcome;
    let result = panic::catch_unwind(AssertUnwindSafe(|| check(row)));
    let result = result.unwrap_or_else(|_| Err("a panic, which is shown above".to_owned()));
    if selection().is_some() {
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        // Avoid `eprintln!`: its output is shown only for tests that fail.
        let line = format!("{verdict:6} {name} -> {outcome:?}\n");
        io::stderr().write_all(line.as_bytes()).unwrap();
    }
    result
}

fn check(row: Row) -> Result<(), String> {
    let (outcome, strict) = (row.outcome, row.strict);
    let scene = row.scene();
    let run = scene.pod.run();
    let posted: Vec<_> = scene.endpoint.seen().iter().map(Request::text).collect();
    let report = report(outcome);
    let printed = report.as_ref().map(|report| format!("{report}\n"));
    let begins = match outcome {
        Outcome::Typed(_) => logfmt::ANSWER,
        _ => "level=info ",
    };
    let arrives = match outcome {
        Outcome::Sent | Outcome::SentAs(_) | Outcome::SentWithoutCni(_) => 1..=1,
        Outcome::Unclear(_) => 0..=1,
        _ => 0..=0,
    };
    let canary = "acme-canary";
    let holds = [
        ("status", run.code == Some(status(outcome, strict))),
        ("number of lines", run.lines().len() == 1),
        ("beginning of the line", run.stderr.starts_with(begins)),
        ("reason", has_reason(&run, outcome)),
        // The program prints the report before it sends any of it.
        ("standard output", run.stdout == printed.unwrap_or_default()),
        ("a connection to the endpoint", report.is_some() || scene.endpoint.connections() == 0),
        ("how often it was posted", arrives.contains(&posted.len())),
        ("what was posted", posted.iter().all(|text| Some(text) == report.as_ref())),
        ("canary", !format!("{}{posted:?}", run.text()).contains(canary)),
        ("an answer that was not requested", scene.is_used()),
        ("a redirect", scene.elsewhere.connections() == 0),
        // Reading and sending each have a time limit, and a busy machine is slow.
        ("time", run.took < Duration::from_secs(30)),
    ];
    match holds.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((what, _)) => Err(format!("{what}: {run:?} posted {posted:?}")),
    }
}

/// Returns the report that is printed and perhaps posted, if there is one.
fn report(outcome: Outcome) -> Option<String> {
    let report = expected(&cluster(CLUSTER));
    let cni = r#""cni-plugin":"canal","#;
    match outcome {
        Outcome::Sent | Outcome::NotSent(_) | Outcome::Unclear(_) => Some(report),
        Outcome::SentAs(other) => Some(report.replace(cni, &cni.replace("canal", other))),
        Outcome::SentWithoutCni(_) => Some(report.replace(cni, "")),
        Outcome::Offline(_) | Outcome::Cluster(_) | Outcome::Usage(_) | Outcome::Typed(_) => None,
    }
}

fn status(outcome: Outcome, strict: bool) -> i32 {
    match outcome {
        Outcome::Sent | Outcome::SentAs(_) | Outcome::SentWithoutCni(_) => 0,
        Outcome::NotSent(_) | Outcome::Unclear(_) | Outcome::Offline(_) => 3 * i32::from(strict),
        Outcome::Cluster(_) => 1,
        Outcome::Usage(_) | Outcome::Typed(_) => 2,
    }
}

fn has_reason(run: &Run, outcome: Outcome) -> bool {
    let accepted = run.logged("msg").as_deref() == Some("the report was accepted");
    let without_cni = run.logged("without_cni_plugin");
    match outcome {
        Outcome::Sent | Outcome::SentAs(_) => accepted && without_cni.is_none(),
        Outcome::SentWithoutCni(reason) => {
            accepted && without_cni.is_some_and(|text| text.contains(reason))
        }
        Outcome::NotSent(reason)
        | Outcome::Unclear(reason)
        | Outcome::Offline(reason)
        | Outcome::Cluster(reason)
        | Outcome::Usage(reason)
        | Outcome::Typed(reason) => {
            !accepted && reason.split(OR).any(|text| run.stderr.contains(text))
        }
    }
}
