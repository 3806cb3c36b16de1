//! Measures the cost of a run in clusters of every size: time, processor, memory, requests and
//! bytes, next to curl with the same requests. `just bench` writes the figures into
//! `.github/CONTRIBUTING.md`.
//!
//! With `--check` it measures no time, and fails if the size of the binary, its requests, the bytes
//! that it reads or its peak memory exceed their budgets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics_responder::internals::{META, PRIMARY};
use nix::sys::resource::{UsageWho, getrusage};
use support::api::{self, Handled, TOKEN};
use support::run::Pod;
use support::server::{ACCEPTED, Connection, Relay, Request, Server};
use support::{Folder, cluster};

/// A recorded cluster, and the number of requests of a run, which is the same for any size.
#[derive(Clone, Copy)]
struct Recorded {
    folder: &'static str,
    name: &'static str,
    /// The number of requests, including the POST.
    requests: usize,
    /// The number of requests that the API server answers from etcd, not from its watch cache.
    reads_of_etcd: usize,
}

/// The number of these requests: version, namespace, nodes, CronJob and POST.
const IN_EVERY_CLUSTER: usize = 5;

/// A cluster with the first DaemonSet of the table.
const CANAL: Recorded = Recorded {
    folder: "rke2-canal-ha",
    name: "Canal",
    requests: IN_EVERY_CLUSTER + META.len() + 1,
    reads_of_etcd: 0,
};

/// A cluster without any DaemonSet of the tables, so that a run also searches five nodes for
/// flannel.
const K3S: Recorded = Recorded {
    folder: "k3s-embedded-flannel",
    name: "K3s",
    requests: IN_EVERY_CLUSTER + META.len() + PRIMARY.len() + 1,
    reads_of_etcd: 1,
};

/// The measured pairs. One cluster is enough for the NodeList, whose size is the same in others.
const MEASURED: [(Recorded, Form); 3] =
    [(CANAL, Form::Table), (CANAL, Form::NodeList), (K3S, Form::Table)];
const NODES: [usize; 4] = [5, 500, 5_000, 50_000];
/// The size of a Node object of a real cluster, most of it images, conditions and managedFields.
const NODE_BYTES: usize = 12_500;
const RUNS: usize = 9;
const FEW_RUNS: usize = 3;

/// The largest static binary.
const MAX_BINARY: u64 = 2_000_000;
const MAX_MEMORY_KIB: u64 = 3 * 1024;
/// The budget for a Table of 500 nodes or more.
const MAX_BYTES_PER_NODE: u64 = 300;

fn main() {
    let mut check = false;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--check" => check = true,
            // cargo adds this flag itself.
            "--bench" => {}
            _ => panic!("unexpected argument {arg}"),
        }
    }
    let binary = std::env::var_os("BINARY").map(PathBuf::from);
    let binary = binary.expect("BINARY=the static release binary");
    if check {
        check_budgets(&binary);
    } else {
        let text = measure(&binary);
        print!("{text}");
        write_block(&text);
    }
}

/// Puts the text between the two marks of the document.
fn write_block(text: &str) {
    let (begin, end) = ("<!-- bench: written by `just bench` -->\n", "<!-- /bench -->");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/CONTRIBUTING.md");
    let old = fs::read_to_string(&file).unwrap();
    let (before, rest) = old.split_once(begin).expect(begin);
    let (_, after) = rest.split_once(end).expect(end);
    fs::write(file, [before, begin, text, end, after].concat()).unwrap();
}

/// The form of the node list.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Table,
    NodeList,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Table => "Table",
            Self::NodeList => "NodeList",
        }
    }
}

/// An API server of a cluster with a number of nodes, and an endpoint that reads its client's peak
/// memory before it answers.
struct Scene {
    pod: Pod,
    api: Server,
    endpoint: Server,
    relay: Relay,
    client: Arc<AtomicU64>,
    peak_kib: Arc<AtomicU64>,
}

/// The cost of one run.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
    requests: usize,
    reads_of_etcd: usize,
    read: u64,
}

