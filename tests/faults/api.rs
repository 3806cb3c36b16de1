//! Lists faults with which the API server cannot be reached, or refuses.

use std::io;
use std::thread;
use std::time::Duration;

use crate::endpoint::{HOLE, expired, foreign};
use crate::row::Outcome::{Cluster, Offline, Sent, SentAs, SentWithoutCni};
use crate::row::{
    CLUSTER, DAEMONSETS, Draft, MB, NAMESPACE, NODES, Outcome, Row, TIMED_OUT, VERSION, row,
};
use crate::support::api::{self, Handled};
use crate::support::cluster;
use crate::support::pki::{Authority, P521_CA};
use crate::support::server::{ACCEPTED, Connection, answer, closed_port, stall};

pub fn connecting() -> Vec<Row> {
    let tables = [time(), tokens(), cas(), addresses(), connections(), closed_connections()];
    tables.into_iter().flatten().collect()
}

/// All requests to the cluster share one time limit, and sending has another.
fn time() -> Vec<Row> {
    const MOST: Duration = Duration::from_secs(6);
    // Two answers are in time, and the third is not, each by a second or more.
    const PART: Duration = Duration::from_millis(2500);
    vec![
        row("reading and sending take most of their time")
            .timeout("10s")
            .api_pauses(VERSION, MOST)
            .endpoint_answers(|c| {
                thread::sleep(MOST);
                c.reply(200, ACCEPTED)
            })
            .gives(Sent),
        row("each answer takes a part of the time")
            .short()
            .api_pauses("/", PART)
            .gives(Offline(TIMED_OUT)),
    ]
}

fn tokens() -> Vec<Row> {
    const EMPTY: &str = "sa/token: the token is empty";
    const LONG: &[u8] = &[b'a'; 20_000];
    const TOO_LONG: &str = "sa/token: the token is longer than 14 KiB";
    const CHARACTERS: &str = "sa/token: the token contains invalid characters";
    let tokens = [
        ("is empty", &b""[..], EMPTY),
        ("is blank", b" \n\n", EMPTY),
        ("has two lines", b"acme-canary\nacme-canary\n", CHARACTERS),
        ("has a header in it", b"acme-canary\r\nX: y", CHARACTERS),
        ("has a control character", b"acme-canary\x07", CHARACTERS),
        ("is not UTF-8", b"acme-canary\xff", "sa/token: not UTF-8"),
        ("has 20 kB", LONG, TOO_LONG),
        ("belongs to somebody else", b"nobody", "GET /version: status 401"),
    ];
    let missing =
        row("there is no token").without_file("sa/token").gives(Cluster("sa/token: No such file"));
    let tokens = tokens.map(|(what, content, reason)| {
        row(format!("the token {what}")).file("sa/token", content).gives(Cluster(reason))
    });
    tokens.into_iter().chain([missing]).collect()
}

fn cas() -> Vec<Row> {
    const NONE: &str = "sa/ca.crt: contains no certificate";
    const BROKEN: &str = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    vec![
        row("there is no CA").without_file("sa/ca.crt").gives(Cluster("sa/ca.crt: No such file")),
        row("the CA is empty").file("sa/ca.crt", "").gives(Cluster(NONE)),
        row("the CA is garbage").file("sa/ca.crt", "acme-canary").gives(Cluster(NONE)),
        row("the CA is broken").file("sa/ca.crt", BROKEN).gives(Cluster("sa/ca.crt: not PEM")),
        row("the CA is another's")
            .file("sa/ca.crt", Authority::new().pem())
            .gives(Cluster("GET /version: the certificate is signed by an unknown authority")),
    ]
}

fn addresses() -> Vec<Row> {
    const HOST: &str = "KUBERNETES_SERVICE_HOST";
    const PORT: &str = "KUBERNETES_SERVICE_PORT";
    const NO_ADDRESS: &str = "KUBERNETES_SERVICE_HOST: not an address";
    const NO_PORT: &str = "KUBERNETES_SERVICE_PORT: not a port";
    let wrong = [
        ("the host is unset", HOST, "", "no cluster: not in a pod"),
        ("the host is no address", HOST, "acme canary", NO_ADDRESS),
        ("the host has a path", HOST, "127.0.0.1/x", NO_ADDRESS),
        ("the host has a user", HOST, "user@127.0.0.1", NO_ADDRESS),
        ("the port is no port", PORT, "tcp", NO_PORT),
        ("the port is too large", PORT, "65536", NO_PORT),
    ];
    let unknown = row("the host has no address")
        .env(HOST, "no-such-host.invalid")
        .gives(Offline("GET /version: the host name does not resolve"));
    let wrong = wrong.map(|(name, variable, value, reason)| {
        row(name).env(variable, value).gives(Cluster(reason))
    });
    wrong.into_iter().chain([unknown]).collect()
}

