//! Lists faults of the endpoint, or of a server that poses as the endpoint.

use std::io::Read;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::ServerConfig;

use crate::api::without_p521;
use crate::row::Outcome::{NotSent, Sent, Unclear};
use crate::row::{Row, TIMED_OUT, UNKNOWN_AUTHORITY, row};
use crate::support::pki::{Authority, Leaf, P521_CA};
use crate::support::server::{ACCEPTED, BlackHole, answer, closed_port, stall};

const HUNG_UP: &str = "Connection reset | closed early | Broken pipe";

pub fn rows() -> Vec<Row> {
    let tables = [
        connections(),
        tls(),
        certificates(),
        slow_answers(),
        http(),
        headers(),
        sizes(),
        replies(),
        accepted_replies(),
        statuses(),
        redirects(),
    ];
    tables.into_iter().flatten().collect()
}

fn connections() -> Vec<Row> {
    vec![
        row("its name has no address")
            .endpoint_url("https://no-such-host.invalid/")
            .gives(NotSent("does not resolve")),
        row("nobody listens")
            .endpoint_url(format!("https://127.0.0.1:{}/", closed_port()))
            .gives(NotSent("Connection refused")),
        row("packets to it are dropped")
            .short()
            .endpoint_url(format!("https://127.0.0.1:{}/", HOLE.port))
            .gives(NotSent(TIMED_OUT)),
        row("it resets before TLS").endpoint_tcp(|_| Ok(())).gives(NotSent(HUNG_UP)),
        row("it hangs up within TLS")
            .endpoint_tcp(|c| c.raw().read_exact(&mut [0; 50]))
            .gives(NotSent(HUNG_UP)),
        row("it stalls within TLS").short().endpoint_tcp(|_| stall()).gives(NotSent(TIMED_OUT)),
        row("TLS comes byte by byte")
            .short()
            .endpoint_tcp(|c| c.drip(&[22, 3, 3, 0, 90, 2, 0, 0, 86], ms(2000)))
            .gives(NotSent(TIMED_OUT)),
        row("it hangs up within the request").endpoint(|c| c.skip(20)).gives(Unclear(HUNG_UP)),
        row("it hangs up after the request")
            .endpoint_answers(|_| Ok(()))
            .gives(Unclear("closed early")),
    ]
}

fn tls() -> Vec<Row> {
    vec![
        row("it speaks no TLS")
            .endpoint_tcp(|c| c.write(answer(200, ACCEPTED).as_bytes()))
            .gives(NotSent("does not speak TLS")),
        row("it speaks TLS 1.1 only")
            .endpoint_tcp(|c| {
                c.raw().read_exact(&mut [0; 100])?;
                c.write(&TLS_1_1)
            })
            .gives(NotSent("no TLS version or cipher in common")),
        row("it speaks TLS 1.2 only").endpoint_tls(Authority::tls12_server).gives(Sent),
        row("it ends TLS with an alert")
            .endpoint_tcp(|c| c.write(&[21, 3, 3, 0, 2, 2, 70]))
            .gives(NotSent("the peer ended TLS: ProtocolVersion")),
        row("it wants a client certificate").endpoint_tls(Authority::mutual_server).gives(NotSent(
            "the peer ended TLS: CertificateRequired | Connection reset | Broken pipe",
        )),
    ]
}

fn certificates() -> Vec<Row> {
    vec![
        row("the certificate has expired").endpoint_tls(expired).gives(NotSent("has expired")),
        row("the certificate is not valid yet").endpoint_tls(early).gives(NotSent("not valid yet")),
        row("the certificate is for another name")
            .endpoint_tls(foreign)
            .gives(NotSent("for another name")),
        row("the certificate is of an unknown authority")
            .endpoint_tls(|_| Authority::new().server())
            .gives(NotSent(UNKNOWN_AUTHORITY)),
        row("the certificate is signed with an algorithm that ring does not know")
            .file("ca.pem", P521_CA)
            .endpoint_tls(|_| Authority::p521_server())
            .gives(without_p521(NotSent)),
        row("the certificate is its own authority")
            .endpoint_tls(|_| Authority::self_signed())
            .gives(NotSent(UNKNOWN_AUTHORITY)),
    ]
}

