//! The built program against a TLS API server and a TLS endpoint: one test for every outcome.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use metrics_responder::cni;
use support::api::{self, Handled, TOKEN};
use support::pki::{Authority, Leaf};
use support::run::{Pod, Run, bare, bare_with};
use support::server::{Server, answer, closed_port, stall};
use support::{Folder, cluster, clusters, expected};

const CLUSTER: &str = "rke2-canal-ha";

/// A pod in a recorded cluster, with an endpoint that accepts.
fn scene(name: &str) -> (Pod, Server, Server) {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster(name));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    (pod, api, endpoint)
}

fn assert_not_sent(run: &Run, reason: &str) {
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.lines().len(), 1, "{run:?}");
    assert!(run.stderr.starts_with("level=info "), "{run:?}");
    assert!(run.stderr.contains(reason), "{run:?}");
}

fn assert_error(run: &Run, code: i32, reason: &str) {
    assert_eq!(run.code, Some(code), "{run:?}");
    assert_eq!(run.lines().len(), 1, "{run:?}");
    assert!(run.stderr.starts_with("level=info "), "{run:?}");
    assert!(run.stderr.contains(reason), "{run:?}");
}

#[test]
fn every_cluster_is_read_over_one_connection_and_reported_once() {
    for path in clusters() {
        let (pod, api, endpoint) = scene(path.file_name().unwrap().to_str().unwrap());
        let run = pod.run();
        assert_eq!(run.code, Some(0), "{run:?}");
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
fn an_accepted_report_is_told_in_two_lines() {
    let (pod, ..) = scene(CLUSTER);
    let run = pod.run();
    let report = format!(
        "level=info msg=report report={}",
        expected(&cluster(CLUSTER))
    );
    let [first, second] = run.lines()[..] else {
        panic!("{run:?}");
    };
    assert_eq!(first, report);
    assert!(second.starts_with("level=info ") && second.contains("enabled: false"));
    assert_eq!(run.stdout, "");
}

#[test]
fn the_requests_are_the_documented_ones() {
    let (pod, api, _) = scene("k3s-embedded-flannel");
    assert_eq!(pod.run().code, Some(0));
    let seen = api.seen();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let list = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let expect = |request: &support::server::Request, target: &str, accept: &str| {
        assert_eq!(request.method, "GET");
        assert_eq!(request.target, target);
        assert_eq!(request.header("accept"), Some(accept));
        assert_eq!(request.header("accept-encoding"), None);
        assert_eq!(
            request.header("authorization"),
            Some(&*format!("Bearer {TOKEN}"))
        );
    };
    expect(&seen[0], "/version", "application/json");
    expect(
        &seen[1],
        "/api/v1/namespaces/kube-system",
        "application/json",
    );
    expect(
        &seen[2],
        "/api/v1/nodes?resourceVersion=0&includeObject=None",
        table,
    );
    let end = seen.len() - 1;
    assert_eq!(end, 3 + cni::PRIMARY.len() + cni::META.len());
    for request in &seen[3..end] {
        let target = &request.target;
        assert!(target.starts_with("/apis/apps/v1/namespaces/"), "{target}");
        expect(request, target, metadata);
    }
    expect(&seen[end], "/api/v1/nodes?limit=1", list);
}

#[test]
fn disabled_opens_no_socket() {
    for (name, value) in [
        ("METRICS_RESPONDER_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
    ] {
        let (pod, api, endpoint) = scene(CLUSTER);
        let run = pod.env(name, value).run();
        assert_not_sent(&run, &format!("by={name}"));
        assert_eq!((api.connections(), endpoint.connections()), (0, 0));
    }
    let (pod, api, endpoint) = scene(CLUSTER);
    let run = pod.config("enabled: false\n").run();
    assert_not_sent(&run, "config.yaml: enabled");
    assert_eq!((api.connections(), endpoint.connections()), (0, 0));
}

#[test]
fn a_dry_run_prints_the_bytes_and_never_meets_the_endpoint() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let run = pod.args(["--dry-run"]).run();
    assert_eq!(run.stdout, expected(&cluster(CLUSTER)) + "\n");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn verbose_tells_each_request_without_hosts() {
    let (pod, api, _) = scene(CLUSTER);
    let run = pod.args(["-v"]).run();
    let debug: Vec<_> = run
        .lines()
        .into_iter()
        .filter(|l| l.starts_with("level=debug"))
        .collect();
    assert_eq!(debug.len(), api.seen().len() + 1);
    assert_eq!(run.lines().len(), debug.len() + 2);
    assert!(debug[0].starts_with("level=debug method=GET path=/version status=200 bytes=352 ms="));
    assert!(
        debug
            .last()
            .unwrap()
            .starts_with("level=debug method=POST path=/v1/checkupgrade status=200 bytes=")
    );
    assert!(
        !run.stderr.contains("127.0.0.1") && !run.stderr.contains(TOKEN),
        "{run:?}"
    );
}

#[test]
fn the_api_is_reached_directly_and_the_endpoint_through_the_proxy() {
    let (pod, api, endpoint) = scene(CLUSTER);
    let port = endpoint.port;
    let proxy = Server::start(None, move |connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        connection.tunnel(port)
    });
    let url = format!("http://acme:canary-secret@127.0.0.1:{}", proxy.port);
    let run = pod.env("HTTPS_PROXY", &url).args(["-v"]).run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(api.connections(), 1);
    assert_eq!(endpoint.seen().len(), 1);
    let [request] = &proxy.seen()[..] else {
        panic!("{:?}", proxy.seen());
    };
    assert_eq!(
        (&*request.method, &*request.target),
        ("CONNECT", &*format!("127.0.0.1:{port}"))
    );
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic YWNtZTpjYW5hcnktc2VjcmV0")
    );
    assert!(!run.text().contains("canary-secret"), "{run:?}");
}

#[test]
fn no_proxy_is_obeyed() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let run = pod
        .env(
            "HTTPS_PROXY",
            &format!("http://127.0.0.1:{}", closed_port()),
        )
        .env("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8")
        .run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
}

