//! Runs the built program against a TLS API server and a TLS endpoint, without faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metrics_responder::internals::{META, PRIMARY, opt_out_command};
use support::api::{self, TOKEN};
use support::pki::Leaf;
use support::run::{Pod, Run, bare, scene};
use support::server::{ACCEPTED, Request, Server, answer};
use support::{Folder, cluster, clusters, expected, files};

const CLUSTER: &str = "rke2-canal-ha";

/// Checks that the run printed and sent this report, and logged this many lines at level info.
fn assert_sent(run: &Run, report: &str, lines: usize) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), report), "{run:?}");
    assert_eq!(run.lines().len(), lines, "{run:?}");
    assert!(run.lines().iter().all(|line| line.starts_with("level=info ")), "{run:?}");
    assert_eq!(run.logged("msg").as_deref(), Some("the report was accepted"));
}

#[test]
fn every_cluster_is_read_over_one_connection_and_reported_once() {
    for path in clusters() {
        let (pod, api, endpoint) = scene(path.file_name().unwrap().to_str().unwrap());
        let run = pod.run();
        assert_sent(&run, &(expected(&path) + "\n"), 1);
        assert_eq!(run.logged("turn_off"), Some(opt_out_command("kube-system")));
        assert_eq!(api.connections(), 1);
        let [request] = &endpoint.seen()[..] else {
            panic!("{:?}", endpoint.seen());
        };
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/v1/checkupgrade");
        assert_eq!(request.text(), expected(&path));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let agent = concat!("rke2-metrics-responder/", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(agent));
        let length = request.body.len().to_string();
        assert_eq!(request.header("content-length"), Some(&*length));
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn the_opt_out_command_names_the_namespace_of_the_pod() {
    let (pod, ..) = scene(CLUSTER);
    pod.folder.write("sa/namespace", "telemetry");
    let run = pod.run();
    assert_eq!(run.logged("turn_off"), Some(opt_out_command("telemetry")), "{run:?}");
}

#[test]
fn the_requests_are_the_documented_ones() {
    let (pod, api, _) = scene("k3s-embedded-flannel");
    assert_eq!(pod.run().code, Some(0));
    let seen = api.seen();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let list = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let daemonsets = PRIMARY.iter().chain(META).map(|row| {
        let path = row.daemonset.path();
        (format!("{path}?resourceVersion=0"), metadata)
    });
    let expected: Vec<_> = [
        ("/version".to_owned(), "application/json"),
        ("/api/v1/namespaces/kube-system?resourceVersion=0".to_owned(), "application/json"),
        ("/api/v1/nodes?resourceVersion=0&includeObject=None".to_owned(), table),
    ]
    .into_iter()
    .chain(daemonsets)
    .chain([("/api/v1/nodes?limit=5".to_owned(), list)])
    .collect();
    let made: Vec<_> = seen
        .iter()
        .map(|request| (request.target.clone(), request.header("accept").unwrap()))
        .collect();
    assert_eq!(made, expected);
    for request in seen {
        assert_eq!(request.method, "GET");
        assert_eq!(request.header("accept-encoding"), None);
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    }
}

/// etcd gets no request, except for one list with a limit on K3s with embedded flannel.
#[test]
fn every_request_but_one_is_answered_from_the_watch_cache() {
    for path in clusters() {
        let (pod, api, _) = scene(path.file_name().unwrap().to_str().unwrap());
        assert_eq!(pod.run().code, Some(0));
        let from_etcd: Vec<_> = api
            .seen()
            .into_iter()
            .map(|request| request.target)
            .filter(|target| target != "/version" && !target.contains("resourceVersion=0"))
            .collect();
        // The exception is requested if no DaemonSet shows the CNI, or only that of kube-router.
        let is_known = PRIMARY.iter().any(|row| {
            let file = format!(".{}.json", row.daemonset.path());
            row.cni != "kube-router" && path.join(file).exists()
        });
        let limited = ["/api/v1/nodes?limit=5"];
        assert_eq!(from_etcd, limited[..usize::from(!is_known)], "{}", path.display());
    }
}

#[test]
fn a_dry_run_prints_the_report_and_does_not_connect_to_the_endpoint() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let run = pod.args(["--dry-run"]).run();
    assert_eq!(run.stdout, expected(&cluster(CLUSTER)) + "\n");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn verbose_logs_each_request_without_its_host() {
    let (pod, api, _) = scene(CLUSTER);
    let pod = pod.args(["-v"]);
    let run = pod.run();
    let debug: Vec<_> =
        run.lines().into_iter().filter(|line| line.starts_with("level=debug ")).collect();
    assert_eq!(debug.len(), api.seen().len() + 1);
    assert_eq!(run.lines().len(), debug.len() + 1);
    assert!(debug[0].starts_with("level=debug method=GET path=/version status=200 bytes=352 ms="));
    let bytes = ACCEPTED.len();
    let last =
        format!("level=debug method=POST path=/v1/checkupgrade status=200 bytes={bytes} ms=");
    assert!(debug.last().unwrap().starts_with(&last), "{run:?}");
    assert!(!run.stderr.contains("127.0.0.1") && !run.stderr.contains(TOKEN), "{run:?}");
    let log = |folder: &str| bare(&["-v", "--dry-run", "--recorded", folder]).stderr;
    // The bytes of a reply that is not accepted are logged too.
    let portal = Server::saying(Some(pod.authority.server()), answer(200, "<html>"));
    let run = pod.endpoint(&portal.https()).run();
    assert!(run.stderr.contains(" path=/v1/checkupgrade status=200 bytes=6 ms="), "{run:?}");
    let missing = Folder::new();
    let logged = log(missing.path().to_str().unwrap());
    assert!(
        logged.starts_with("level=debug method=GET path=/version status=404 bytes=0 ms="),
        "{logged}"
    );
}

#[test]
fn a_request_without_an_answer_has_no_status() {
    let (pod, ..) = scene(CLUSTER);
    let run = pod.api(support::server::closed_port()).args(["-v"]).run();
    let first = "level=debug method=GET path=/version status=none bytes=0 ms=";
    assert!(run.stderr.starts_with(first), "{run:?}");
}

#[test]
fn the_api_is_reached_directly_and_the_endpoint_through_the_proxy() {
    let (pod, api, _) = scene(CLUSTER);
    let leaf = Leaf { names: vec!["receiver.example".into()], ..Leaf::default() };
    let endpoint = Server::accepting(Some(pod.authority.server_with(leaf)));
    let port = endpoint.port;
    let proxy = Server::start(None, move |connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        connection.tunnel(port)
    });
    let url = format!("http://acme:canary%23%40%2Fsecret%25@127.0.0.1:{}", proxy.port);
    let pod = pod.endpoint("https://receiver.example/v1/checkupgrade");
    let run = pod.env("HTTPS_PROXY", &url).args(["-v"]).run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.logged("through").as_deref(), Some("HTTPS_PROXY"));
    assert_eq!(api.connections(), 1);
    assert_eq!(endpoint.seen().len(), 1);
    let [request] = &proxy.seen()[..] else {
        panic!("{:?}", proxy.seen());
    };
    assert_eq!((&*request.method, &*request.target), ("CONNECT", "receiver.example:443"));
    let credentials = request.header("proxy-authorization");
    // The credentials are decoded, as in Go and curl.
    let basic = format!("Basic {}", encode(b"acme:canary#@/secret%"));
    assert_eq!(credentials, Some(&*basic));
    assert!(!run.text().contains("canary"), "{run:?}");
}