fn slow_answers() -> Vec<Row> {
    vec![
        row("it never answers").short().endpoint_answers(|_| stall()).gives(Unclear(TIMED_OUT)),
        row("the headers come byte by byte")
            .short()
            .endpoint_answers(|c| c.drip(answer(200, ACCEPTED).as_bytes(), ms(300)))
            .gives(Unclear(TIMED_OUT)),
        row("the body comes byte by byte")
            .short()
            .endpoint_answers(|c| {
                let whole = answer(200, ACCEPTED);
                let (head, body) = whole.split_at(whole.len() - ACCEPTED.len());
                c.write(head.as_bytes())?;
                c.drip(body.as_bytes(), ms(300))
            })
            .gives(Unclear(TIMED_OUT)),
    ]
}

fn http() -> Vec<Row> {
    let replies = |name, text: &str| row(name).endpoint_replies(text);
    let not_http = [
        replies("the status line is garbage", "acme-canary\r\n\r\n"),
        replies("the status is no number", "HTTP/1.1 acme-canary\r\n\r\n"),
        replies("it speaks HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        row("its lengths contradict each other").endpoint_replies(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nacme-canary",
        ),
        row("its chunks are garbage").endpoint_replies(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nacme-canary\r\n",
        ),
    ];
    let others = [
        row("it answers 100 forever")
            .short()
            .endpoint_never_ends("", "HTTP/1.1 100 Continue\r\n\r\n")
            .gives(Unclear("the headers are too large")),
        row("it answers 102 and then accepts")
            .endpoint_replies("HTTP/1.1 102 Processing\r\n\r\n".to_owned() + &answer(200, ACCEPTED))
            .gives(Sent),
    ];
    let not_http = not_http.map(|row| row.gives(Unclear("not HTTP/1.1")));
    not_http.into_iter().chain(others).collect()
}

fn headers() -> Vec<Row> {
    vec![
        row("the headers never end")
            .endpoint_never_ends(OK, "X-Acme-Canary: acme-canary\r\n")
            .gives(Unclear("not HTTP/1.1")),
        row("a header is 1 MB long")
            .endpoint_replies(format!("{OK}X: {}", "x".repeat(1 << 20)))
            .gives(Unclear("the headers are too large")),
        row("there are 1,000 headers")
            .endpoint_replies(format!("{OK}{}\r\n", "A: b\r\n".repeat(1000)))
            .gives(Unclear("not HTTP/1.1")),
    ]
}

fn sizes() -> Vec<Row> {
    const TOO_LARGE: &str = "larger than 1048576 bytes";
    vec![
        row("the body never ends")
            .endpoint_never_ends("HTTP/1.1 200 OK\r\n\r\n", "{\"versions\":[]}          ")
            .gives(Unclear(NOT_THE_REPLY)),
        row("the body is a list that never ends")
            .endpoint_never_ends("HTTP/1.1 200 OK\r\n\r\n{\"versions\":[{}", ",{}")
            .gives(Unclear(TOO_LARGE)),
        row("the body has a Content-Length of 300 MB")
            .endpoint_never_ends(
                "HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n{\"versions\":[1",
                ",1",
            )
            .gives(Unclear(TOO_LARGE)),
        row("the body is larger than 1 MiB")
            .endpoint_replies(answer(200, &reply_of(MAX_REPLY + 1)))
            .gives(Unclear(TOO_LARGE)),
        row("the body is shorter than its Content-Length")
            .endpoint_replies("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"versions\":[]}")
            .gives(Unclear("closed early")),
    ]
}