impl Scene {
    fn new(recorded: Recorded, nodes: usize, form: Form) -> Self {
        let pod = Pod::new();
        let recording = cluster(recorded.folder);
        let api = api::serve_with(
            pod.authority.server(),
            &recording.clone(),
            move |request, connection| {
                if request.path().ends_with("/cronjobs/rke2-metrics-responder") {
                    connection.reply(200, CRON_JOB)?;
                } else if request.target.contains("includeObject=None") {
                    stream(connection, &recording, nodes, form)?;
                } else {
                    return Ok(Handled::No);
                }
                Ok(Handled::Yes)
            },
        );
        let (client, peak_kib) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (pid, peak) = (Arc::clone(&client), Arc::clone(&peak_kib));
        let endpoint = Server::start(Some(pod.authority.server()), move |connection| {
            while connection.request()?.is_some() {
                // Read the peak now: the report is complete and sent.
                peak.store(high_water_kib(pid.load(Ordering::SeqCst)), Ordering::SeqCst);
                connection.reply(200, ACCEPTED)?;
            }
            Ok(())
        });
        let relay = Relay::to(endpoint.port);
        let url = format!("https://127.0.0.1:{}/v1/checkupgrade", relay.port);
        let pod = pod
            .api(api.port)
            .endpoint(&url)
            .timeout("60s")
            .env("METRICS_RESPONDER_GRACE_PERIOD", "1s");
        Self { pod, api, endpoint, relay, client, peak_kib }
    }

    /// Measures the program.
    fn program(&self, binary: &Path) -> Cost {
        let mut command = self.pod.command();
        let mut real = Command::new(binary);
        real.args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            real.env(name, value.unwrap_or_default());
        }
        command = real;
        self.measure(&mut command)
    }

    /// Measures curl with the same requests, also over one connection, and with the same POST.
    fn curl(&self, config: &Path) -> Cost {
        self.measure(Command::new("curl").arg("--config").arg(config))
    }

    fn measure(&self, command: &mut Command) -> Cost {
        let (seen, sent) = (self.api.seen().len(), self.api.sent());
        let posts = self.endpoint.seen().len();
        let before = cpu();
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.client.store(child.id().into(), Ordering::SeqCst);
        let status = child.wait().unwrap();
        let wall = started.elapsed();
        assert!(status.success(), "{command:?}: {status}");
        assert_eq!(self.endpoint.seen().len(), posts + 1, "{command:?}");
        let peak_kib = self.peak_kib.load(Ordering::SeqCst);
        assert!(peak_kib > 0, "{command:?}: no peak of memory was read");
        let requests = self.api.seen().split_off(seen);
        Cost {
            wall,
            cpu: cpu().saturating_sub(before),
            peak_kib,
            requests: requests.len() + 1,
            reads_of_etcd: requests.iter().filter(|request| reads_etcd(request)).count(),
            read: (self.api.sent() - sent) as u64,
        }
    }

    /// Writes a configuration for curl from the requests that the program made.
    fn curl_config(&self, folder: &Folder) -> PathBuf {
        let mut text = String::new();
        let ca = self.pod.folder.path().join("ca.pem");
        let ca = ca.display();
        let common = format!("cacert = \"{ca}\"\nsilent\nshow-error\noutput = /dev/null\n");
        for request in self.api.seen() {
            let accept = request.header("accept").unwrap();
            write!(
                text,
                "url = \"https://127.0.0.1:{}{}\"\nheader = \"Authorization: Bearer {TOKEN}\"\n\
                 header = \"Accept: {accept}\"\n{common}next\n",
                self.api.port, request.target
            )
            .unwrap();
        }
        let report = self.endpoint.seen()[0].text().replace('"', "\\\"");
        write!(
            text,
            "url = \"https://127.0.0.1:{}/v1/checkupgrade\"\nheader = \"Content-Type: application/json\"\n\
             data = \"{report}\"\n{common}",
            self.relay.port
        )
        .unwrap();
        folder.write("curl", text)
    }
}