fn connections() -> Vec<Row> {
    vec![
        row("nobody listens")
            .api_port(closed_port())
            .gives(Offline("GET /version: Connection refused")),
        row("packets to it are dropped")
            .short()
            .api_port(HOLE.port)
            .gives(Offline("GET /version: no answer within 6s")),
        row("it stalls within TLS").short().api_tcp(|_| stall()).gives(Offline(TIMED_OUT)),
        row("it speaks no TLS")
            .api_tcp(|c| c.write(answer(200, "{}").as_bytes()))
            .gives(Cluster("does not speak TLS")),
        row("it speaks TLS 1.2 only").api_tls(Authority::tls12_server).gives(Sent),
        row("its certificate is for another name")
            .api_tls(foreign)
            .gives(Cluster("for another name")),
        row("its certificate has expired").api_tls(expired).gives(Cluster("has expired")),
        row("its certificate is signed with an algorithm that ring does not know")
            .file("sa/ca.crt", P521_CA)
            .api_tls(|_| Authority::p521_server())
            .gives(without_p521(Offline)),
    ]
}

/// Returns the outcome with a certificate that only AWS-LC can verify.
pub fn without_p521(unverified: fn(&'static str) -> Outcome) -> Outcome {
    if cfg!(feature = "fips") {
        return Sent;
    }
    unverified("the certificate is signed with an algorithm that this build does not know")
}

/// A server may close a connection that it kept alive: before the next request, which then gets a
/// connection of its own, or when that request is on its way. The program repeats the GET once per
/// run.
fn closed_connections() -> Vec<Row> {
    const PATHS: [&str; 4] = [VERSION, NAMESPACE, NODES, "/rke2-canal"];
    let before = |path| {
        closes(row(format!("it closes its connection after {path}")), path, |_| Ok(())).gives(Sent)
    };
    let at_next = |path| {
        let row = row(format!("it closes its connection at the request after {path}"));
        closes(row, path, next_request).gives(Sent)
    };
    let first = closes(row("it closes its connection twice"), VERSION, next_request);
    let twice =
        closes(first, NAMESPACE, next_request).gives(Offline("closed early | Connection reset"));
    let rows = PATHS.map(before).into_iter().chain(PATHS.map(at_next));
    rows.chain([twice]).collect()
}

/// Answers as usual, and closes the connection after `wait`.
fn closes(draft: Draft, path: &'static str, wait: fn(&mut Connection) -> io::Result<()>) -> Draft {
    draft.api_answers(path, move |request, connection| {
        let (status, body) = api::respond(&cluster(CLUSTER), request);
        connection.reply(status, &body)?;
        wait(connection).map(|()| Handled::Closed)
    })
}

/// Waits for the next request, and leaves it unread, so that closing the connection resets it.
fn next_request(connection: &mut Connection) -> io::Result<()> {
    connection.raw().peek(&mut [0]).map(drop)
}

pub fn refusals() -> Vec<Row> {
    let mut rows = some_refusals();
    for path in [VERSION, NAMESPACE, NODES, DAEMONSETS] {
        rows.extend(broken_answers(path));
        rows.extend(bodies(path));
        rows.extend(statuses(path));
    }
    rows
}

/// Returns the outcome without an answer to these requests: a report without the CNI, or no report.
fn without(path: &str, reason: &'static str, no_report: fn(&'static str) -> Outcome) -> Outcome {
    match path {
        DAEMONSETS => SentWithoutCni(reason),
        _ => no_report(reason),
    }
}