/// A reader of the log sees the report before it can leave.
#[test]
fn the_report_is_printed_before_the_wait_and_the_wait_is_announced() {
    let (pod, _, endpoint) = scene(CLUSTER);
    // The UUID of this cluster modulo 6 seconds.
    let uuid = 0x0fd6_ac60_b9ea_46b8_85fa_cb6c_fdb9_e57e_u128;
    let wait = Duration::from_millis(u64::try_from(uuid % 6000).unwrap());
    assert!(wait > Duration::from_secs(5));
    let pod = pod.env("METRICS_RESPONDER_SPREAD", "6s");
    let started = Instant::now();
    let mut child = pod.start();
    let mut report = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut report).unwrap();
    assert_eq!(report, expected(&cluster(CLUSTER)) + "\n");
    assert_eq!(endpoint.connections(), 0);
    let run = support::run::finish(child);
    assert!(started.elapsed() >= wait, "{run:?}");
    let [announcement, verdict] = run.lines()[..] else {
        panic!("{run:?}");
    };
    let fields = support::logfmt::parse(announcement).unwrap();
    assert!(fields[1].1.contains("deleting the Job stops it"), "{fields:?}");
    let seconds = wait.as_secs();
    assert!(fields[2].1.starts_with(&format!("{seconds}s")), "{fields:?}");
    let stop = "kubectl -n kube-system delete job -l app.kubernetes.io/name=rke2-metrics-responder";
    assert_eq!(fields[3], ("stop".to_owned(), stop.to_owned()));
    assert!(verdict.contains("accepted"), "{run:?}");
    assert_eq!(endpoint.seen().len(), 1);
}