/// The CronJob of an installation whose grace period is over.
const CRON_JOB: &str = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"rke2-metrics-responder","namespace":"kube-system","creationTimestamp":"2026-01-01T00:00:00Z"}}"#;

/// Returns true if the API server has to read etcd. It answers `/version` itself, and requests for
/// any resource version from its watch cache.
fn reads_etcd(request: &Request) -> bool {
    request.path() != "/version" && !request.target.contains("resourceVersion=0")
}

/// Generates the node list while it is sent: 50,000 whole nodes are 625 MB.
fn stream(
    connection: &mut Connection,
    recording: &Path,
    nodes: usize,
    form: Form,
) -> io::Result<()> {
    let (file, key) = match form {
        Form::Table => ("nodes.table.json", "rows"),
        Form::NodeList => ("nodes.json", "items"),
    };
    let text = fs::read_to_string(recording.join("api/v1").join(file))?;
    let begin = text.find(&format!("\"{key}\":[")).unwrap() + key.len() + 4;
    let element = element(&text, key, form);
    connection.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    chunk(connection, &text.as_bytes()[..begin])?;
    let batch = (32_000 / element.len()).max(1);
    let mut left = nodes;
    while left > 0 {
        let count = batch.min(left);
        left -= count;
        let mut piece = vec![element.as_str(); count].join(",");
        if left > 0 {
            piece.push(',');
        }
        chunk(connection, piece.as_bytes())?;
    }
    chunk(connection, b"]}\n")?;
    connection.write(b"0\r\n\r\n")
}

/// Returns the recording's first element, padded to the size of a real one.
fn element(text: &str, key: &str, form: Form) -> String {
    let list: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut element = list[key][0].clone();
    if form == Form::NodeList {
        let images = element["status"]["images"].as_array_mut().unwrap();
        let image = images[0].clone();
        let missing = NODE_BYTES.saturating_sub(list[key][0].to_string().len());
        images.extend(vec![image.clone(); missing / (image.to_string().len() + 1)]);
    }
    element.to_string()
}

fn chunk(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    connection.write(&framed)
}

/// Returns the processor time of all child processes so far.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let of = |time: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(time.tv_sec()).unwrap(),
            u32::try_from(time.tv_usec()).unwrap() * 1000,
        )
    };
    of(usage.user_time()) + of(usage.system_time())
}