#[test]
fn a_redirect_is_not_followed() {
    let (pod, ..) = scene(CLUSTER);
    let other = Server::accepting(Some(pod.authority.server()));
    let location = format!(
        "HTTP/1.1 307 Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        other.https()
    );
    let endpoint = Server::saying(Some(pod.authority.server()), location);
    let run = pod.endpoint(&endpoint.https()).run();
    assert_not_sent(&run, "status 307");
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_captive_portal_accepts_nothing() {
    let (pod, ..) = scene(CLUSTER);
    let html = answer(200, "<html>acme-canary: please sign in</html>");
    let endpoint = Server::saying(Some(pod.authority.server()), html);
    let run = pod.endpoint(&endpoint.https()).run();
    assert_not_sent(&run, "not the reply of an upgrade-responder");
    assert!(!run.stderr.contains("sign in"));
}

#[test]
fn strict_tells_by_the_status_that_nothing_was_accepted() {
    let (pod, ..) = scene(CLUSTER);
    let endpoint = Server::saying(Some(pod.authority.server()), answer(503, ""));
    let run = pod.endpoint(&endpoint.https()).args(["--strict"]).run();
    assert_eq!((run.code, run.lines().len()), (Some(3), 1), "{run:?}");
    let (pod, ..) = scene(CLUSTER);
    assert_eq!(pod.args(["--strict"]).run().code, Some(0));
}

#[test]
fn a_silent_endpoint_ends_at_the_timeout() {
    let (pod, ..) = scene(CLUSTER);
    let endpoint = Server::start(Some(pod.authority.server()), |connection| {
        connection.request()?;
        stall()
    });
    let run = pod.endpoint(&endpoint.https()).timeout("1s").run();
    assert_not_sent(&run, "no answer within 1s");
    assert!(run.took < Duration::from_secs(4), "{run:?}");
}

#[test]
fn an_endpoint_that_is_not_there_is_no_failure() {
    let (pod, ..) = scene(CLUSTER);
    let refused = format!("https://127.0.0.1:{}/v1/checkupgrade", closed_port());
    assert_not_sent(&pod.endpoint(&refused).run(), "Connection refused");
    let (pod, ..) = scene(CLUSTER);
    let unknown = "https://no-such-host.invalid/v1/checkupgrade";
    assert_not_sent(&pod.endpoint(unknown).run(), "does not resolve");
}

#[test]
fn an_api_server_that_is_not_there_is_no_failure() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let run = pod.api(closed_port()).run();
    assert_not_sent(&run, "GET /version: Connection refused");
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn a_refusal_of_the_api_server_ends_the_run() {
    for (status, code) in [(401, 1), (403, 1), (404, 1), (500, 0)] {
        for target in [
            "/version",
            "/api/v1/namespaces/kube-system",
            "/api/v1/nodes",
        ] {
            let pod = Pod::new();
            let api = api::serve_with(
                pod.authority.server(),
                &cluster(CLUSTER),
                move |request, connection| {
                    if !request.target.starts_with(target) {
                        return Ok(Handled::No);
                    }
                    let (status, body) = api::refusal(status);
                    connection.reply(status, &body).map(|()| Handled::Yes)
                },
            );
            let endpoint = Server::accepting(Some(pod.authority.server()));
            let run = pod.api(api.port).endpoint(&endpoint.https()).run();
            let reason = format!("status {status}");
            match code {
                0 => assert_not_sent(&run, &reason),
                _ => assert_error(&run, code, &reason),
            }
            assert!(run.stderr.contains(&format!("GET {target}")), "{run:?}");
            assert_eq!(endpoint.connections(), 0);
        }
    }
}

#[test]
fn truncated_json_of_the_api_server_ends_the_run() {
    let pod = Pod::new();
    let api = api::serve_with(
        pod.authority.server(),
        &cluster(CLUSTER),
        |request, connection| {
            if !request.target.starts_with("/api/v1/nodes") {
                return Ok(Handled::No);
            }
            let table = fs::read_to_string(cluster(CLUSTER).join("api/v1/nodes.table.json"))?;
            connection.reply(200, &table[..table.len() / 2])?;
            Ok(Handled::Yes)
        },
    );
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let run = pod.api(api.port).endpoint(&endpoint.https()).run();
    assert_error(&run, 1, "JSON that ends");
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn a_daemonset_that_may_not_be_read_costs_only_its_field() {
    let pod = Pod::new();
    let api = api::serve_with(
        pod.authority.server(),
        &cluster(CLUSTER),
        |request, connection| {
            if !request.target.contains("/daemonsets/") {
                return Ok(Handled::No);
            }
            let (status, body) = api::refusal(403);
            connection.reply(status, &body).map(|()| Handled::Yes)
        },
    );
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    let run = pod.run();
    assert_eq!((run.code, run.lines().len()), (Some(0), 2), "{run:?}");
    assert!(run.lines()[1].contains("without_cni_plugin="), "{run:?}");
    let report = expected(&cluster(CLUSTER)).replace("\"cni-plugin\":\"canal\",", "");
    assert_eq!(endpoint.seen()[0].text(), report);
    let run = pod.args(["--dry-run"]).run();
    assert_eq!(run.stdout, report + "\n");
    assert!(
        run.stderr.starts_with("level=info ") && run.stderr.contains("cni-plugin"),
        "{run:?}"
    );
}

#[test]
fn the_public_roots_alone_do_not_trust_a_private_endpoint() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let run = pod.config("").run();
    assert_not_sent(&run, "unknown authority");
    assert_eq!(endpoint.seen().len(), 0);
}

#[test]
fn an_endpoint_of_tls_1_2_is_good_enough() {
    let (pod, ..) = scene(CLUSTER);
    let endpoint = Server::accepting(Some(pod.authority.tls12_server()));
    let run = pod.endpoint(&endpoint.https()).run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
}

#[test]
fn plain_http_is_for_this_machine_or_where_allowed() {
    let (pod, ..) = scene(CLUSTER);
    let endpoint = Server::accepting(None);
    let run = pod.endpoint(&endpoint.http()).run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
    let (pod, api, _) = scene(CLUSTER);
    let run = pod
        .endpoint("http://receiver.example/v1/checkupgrade")
        .run();
    assert_error(&run, 2, "allowHttp");
    assert_eq!(api.connections(), 0);
}

#[test]
fn the_wait_comes_after_the_cluster_was_left_and_before_the_endpoint_is_met() {
    let (pod, _, endpoint) = scene(CLUSTER);
    // This cluster's UUID modulo 700 ms.
    let uuid = 0x0fd6_ac60_b9ea_46b8_85fa_cb6c_fdb9_e57e_u128;
    let wait = Duration::from_millis(u64::try_from(uuid % 700).unwrap());
    let run = pod.env("METRICS_RESPONDER_SPREAD", "700ms").run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
    assert!(
        wait > Duration::from_millis(100) && run.took > wait,
        "{run:?}"
    );
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
fn from_outside_a_cluster_nothing_goes_to_the_default_endpoint() {
    let recording = cluster(CLUSTER);
    let recording = recording.to_str().unwrap();
    let run = bare(&["--recorded", recording]);
    assert_error(&run, 2, "--dry-run");
    let endpoint = Server::accepting(None);
    let run = bare(&["--recorded", recording, "--endpoint", &endpoint.http()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(endpoint.seen()[0].text(), expected(&cluster(CLUSTER)));
}

#[test]
fn outside_of_everything_the_three_ways_in_are_named() {
    let run = bare(&[]);
    assert_error(&run, 1, "--kubeconfig nor --recorded");
}

#[test]
fn an_api_server_of_another_authority_is_not_asked() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let api = api::serve(Authority::new().server(), &cluster(CLUSTER));
    let run = pod.api(api.port).run();
    assert_error(&run, 1, "unknown authority");
    assert_eq!((api.seen().len(), endpoint.connections()), (0, 0));
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

/// Every string of a recording becomes a canary, one file at a time and all at once: whatever the program
/// then makes of it, none gets out.
#[test]
fn no_string_of_the_cluster_gets_out() {
    let kept = [
        "Table",
        "NodeList",
        "Roles",
        "OS-Image",
        "PartialObjectMetadata",
        "DaemonSet",
    ];
    for version in [true, false] {
        for path in clusters() {
            let folder = Folder::new();
            poison_tree(&path, folder.path(), &kept, version);
            let pod = Pod::new();
            let api = api::serve(pod.authority.server(), folder.path());
            let endpoint = Server::accepting(Some(pod.authority.server()));
            let pod = pod.api(api.port).endpoint(&endpoint.https()).args(["-v"]);
            let run = pod.run();
            let posted: String = endpoint
                .seen()
                .iter()
                .map(support::server::Request::text)
                .collect();
            for text in [&run.text(), &posted] {
                assert!(!text.contains("acme-canary"), "{text}");
            }
            // With version and UUID left alone the rest is read, and only `other` and `unknown` remain.
            assert_eq!(endpoint.seen().len(), usize::from(!version), "{run:?}");
            let recorded = [
                "-v",
                "--dry-run",
                "--recorded",
                folder.path().to_str().unwrap(),
            ];
            assert!(!bare(&recorded).text().contains("acme-canary"));
        }
    }
}

fn poison_tree(from: &Path, to: &Path, kept: &[&str], version: bool) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            poison_tree(&entry.path(), &target, kept, version);
        } else {
            let name = entry.file_name();
            let spared = !version && (name == "version.json" || name == "kube-system.json");
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = if spared { text } else { poison(&text, kept) };
            fs::write(target, text).unwrap();
        }
    }
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

/// base64, for a kubeconfig.
fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = bits >> (18 - 6 * i) & 63;
            text.push(if i <= chunk.len() {
                char::from(ALPHABET[sextet as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[test]
fn a_missing_default_configuration_is_none_and_a_missing_chosen_one_is_an_error() {
    let run = bare_with(&["--config", "/nowhere/config.yaml"], &[]);
    assert_error(&run, 2, "/nowhere/config.yaml: No such file");
}