#[test]
fn a_run_outside_a_cluster_sends_nothing_to_the_default_endpoint() {
    let recording = cluster(CLUSTER);
    let recording = recording.to_str().unwrap();
    for args in [&["--recorded", recording][..], &["--kubeconfig", "/nowhere"]] {
        let run = bare(args);
        assert_eq!(run.code, Some(2), "{run:?}");
        let answer = run.answer().unwrap();
        assert!(answer.contains("add --dry-run or --endpoint URL"), "{run:?}");
    }
    let endpoint = Server::accepting(None);
    let run = bare(&["--recorded", recording, "--endpoint", &endpoint.http()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(endpoint.seen()[0].text(), expected(&cluster(CLUSTER)));
}

#[test]
fn an_api_server_on_loopback_may_be_without_tls() {
    let endpoint = Server::accepting(None);
    let recording = cluster(CLUSTER);
    let proxy = Server::start(None, move |connection| {
        while let Some(request) = connection.request()? {
            let (status, body) = api::read(&recording, &request);
            connection.reply(status, &body)?;
        }
        Ok(())
    });
    let folder = Folder::new();
    let kubeconfig = folder.write(
        "config",
        format!(
            "current-context: x\n\
             contexts: [{{name: x, context: {{cluster: c}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             users: null\n",
            proxy.port
        ),
    );
    let kubeconfig = kubeconfig.to_str().unwrap();
    let run = bare(&["--kubeconfig", kubeconfig, "--endpoint", &endpoint.http()]);
    assert_sent(&run, &(expected(&cluster(CLUSTER)) + "\n"), 1);
}

#[test]
fn a_client_certificate_of_a_kubeconfig_is_presented() {
    let pod = Pod::new();
    let (certificate, key) = pod.authority.issue(Leaf::default());
    let api = api::serve(pod.authority.mutual_server(), &cluster(CLUSTER));
    let pem = |label: &str, der: &[u8]| {
        let base64 = encode(der);
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    };
    let certificate = pem("CERTIFICATE", &certificate);
    pod.folder.write("k/key.pem", key.serialize_pem());
    pod.folder.write("k/token", TOKEN);
    let kubeconfig = pod.folder.write(
        "k/config",
        format!(
            "current-context: x\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority-data: {}}}}}]\n\
             users: [{{name: u, user: {{client-certificate-data: {}, client-key: key.pem, tokenFile: token}}}}]\n",
            api.port,
            encode(pod.authority.pem().as_bytes()),
            encode(certificate.as_bytes()),
        ),
    );
    let run = bare(&["--dry-run", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(run.stdout, expected(&cluster(CLUSTER)) + "\n", "{run:?}");
}

#[test]
fn an_ipv6_api_server_is_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return; // no IPv6 on this machine
    };
    let (pod, _, endpoint) = scene(CLUSTER);
    let api = api::serve(pod.authority.server(), &cluster(CLUSTER));
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let there = std::net::TcpStream::connect(("127.0.0.1", api.port)).unwrap();
            let (mut from, mut to) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (there, stream);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let run = pod.api(port).env("KUBERNETES_SERVICE_HOST", "::1").run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
}

/// Turns every string of a recording into a canary, in one file at a time and in all files at once.
/// No canary may get out.
#[test]
fn no_string_of_the_cluster_gets_out() {
    let kept = ["Table", "NodeList", "Roles", "OS-Image", "PartialObjectMetadata", "DaemonSet"];
    let spared = ["version.json", "api/v1/namespaces/kube-system.json"];
    for cluster in clusters() {
        let files = files(&cluster);
        let every = |_: &Path| true;
        assert_eq!(reports_without_canary(&cluster, &files, &kept, every), 0);
        // With the real version and UUID the program reads everything, and reports `other` and
        // `unknown`.
        let rest = |file: &Path| !spared.iter().any(|spared| file == Path::new(spared));
        assert_eq!(reports_without_canary(&cluster, &files, &kept, rest), 1);
        for one in &files {
            reports_without_canary(&cluster, &files, &kept, |file| file == one);
        }
    }
}

/// Reads a cluster with canaries in these files, live and recorded, and checks that none gets out.
/// Returns the number of reports that were sent.
fn reports_without_canary(
    cluster: &Path,
    files: &[PathBuf],
    kept: &[&str],
    poisoned: impl Fn(&Path) -> bool,
) -> usize {
    let folder = Folder::new();
    for file in files {
        let text = fs::read_to_string(cluster.join(file)).unwrap();
        let text = if poisoned(file) { poison(&text, kept) } else { text };
        folder.write(file.to_str().unwrap(), text);
    }
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), folder.path());
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https()).args(["-v"]);
    let run = pod.run();
    let recorded = folder.path().to_str().unwrap();
    let dry_run = bare(&["-v", "--dry-run", "--recorded", recorded]);
    let posted: String = endpoint.seen().iter().map(Request::text).collect();
    for text in [&run.text(), &dry_run.text(), &posted] {
        assert!(!text.contains("acme-canary"), "{text}");
    }
    endpoint.seen().len()
}

/// Puts a canary into every string value that is not among the kept ones.
fn poison(json: &str, kept: &[&str]) -> String {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    poison_value(&mut value, kept);
    value.to_string()
}

fn poison_value(value: &mut serde_json::Value, kept: &[&str]) {
    match value {
        serde_json::Value::String(text) if !kept.contains(&text.as_str()) => {
            *text = format!("acme-canary {text}");
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(|v| poison_value(v, kept)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|v| poison_value(v, kept)),
        _ => {}
    }
}

/// Encodes bytes as base64, for a kubeconfig.
fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = bits >> (18 - 6 * i) & 63;
            text.push(if i <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}