fn high_water_kib(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Returns the text for the document.
fn measure(binary: &Path) -> String {
    let (machine, curl) = (machine(), curl_version());
    let size = thousands(fs::metadata(binary).unwrap().len());
    let mut summary = String::new();
    let mut table = format!(
        "Medians of {RUNS} runs each after a warm-up ({FEW_RUNS} for the largest NodeList), on {machine}\n\
         with {curl}. The static binary has {size} bytes. `ratio` is the wall time over curl's for the\n\
         same requests to the Canal cluster, pair by pair; `read` is in bytes.\n\n\
         | nodes | form | wall | curl's | ratio | CPU | curl's | memory | curl's | requests | read | a node |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (recorded, form) in MEASURED {
        // A page has few words: one size of K3s, and the large ones of the NodeList.
        let sizes = match (recorded.name, form) {
            (name, _) if name == K3S.name => &NODES[2..3],
            (_, Form::NodeList) => &NODES[2..],
            (_, Form::Table) => &NODES[..],
        };
        for &nodes in sizes {
            let pairs = pairs(binary, recorded, nodes, form);
            if recorded.name == CANAL.name {
                table += &line(nodes, form, &pairs);
            }
            if (nodes, form) == (5_000, Form::Table) {
                summary += &sentence(recorded, &pairs);
            }
        }
    }
    format!("{summary}\n{table}{}", wire(binary))
}

fn pairs(binary: &Path, recorded: Recorded, nodes: usize, form: Form) -> Vec<(Cost, Cost)> {
    let scene = Scene::new(recorded, nodes, form);
    let folder = Folder::new();
    scene.program(binary);
    let config = scene.curl_config(&folder);
    scene.curl(&config);
    // Limit the runs with half a gigabyte, which take seconds.
    let large = nodes * NODE_BYTES > 100_000_000 && form == Form::NodeList;
    let runs = if large { FEW_RUNS } else { RUNS };
    (0..runs).map(|_| (scene.program(binary), scene.curl(&config))).collect()
}

fn sentence(recorded: Recorded, pairs: &[(Cost, Cost)]) -> String {
    let of = |pick: &dyn Fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(pick).collect());
    let own = pairs[0].0;
    format!(
        "- {} with 5,000 nodes: {} requests, {} of them answered from etcd, {:.1} MB read;\n  \
         {:.0} ms, {:.0} ms of processor time, {:.1} MiB of memory. curl takes {:.0} ms and {:.1} MiB.\n",
        recorded.name,
        own.requests,
        own.reads_of_etcd,
        own.read as f64 / 1e6,
        of(&|(a, _)| millis(a.wall)),
        of(&|(a, _)| millis(a.cpu)),
        of(&|(a, _)| mib(a)),
        of(&|(_, b)| millis(b.wall)),
        of(&|(_, b)| mib(b)),
    )
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn mib(cost: &Cost) -> f64 {
    cost.peak_kib as f64 / 1024.0
}

/// Describes the bytes of one report on the network.
fn wire(binary: &Path) -> String {
    let scene = Scene::new(CANAL, 5, Form::Table);
    scene.program(binary);
    let (sent, received) = scene.relay.bytes();
    format!(
        "\nOne report on the wire, with the TLS 1.3 handshake and a chain of one certificate:\n\
         {} bytes sent, {} received, above TCP.\n",
        thousands(sent),
        thousands(received)
    )
}

fn line(nodes: usize, form: Form, pairs: &[(Cost, Cost)]) -> String {
    let of = |pick: &dyn Fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(pick).collect());
    let own = pairs[0].0;
    let ratios: Vec<_> =
        pairs.iter().map(|(a, b)| a.wall.as_secs_f64() / b.wall.as_secs_f64()).collect();
    format!(
        "| {} | {} | {:.0} ms | {:.0} ms | {:.2} | {:.0} ms | {:.0} ms | {:.1} MiB | {:.1} MiB | {} | {} | {} |\n",
        thousands(nodes as u64),
        form.name(),
        of(&|(a, _)| millis(a.wall)),
        of(&|(_, b)| millis(b.wall)),
        median(ratios),
        of(&|(a, _)| millis(a.cpu)),
        of(&|(_, b)| millis(b.cpu)),
        of(&|(a, _)| mib(a)),
        of(&|(_, b)| mib(b)),
        own.requests,
        thousands(own.read),
        own.read / nodes as u64,
    )
}

/// Checks every budget except for time.
fn check_budgets(binary: &Path) {
    let mut failed = 0;
    let mut check = |what: &str, found: u64, most: u64| {
        let verdict = if found <= most { "ok" } else { "FAILED" };
        failed += usize::from(found > most);
        println!("{what}: {found} of at most {most}: {verdict}");
    };
    check("bytes of the binary", fs::metadata(binary).unwrap().len(), MAX_BINARY);
    for (recorded, form) in MEASURED {
        for nodes in NODES {
            let cost = Scene::new(recorded, nodes, form).program(binary);
            let scene = format!("{} with {nodes} nodes as {}", recorded.name, form.name());
            check(&format!("{scene}: KiB of memory"), cost.peak_kib, MAX_MEMORY_KIB);
            if form == Form::Table && nodes >= 500 {
                let bytes = cost.read / nodes as u64;
                check(&format!("{scene}: bytes read a node"), bytes, MAX_BYTES_PER_NODE);
            }
            assert_eq!(
                (cost.requests, cost.reads_of_etcd),
                (recorded.requests, recorded.reads_of_etcd),
                "{scene}: requests, and reads of etcd among them"
            );
        }
    }
    assert_eq!(failed, 0, "over budget");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(": "))
    };
    let model = field("model name").map_or("an unnamed processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} cores of {model}")
}

fn curl_version() -> String {
    let output = Command::new("curl").arg("--version").output().expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
