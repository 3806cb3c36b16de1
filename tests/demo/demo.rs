//! Sends every recorded cluster to a receiver on loopback, and prints the numbers that the
//! receiver's operator sees.

#[path = "../receiver/receiver.rs"]
mod receiver;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The classes of size by number of nodes, as in `deploy/receiver/queries.influxql`.
pub const SIZES: [(u64, &str); 7] = [
    (1, "1"),
    (3, "2-3"),
    (10, "4-10"),
    (50, "11-50"),
    (200, "51-200"),
    (1000, "201-1000"),
    (u64::MAX, "over 1000"),
];

#[allow(dead_code, reason = "the tests call `demo` itself")]
fn main() -> ExitCode {
    let folder = Path::new(ROOT).join("testdata/clusters");
    match build().and_then(|program| demo(&program, &folder)) {
        Ok(tables) => {
            print!("{tables}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the program for release, and returns its path.
#[allow(dead_code, reason = "the tests have the program already")]
fn build() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--bin", "metrics-responder"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output()?;
    let artifacts = String::from_utf8(output.stdout)?;
    let executable = artifacts.lines().find_map(|artifact| {
        let artifact: Value = serde_json::from_str(artifact).ok()?;
        artifact["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| format!("cargo build: {}", output.status).into())
}

/// Makes the program report every recorded cluster of the folder, and counts what arrives.
pub fn demo(program: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (store, received) = mpsc::channel();
    receiver::receive(listener, move |report| store.send(report).map_err(io::Error::other));
    let mut reports = Vec::new();
    for recording in fs::read_dir(folder)? {
        let recording = recording?.path();
        let report = send(program, &recording, address)
            .and_then(|()| Ok(received.try_recv().map_err(|_| "nothing arrived")?))
            .map_err(|e| format!("{} was not accepted: {e}", recording.display()))?;
        reports.push(report);
    }
    Ok(tables(&reports))
}

/// Runs the program with an empty environment, so that no setting or proxy of this machine applies.
fn send(program: &Path, recording: &Path, receiver: SocketAddr) -> Result<(), Box<dyn Error>> {
    let output = Command::new(program)
        .env_clear()
        .args(["--strict", "--config", "/dev/null", "--recorded"])
        .arg(recording)
        .args(["--endpoint", &format!("http://{receiver}/v1/checkupgrade")])
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let verdict = log.lines().last().unwrap_or_default();
    Err(format!("{}, {verdict}", output.status).into())
}

type Answer = fn(&Value) -> &str;

/// Renders one table for each question of the operator.
fn tables(reports: &[Value]) -> String {
    let sum: u64 = reports.iter().map(nodes).sum();
    let mut text = format!("Received: {} clusters with {sum} nodes\n", reports.len());
    let questions: [(&str, Answer); 4] = [
        ("version", |report| word(report, "/appVersion")),
        ("CNI", |report| word(report, "/extraFieldInfo/cni-plugin")),
        ("OS", |report| word(report, "/extraFieldInfo/os")),
        ("size", |report| size(nodes(report))),
    ];
    for (question, answer) in questions {
        text += &table(question, reports, answer);
    }
    text
}

/// Counts clusters and nodes by answer: sizes in their order, other answers by their frequency.
fn table(question: &str, reports: &[Value], answer: Answer) -> String {
    let mut counts = BTreeMap::<_, (usize, u64)>::new();
    for report in reports {
        let (clusters, sum) = counts.entry(answer(report)).or_default();
        *clusters += 1;
        *sum += nodes(report);
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(answer, count)| {
        let size = SIZES.iter().position(|(_, name)| name == answer);
        (size, Reverse(*count))
    });
    let line = |(answer, (clusters, nodes))| format!("{answer:18}{clusters:8}{nodes:8}\n");
    let lines: Vec<String> = rows.into_iter().map(line).collect();
    format!("\n{question:18}clusters   nodes\n{}", lines.concat())
}

fn nodes(report: &Value) -> u64 {
    report["extraFieldInfo"]["nodeCount"].as_u64().unwrap_or(0)
}

fn word<'a>(report: &'a Value, key: &str) -> &'a str {
    let value = report.pointer(key).and_then(Value::as_str);
    value.unwrap_or("missing")
}

fn size(nodes: u64) -> &'static str {
    SIZES.iter().find(|(most, _)| nodes <= *most).map_or("", |(_, name)| name)
}