fn statuses(path: &'static str) -> Vec<Row> {
    const STATUSES: [u16; 17] =
        [201, 204, 301, 302, 307, 400, 401, 403, 404, 406, 408, 410, 429, 500, 502, 503, 504];
    let row = |status| {
        let reason = &*format!("status {status}").leak();
        let outcome = match status {
            // The nodes of this cluster show flannel, as those of Canal do.
            404 if path == DAEMONSETS => SentAs("flannel"),
            408 | 429 | 500.. => without(path, reason, Offline),
            _ => without(path, reason, Cluster),
        };
        row(format!("{path} with {status}")).api_refuses(path, status).gives(outcome)
    };
    STATUSES.map(row).into()
}

fn bodies(path: &'static str) -> Vec<Row> {
    const UNEXPECTED: &str = "not an answer from Kubernetes: unexpected JSON";
    const ENDS: &str = "not an answer from Kubernetes: JSON that ends";
    let too_large = match path {
        NODES => "a value of more than 2 MiB",
        _ => "larger than 2097152 bytes",
    };
    let other = r#"{"kind":"acme-canary","items":[]}"#;
    let nested = "{\"a\":".to_owned() + &"[".repeat(100_000);
    let bodies = [
        ("HTML", "<html>acme-canary</html>", "not JSON"),
        ("nothing", "", ENDS),
        ("null", "null", UNEXPECTED),
        ("an empty object", "{}", UNEXPECTED),
        ("a list", "[\"v1.2.3\"]", UNEXPECTED),
        ("half an object", "{\"kind\":\"Acm", ENDS),
        ("another kind", other, UNEXPECTED),
        ("deep nesting", &nested, ENDS),
    ];
    let floods = [("string", "{\"a\":\""), ("key", "{\"")];
    let bodies = bodies.map(|(what, body, reason)| {
        row(format!("{path} with {what}"))
            .api_replies(path, body)
            .gives(without(path, reason, Cluster))
    });
    let floods = floods.map(|(what, begin)| {
        row(format!("{path} with a {what} of 100 MB"))
            .api_floods(path, begin, "acme-canary", 100 * MB)
            .gives(without(path, too_large, Cluster))
    });
    floods.into_iter().chain(bodies).collect()
}

fn broken_answers(path: &'static str) -> Vec<Row> {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"a\":";
    const PAUSE: Duration = Duration::from_millis(200);
    let row = |what| row(format!("{path} {what}"));
    vec![
        row("without an answer")
            .short()
            .api_answers(path, |_, _| stall().map(|()| Handled::Closed))
            .gives(without(path, TIMED_OUT, Offline)),
        row("byte by byte")
            .short()
            .api_answers(path, |_, c| {
                let answer = answer(200, "{\"a\":1}");
                c.drip(answer.as_bytes(), PAUSE).map(|()| Handled::Closed)
            })
            .gives(without(path, TIMED_OUT, Offline)),
        row("with a hang-up").api_writes(path, "").gives(without(path, "closed early", Offline)),
        row("with half an answer").api_writes(path, HALF).gives(without(
            path,
            "closed early",
            Offline,
        )),
        row("with garbage for HTTP").api_writes(path, "acme-canary\r\n\r\n").gives(without(
            path,
            "not HTTP/1.1",
            Cluster,
        )),
    ]
}

/// Older RBAC refuses DaemonSets that are new in the table of CNIs. This matters only if no later
/// DaemonSet is found.
fn some_refusals() -> Vec<Row> {
    const FORBIDDEN: &str = "status 403, this credential may not read it";
    let before = [
        ("rke2-canal", 403),
        ("aws-node", 403),
        ("azure-cns", 403),
        ("calico-node", 403),
        ("cilium", 200),
    ];
    vec![
        row("DaemonSets before the CNI's own are refused")
            .daemonsets(before)
            .gives(SentAs("cilium")),
        row("a DaemonSet after the CNI's own is refused")
            .daemonsets([("rke2-canal", 200), ("cilium", 403)])
            .gives(Sent),
        row("a DaemonSet is refused and no other is there")
            .daemonsets([("weave-net", 403)])
            .gives(SentWithoutCni(FORBIDDEN)),
        row("a DaemonSet of multus is refused")
            .daemonsets([("rke2-canal", 200), ("rke2-multus", 403)])
            .gives(SentWithoutCni(FORBIDDEN)),
        row("a DaemonSet of multus is refused and another is there")
            .daemonsets([("rke2-canal", 200), ("rke2-multus", 403), ("multus", 200)])
            .gives(SentAs("multus,canal")),
    ]
}
