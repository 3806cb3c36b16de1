//! Lists faults of the proxy between the pod and the endpoint.

use std::io::Read;
use std::time::Duration;

use crate::row::Outcome::{NotSent, Sent, Usage};
use crate::row::{Outcome, Row, row};
use crate::support::pki::Authority;
use crate::support::server::{Server, answer, closed_port, stall};

pub fn rows() -> Vec<Row> {
    let tables = [connections(), answers(), tunnels(), settings(), exceptions()];
    tables.into_iter().flatten().collect()
}

/// Expects that no report was sent, and that the log names the proxy before the reason, so that
/// nobody blames the endpoint.
fn through(reason: &str) -> Outcome {
    let begin = "through=HTTPS_PROXY reason=\"POST https://receiver.invalid/v1: ";
    NotSent(format!("{begin}{reason}").leak())
}

/// Returns the URL of a proxy on which nobody listens.
fn dead() -> String {
    format!("http://127.0.0.1:{}", closed_port())
}

fn connections() -> Vec<Row> {
    vec![
        row("nobody listens").proxy_url(dead()).gives(through("Connection refused")),
        row("its name has no address")
            .proxy_url("http://no-such-host.invalid:3128")
            .gives(through("the host name does not resolve")),
        row("it resets")
            .proxy(|c| c.raw().read_exact(&mut [0; 10]))
            .gives(through("Connection reset")),
        row("it hangs up")
            .proxy_answers(|_| Ok(()))
            .gives(through("no tunnel: proxy server did not respond")),
        row("it speaks TLS that is not trusted")
            .proxy_tls(|_| Authority::new().server())
            .gives(through("the certificate is signed by an unknown authority")),
    ]
}

fn answers() -> Vec<Row> {
    const SLOWLY: Duration = Duration::from_millis(700);
    const HEADERS: &[u8] = b"HTTP/1.1 200 OK\r\nX: acme-canary-acme-canary\r\n\r\n";
    vec![
        row("it wants credentials")
            .proxy_replies("HTTP/1.1 407 acme-canary\r\nContent-Length: 0\r\n\r\n")
            .gives(through("no tunnel: proxy server responded 407")),
        row("it refuses")
            .proxy_replies(answer(403, "acme-canary"))
            .gives(through("no tunnel: proxy server responded 403\"")),
        row("it never answers")
            .short()
            .proxy_answers(|_| stall())
            .gives(through("no answer within 6s")),
        row("it answers byte by byte")
            .short()
            .proxy_answers(|c| c.drip(b"HTTP/1.1 200 Established", SLOWLY))
            .gives(through("no answer within 6s")),
        row("it answers header by header, slowly")
            .short()
            .proxy_answers(|c| c.drip(HEADERS, SLOWLY))
            .gives(through("no answer within 6s")),
        row("it does not speak HTTP")
            .proxy_replies("acme-canary acme-canary\r\n\r\n")
            .gives(through("not HTTP/1.1")),
    ]
}

fn tunnels() -> Vec<Row> {
    const OPEN: &str = "HTTP/1.1 200 OK\r\n\r\n";
    vec![
        row("its tunnel is garbage")
            .proxy_replies([OPEN, "acme-canary acme-canary"].concat())
            .gives(through("the peer does not speak TLS")),
        row("its tunnel leads nowhere")
            .short()
            .proxy_answers(|c| {
                c.write(OPEN.as_bytes())?;
                stall()
            })
            .gives(through("no answer within 6s")),
        row("its tunnel is reset")
            .proxy_answers(|c| {
                c.write(OPEN.as_bytes())?;
                c.raw().read_exact(&mut [0; 50])
            })
            .gives(through("Connection reset")),
        row("it opens TLS with its own authority")
            .proxy_answers(|c| {
                let impostor = Server::accepting(Some(Authority::new().server()));
                c.write(OPEN.as_bytes())?;
                c.tunnel(impostor.port)
            })
            .gives(through("the certificate is signed by an unknown authority")),
    ]
}

fn settings() -> Vec<Row> {
    vec![
        row("it is a SOCKS proxy")
            .env("HTTPS_PROXY", "socks5://acme-canary:1080")
            .gives(Usage("HTTPS_PROXY: only http and https")),
        row("it is no URL")
            .env("HTTPS_PROXY", "acme-canary:acme canary")
            .gives(Usage("HTTPS_PROXY: not a proxy")),
        row("only ALL_PROXY is set")
            .env("ALL_PROXY", "socks4://acme-canary")
            .gives(Usage("ALL_PROXY: only http and https")),
        row("only https_proxy is set")
            .proxy_url("")
            .env("https_proxy", dead())
            .gives(NotSent("through=https_proxy reason=\"POST ")),
        row("an endpoint on loopback is reached directly").env("HTTPS_PROXY", dead()).gives(Sent),
    ]
}

fn exceptions() -> Vec<Row> {
    let direct = [
        ("a domain", "NO_PROXY", "10.0.0.0/8, receiver.invalid"),
        ("a suffix", "no_proxy", ".invalid"),
        ("a star", "NO_PROXY", "*"),
        ("a matching port", "NO_PROXY", "receiver.invalid:443"),
    ];
    let proxied = [
        ("another port", "receiver.invalid:1"),
        ("another suffix", ".acme-canary.example,10.0.0.0/8"),
    ];
    let direct = direct.map(|(what, variable, list)| {
        row(format!("{what} in NO_PROXY bypasses it")).proxy_url(dead()).env(variable, list).gives(
            NotSent("again\" reason=\"POST https://receiver.invalid/v1: the host name does not"),
        )
    });
    let proxied = proxied.map(|(what, list)| {
        row(format!("{what} in NO_PROXY does not bypass it"))
            .proxy_url(dead())
            .env("NO_PROXY", list)
            .gives(through("Connection refused"))
    });
    direct.into_iter().chain(proxied).collect()
}