fn replies() -> Vec<Row> {
    let nested = r#"{"versions":"#.to_owned() + &"[".repeat(50_000);
    let bodies = [
        ("200 without a body", ""),
        ("200 with HTML", "<html>acme-canary</html>"),
        ("200 with a list", "[[]]"),
        ("200 with another object", r#"{"acme-canary":[]}"#),
        ("200 with text for versions", r#"{"versions":"acme-canary"}"#),
        ("200 with null for versions", r#"{"versions":null}"#),
        ("200 with versions twice", r#"{"versions":[],"Versions":[]}"#),
        ("200 with more than a reply", r#"{"versions":[]} acme-canary"#),
        ("200 with deep nesting", &nested),
    ];
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n";
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let gzip =
        row("200 with gzip that was not requested").endpoint_replies([&head[..], gzip].concat());
    let bodies = bodies.map(|(name, body)| row(name).endpoint_replies(answer(200, body)));
    let rows = bodies.into_iter().chain([gzip]);
    rows.map(|row| row.gives(Unclear(NOT_THE_REPLY))).collect()
}

fn accepted_replies() -> Vec<Row> {
    let bodies = [
        ("a reply without versions", r#"{"versions":[]}"#.to_owned()),
        ("a reply of an older server", r#"{"Versions":[{"Name":"x"}]}"#.to_owned()),
        ("a reply of 428 versions, 66 kB", reply(428)),
        ("a reply of 5,600 versions, 890 kB", reply(5600)),
        ("a reply of exactly 1 MiB", reply_of(MAX_REPLY)),
    ];
    let length = ACCEPTED.len();
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{ACCEPTED}\r\n0\r\n\r\n");
    let texts = [
        ("a reply in chunks", chunks),
        ("a reply that ends with the connection", format!("\r\n{ACCEPTED}")),
    ];
    let bodies = bodies.map(|(name, body)| row(name).endpoint_replies(answer(200, &body)));
    let texts = texts.map(|(name, text)| row(name).endpoint_replies([OK, &text].concat()));
    bodies.into_iter().chain(texts).map(|row| row.gives(Sent)).collect()
}

/// The size of the largest reply.
const MAX_REPLY: usize = 1 << 20;

/// Makes the reply of an upgrade-responder with so many versions of RKE2.
fn reply(versions: usize) -> String {
    let entry = |n| {
        let (minor, patch) = (n / 20, n % 20);
        let name = format!("v1.{minor}.{patch}+rke2r1");
        let tags = format!(r#"["{name}","v1.{minor}-latest","v1.{minor}"]"#);
        let date = r#""releaseDate":"2026-10-01T00:00:00Z","minUpgradableVersion":"""#;
        format!(r#"{{"name":"{name}",{date},"tags":{tags},"extraInfo":null}}"#)
    };
    let entries: Vec<_> = (0..versions).map(entry).collect();
    let entries = entries.join(",");
    format!(r#"{{"versions":[{entries}],"requestIntervalInMinutes":480}}"#)
}

/// Makes a reply of so many bytes.
fn reply_of(bytes: usize) -> String {
    let reply = reply(5600);
    let blanks = " ".repeat(bytes - reply.len());
    reply.replacen('[', &format!("{blanks}["), 1)
}

fn statuses() -> Vec<Row> {
    const STATUSES: [u16; 17] =
        [201, 202, 204, 206, 400, 401, 403, 404, 405, 407, 413, 418, 429, 500, 502, 503, 504];
    let row = |status| {
        let reason = &*format!("status {status}").leak();
        let headers = "Retry-After: 1\r\nContent-Length: 0";
        row(reason)
            .endpoint_replies(format!("HTTP/1.1 {status} acme-canary\r\n{headers}\r\n\r\n"))
            .gives(Unclear(reason))
    };
    STATUSES.map(row).into()
}

fn redirects() -> Vec<Row> {
    const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
    const LOCATIONS: [&str; 4] = [
        "http://127.0.0.1:PORT/v1/checkupgrade",
        "http://localhost:PORT/acme-canary",
        "/v1/checkupgrade",
        "::acme-canary::",
    ];
    let rows = |status| {
        let reason = &*format!("status {status}, and redirects are not followed").leak();
        LOCATIONS.map(|location| {
            row(format!("status {status} to {location}"))
                .endpoint_redirects(status, location)
                .gives(Unclear(reason))
        })
    };
    STATUSES.into_iter().flat_map(rows).collect()
}

const NOT_THE_REPLY: &str = "not the reply of an upgrade-responder";

/// The beginning of an answer, to be continued with headers.
const OK: &str = "HTTP/1.1 200 OK\r\n";

pub fn expired(authority: &Authority) -> Arc<ServerConfig> {
    authority.server_with(Leaf { until: (2021, 1, 1), ..Leaf::default() })
}

pub fn early(authority: &Authority) -> Arc<ServerConfig> {
    authority.server_with(Leaf { from: (2099, 1, 1), ..Leaf::default() })
}

pub fn foreign(authority: &Authority) -> Arc<ServerConfig> {
    authority.server_with(Leaf { names: vec!["acme-canary.example".into()], ..Leaf::default() })
}

/// A port that drops every packet.
pub static HOLE: LazyLock<BlackHole> = LazyLock::new(BlackHole::new);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A `ServerHello` of TLS 1.1, with a cipher of that version.
const TLS_1_1: [u8; 47] = {
    let mut hello = [0; 47];
    (hello[0], hello[1], hello[2], hello[4]) = (22, 3, 2, 42);
    (hello[5], hello[8], hello[9], hello[10]) = (2, 38, 3, 2);
    (hello[44], hello[45]) = (0xc0, 0x13);
    hello
};
