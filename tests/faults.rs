//! Every fault and hostile peer that has a name, as a table: what is wrong, and what comes of it.
//!
//! Each row runs the built program. Whatever the row, neither a canary nor the token may appear in what it
//! says or sends, it ends within its budget, and the endpoint gets the payload once or nothing at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests, and a row a line"
)]

mod support;

use std::fs;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use support::api::{self, Handled, TOKEN};
use support::pki::{Authority, Leaf};
use support::run::Pod;
use support::server::{ACCEPTED, BlackHole, Connection, Server, answer, closed_port, stall};
use support::{Folder, cluster, expected};

const CLUSTER: &str = "rke2-canal-ha";

/// For rows that wait for their budget; the others get the pod's usual one.
const SHORT: &str = "2s";

/// What becomes of a run. Each has one line in the log, at level info, with a reason.
enum Outcome {
    /// Status 0; the payload is printed and arrives once.
    Sent,
    /// The same without its `cni-plugin`, or with another one.
    SentWith(Option<&'static str>),
    /// Status 0; the payload is printed and does not arrive.
    NotSent(&'static str),
    /// Status 0; the payload is printed and may have arrived: it is the reply that is wrong.
    Unclear(&'static str),
    /// Status 0; the cluster gave no answer, and nothing is printed or sent.
    Offline(&'static str),
    /// Status 1; nothing is printed or sent.
    Cluster(&'static str),
    /// Status 2; nothing is printed or sent.
    Usage(&'static str),
    /// Status 2, and an answer to the person who typed instead of a line in the log.
    Typed(&'static str),
}
use Outcome::{Cluster, NotSent, Offline, Sent, SentWith, Typed, Unclear, Usage};

/// A pod in a recorded cluster whose API server and endpoint are as they should be, until a row says
/// otherwise.
struct Scene {
    pod: Pod,
    endpoint: Server,
}

impl Scene {
    fn new() -> Self {
        let pod = Pod::new();
        let endpoint = Server::accepting(Some(pod.authority.server()));
        let api = api::serve(pod.authority.server(), &cluster(CLUSTER));
        let pod = pod.api(api.port).endpoint(&endpoint.https());
        Self { pod, endpoint }
    }

    fn with(self, change: impl FnOnce(Pod) -> Pod) -> Self {
        Self {
            pod: change(self.pod),
            ..self
        }
    }

    fn env(self, name: &str, value: &str) -> Self {
        self.with(|pod| pod.env(name, value))
    }

    fn short(self) -> Self {
        self.with(|pod| pod.timeout(SHORT))
    }

    fn tls(&self) -> Arc<ServerConfig> {
        self.pod.authority.server()
    }

    /// Another endpoint over TLS.
    fn endpoint(
        self,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let tls = self.tls();
        self.endpoint_with(Some(tls), serve)
    }

    fn endpoint_with(
        self,
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let endpoint = Server::start(tls, serve);
        let scene = self.env("METRICS_RESPONDER_ENDPOINT", &endpoint.https());
        Self { endpoint, ..scene }
    }

    fn proxy(
        self,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let proxy = Server::start(None, serve);
        self.behind(&format!(
            "http://acme-canary:{TOKEN}@127.0.0.1:{}",
            proxy.port
        ))
    }

    /// Behind this proxy, with an endpoint that is not on this machine: one that is would be reached directly.
    fn behind(self, proxy: &str) -> Self {
        self.env("HTTPS_PROXY", proxy)
            .env("METRICS_RESPONDER_ENDPOINT", "https://receiver.invalid/v1")
    }

    /// An API server that answers requests for this path in its own way.
    fn api(
        self,
        path: &'static str,
        fault: impl Fn(&mut Connection) -> io::Result<Handled> + Send + Sync + 'static,
    ) -> Self {
        let api = api::serve_with(self.tls(), &cluster(CLUSTER), move |request, connection| {
            if request.target.split('?').next().unwrap().contains(path) {
                fault(connection)
            } else {
                Ok(Handled::No)
            }
        });
        self.with(|pod| pod.api(api.port))
    }

    /// An API server that answers requests for this path with this.
    fn api_answer(self, path: &'static str, status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        self.api(path, move |connection| {
            connection.reply(status, &body)?;
            Ok(Handled::Yes)
        })
    }
}

/// One row: the name says what is wrong.
struct Row {
    name: String,
    scene: Box<dyn Fn(Scene) -> Scene + Send + Sync>,
    outcome: Outcome,
}

fn row(
    name: impl Into<String>,
    scene: impl Fn(Scene) -> Scene + Send + Sync + 'static,
    outcome: Outcome,
) -> Row {
    Row {
        name: name.into(),
        scene: Box::new(scene),
        outcome,
    }
}

/// Runs rows side by side, and tells all that do not hold.
fn hold(rows: &[Row]) {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = check(row) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("{}: {fault}", row.name);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner(), 0, "of {} rows", rows.len());
}

fn check(row: &Row) -> Result<(), String> {
    let scene = (row.scene)(Scene::new());
    let run = scene.pod.run();
    let seen = scene.endpoint.seen();
    let posted: Vec<_> = seen.iter().map(support::server::Request::text).collect();
    let payload = expected(&cluster(CLUSTER));
    let cni = r#""cni-plugin":"canal","#;
    let report = match row.outcome {
        Sent | NotSent(_) | Unclear(_) => Some(payload),
        SentWith(None) => Some(payload.replace(cni, "")),
        SentWith(Some(other)) => Some(payload.replace(cni, &cni.replace("canal", other))),
        Offline(_) | Cluster(_) | Usage(_) | Typed(_) => None,
    };
    let (code, reason, arrives) = match row.outcome {
        Sent | SentWith(_) => (0, "accepted", 1..=1),
        NotSent(reason) | Offline(reason) => (0, reason, 0..=0),
        Unclear(reason) => (0, reason, 0..=1),
        Cluster(reason) => (1, reason, 0..=0),
        Usage(reason) | Typed(reason) => (2, reason, 0..=0),
    };
    let printed = report
        .as_ref()
        .map_or(String::new(), |report| format!("{report}\n"));
    let begins = match row.outcome {
        Typed(_) => "metrics-responder: ",
        _ => "level=info ",
    };
    let holds = [
        ("status", run.code == Some(code)),
        ("number of lines", run.lines().len() == 1),
        ("beginning of the line", run.stderr.starts_with(begins)),
        ("reason", run.stderr.contains(reason)),
        // The report is in the log before anything of it can leave.
        ("standard output", run.stdout == printed),
        ("how often it was posted", arrives.contains(&posted.len())),
        (
            "what was posted",
            posted.iter().all(|text| Some(text) == report.as_ref()),
        ),
        (
            "canary",
            !format!("{}{posted:?}", run.text()).contains("acme-canary"),
        ),
        // Reading and sending have a budget each, and a busy machine has its own ideas.
        ("budget", run.took < Duration::from_secs(30)),
    ];
    match holds.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((what, _)) => Err(format!("{what}: {run:?} posted {posted:?}")),
    }
}

#[test]
#[rustfmt::skip]
fn the_endpoint_fails() {
    let hole = Arc::new(BlackHole::new());
    let url = |url: String| move |scene: Scene| scene.env("METRICS_RESPONDER_ENDPOINT", &url);
    let mut rows = vec![
        row("its name has no address", url("https://no-such-host.invalid/".into()), NotSent("does not resolve")),
        row("nobody listens", url(format!("https://127.0.0.1:{}/", closed_port())), NotSent("Connection refused")),
        row(
            "packets to it are dropped",
            {
                let hole = Arc::clone(&hole);
                move |s: Scene| s.short().env("METRICS_RESPONDER_ENDPOINT", &format!("https://127.0.0.1:{}/", hole.port))
            },
            NotSent("no answer within 2s"),
        ),
        row("it resets before TLS", |s| s.endpoint_with(None, |_| Ok(())), NotSent("")),
        row("it hangs up within TLS", |s| s.endpoint_with(None, |c| c.raw().read_exact(&mut [0; 50])), NotSent("")),
        row("it stalls within TLS", |s| s.short().endpoint_with(None, |_| stall()), NotSent("no answer within 2s")),
        row("TLS comes byte by byte", |s| s.short().endpoint_with(None, |c| c.drip(&[22, 3, 3, 0, 90, 2, 0, 0, 86], Duration::from_millis(700))), NotSent("no answer within 2s")),
        row("it speaks no TLS", |s| s.endpoint_with(None, |c| c.write(answer(200, ACCEPTED).as_bytes())), NotSent("does not speak TLS")),
        row(
            "it speaks TLS 1.1 only",
            |s| {
                s.endpoint_with(None, |c| {
                    c.raw().read_exact(&mut [0; 100])?;
                    c.write(&TLS_1_1)
                })
            },
            NotSent(""),
        ),
        row("it ends TLS with an alert", |s| s.endpoint_with(None, |c| c.write(&[21, 3, 3, 0, 2, 2, 70])), NotSent("the peer ended TLS: ProtocolVersion")),
        row(
            "it hangs up within the request",
            |s| {
                s.endpoint(|c| {
                    c.raw().set_read_timeout(None)?;
                    Ok(())
                })
            },
            Unclear(""),
        ),
        row("it hangs up after the request", |s| s.endpoint(|c| c.request().map(drop)), Unclear("closed early")),
        row(
            "it never answers",
            |s| {
                s.short().endpoint(|c| {
                    c.request()?;
                    stall()
                })
            },
            Unclear("no answer within 2s"),
        ),
        row(
            "the headers come byte by byte",
            |s| {
                s.short().endpoint(|c| {
                    c.request()?;
                    c.drip(answer(200, ACCEPTED).as_bytes(), Duration::from_millis(300))
                })
            },
            Unclear("no answer within 2s"),
        ),
        row(
            "the body comes byte by byte",
            |s| {
                s.short().endpoint(|c| {
                    c.request()?;
                    c.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ACCEPTED.len()).as_bytes())?;
                    c.drip(ACCEPTED.as_bytes(), Duration::from_millis(300))
                })
            },
            Unclear("no answer within 2s"),
        ),
        row("the body never ends", |s| s.endpoint(|c| endless(c, b"HTTP/1.1 200 OK\r\n\r\n", b"{\"versions\":[]}          ")), Unclear("not the reply")),
        row("the body is a list that never ends", |s| s.endpoint(|c| endless(c, b"HTTP/1.1 200 OK\r\n\r\n{\"versions\":[{}", b",{}")), Unclear("larger than 1048576 bytes")),
        row(
            "the body is said to have 300 MB",
            |s| s.endpoint(|c| endless(c, b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n{\"versions\":[1", b",1")),
            Unclear("larger than 1048576 bytes"),
        ),
        row("the body is shorter than said", |s| s.endpoint(|c| reply(c, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"versions\":[]}")), Unclear("closed early")),
        row("the headers never end", |s| s.endpoint(|c| endless(c, b"HTTP/1.1 200 OK\r\n", b"X-Acme-Canary: acme-canary\r\n")), Unclear("")),
        row(
            "a header is 1 MB long",
            |s| {
                s.endpoint(|c| {
                    c.request()?;
                    c.write(&[&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 1 << 20]].concat())
                })
            },
            Unclear("headers are too large"),
        ),
        row("there are 1,000 headers", |s| s.endpoint(|c| reply(c, &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000)))), Unclear("")),
        row("the status line is garbage", |s| s.endpoint(|c| reply(c, "acme-canary\r\n\r\n")), Unclear("not HTTP/1.1")),
        row("the status is no number", |s| s.endpoint(|c| reply(c, "HTTP/1.1 acme-canary\r\n\r\n")), Unclear("not HTTP/1.1")),
        row(
            "it speaks HTTP/2",
            |s| {
                s.endpoint(|c| {
                    c.request()?;
                    c.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                })
            },
            Unclear(""),
        ),
        row("its lengths contradict", |s| s.endpoint(|c| reply(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nacme-canary")), Unclear("")),
        row("its chunks are garbage", |s| s.endpoint(|c| reply(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nacme-canary\r\n")), Unclear("")),
        row("it says 100 without end", |s| s.short().endpoint(|c| endless(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n")), Unclear("")),
        row("it says 102 and then accepts", |s| s.endpoint(|c| reply(c, &format!("HTTP/1.1 102 Processing\r\n\r\n{}", answer(200, ACCEPTED)))), Sent),
        row("200 without a body", |s| s.endpoint(|c| reply(c, &answer(200, ""))), Unclear("not the reply")),
        row("200 with HTML", |s| s.endpoint(|c| reply(c, &answer(200, "<html>acme-canary</html>"))), Unclear("not the reply")),
        row("200 with JSON of another kind", |s| s.endpoint(|c| reply(c, &answer(200, r#"{"acme-canary":[]}"#))), Unclear("not the reply")),
        row("200 with versions that are no list", |s| s.endpoint(|c| reply(c, &answer(200, r#"{"versions":"acme-canary"}"#))), Unclear("not the reply")),
        row("200 with a list", |s| s.endpoint(|c| reply(c, &answer(200, "[[]]"))), Unclear("not the reply")),
        row("200 with deep nesting", |s| s.endpoint(|c| reply(c, &answer(200, &format!(r#"{{"versions":{}"#, "[".repeat(50_000))))), Unclear("not the reply")),
        row(
            "200 with gzip that nobody asked for",
            |s| {
                s.endpoint(|c| {
                    c.request()?;
                    c.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03")
                })
            },
            Unclear("not the reply"),
        ),
        row("the certificate has expired", |s| certified(s, |a| a.server_with(Leaf { until: (2021, 1, 1), ..Leaf::default() })), NotSent("has expired")),
        row("the certificate is not valid yet", |s| certified(s, |a| a.server_with(Leaf { from: (2099, 1, 1), ..Leaf::default() })), NotSent("not valid yet")),
        row("the certificate is for another name", |s| certified(s, |a| a.server_with(Leaf { names: vec!["acme-canary.example".into()], ..Leaf::default() })), NotSent("for another name")),
        row("the certificate is of an unknown authority", |s| certified(s, |_| Authority::new().server()), NotSent("unknown authority")),
        row("the certificate is its own authority", |s| certified(s, |_| Authority::self_signed()), NotSent("unknown authority")),
        row("it wants a client certificate", |s| certified(s, Authority::mutual_server), NotSent("")),
    ];
    for status in [201, 202, 204, 206, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 407, 413, 418, 429, 500, 502, 503, 504] {
        let reason: &'static str = format!("status {status}").leak();
        let head = format!("HTTP/1.1 {status} acme-canary\r\nRetry-After: 1\r\nContent-Length: 0\r\n");
        if !(300..400).contains(&status) {
            let text = head.clone() + "\r\n";
            rows.push(row(
                reason,
                move |s: Scene| {
                    let text = text.clone();
                    s.endpoint(move |c| reply(c, &text))
                },
                Unclear(reason),
            ));
            continue;
        }
        let trap = Server::accepting(None);
        for location in [trap.http(), format!("http://localhost:{}/acme-canary", trap.port), "/v1/checkupgrade".into(), "::acme-canary::".into()] {
            let text = format!("{head}Location: {location}\r\n\r\n");
            let trap = trap.clone();
            let scene = move |s: Scene| {
                let (text, trap) = (text.clone(), trap.clone());
                s.endpoint(move |c| {
                    assert_eq!(trap.connections(), 0);
                    reply(c, &text)
                })
            };
            rows.push(row(format!("status {status} to {location}"), scene, Unclear(reason)));
        }
    }
    assert!(rows.len() > 70);
    hold(&rows);
}

#[test]
#[rustfmt::skip]
fn the_proxy_fails() {
    hold(&[
        row("nobody listens", dead, NotSent("the proxy: Connection refused")),
        row("its name has no address", |s| s.behind("http://no-such-host.invalid:3128"), NotSent("the proxy: the host name does not resolve")),
        row("it wants credentials", |s| s.proxy(|c| reply(c, "HTTP/1.1 407 acme-canary\r\nContent-Length: 0\r\n\r\n")), NotSent("the proxy opens no tunnel: proxy server responded 407")),
        row("it refuses", |s| s.proxy(|c| reply(c, &answer(403, "acme-canary"))), NotSent("the proxy opens no tunnel: proxy server responded 403")),
        row(
            "it never answers",
            |s| {
                s.short().proxy(|c| {
                    c.request()?;
                    stall()
                })
            },
            NotSent("no answer within 2s"),
        ),
        row(
            "it answers byte by byte",
            |s| {
                s.short().proxy(|c| {
                    c.request()?;
                    c.drip(&[b'x'; 100], Duration::from_millis(700))
                })
            },
            NotSent(""),
        ),
        row(
            "it answers header by header, slowly",
            |s| {
                s.short().proxy(|c| {
                    c.request()?;
                    c.drip(b"HTTP/1.1 200 OK\r\nX: acme-canary-acme-canary\r\n\r\n", Duration::from_millis(700))
                })
            },
            NotSent("no answer within 2s"),
        ),
        row("it hangs up", |s| s.proxy(|c| c.request().map(drop)), NotSent("")),
        row("its tunnel is garbage", |s| s.proxy(|c| reply(c, "HTTP/1.1 200 OK\r\n\r\nacme-canary acme-canary")), NotSent("")),
        row(
            "its tunnel leads nowhere",
            |s| {
                s.short().proxy(|c| {
                    reply(c, "HTTP/1.1 200 OK\r\n\r\n")?;
                    stall()
                })
            },
            NotSent("no answer within 2s"),
        ),
        row(
            "it opens TLS with its own authority",
            |s| {
                let foreign = Server::accepting(Some(Authority::new().server()));
                s.proxy(move |c| {
                    reply(c, "HTTP/1.1 200 OK\r\n\r\n")?;
                    c.tunnel(foreign.port)
                })
            },
            NotSent("unknown authority"),
        ),
        row(
            "it speaks TLS that is not trusted",
            |s| {
                let proxy = Server::accepting(Some(Authority::new().server()));
                s.behind(&format!("https://127.0.0.1:{}", proxy.port))
            },
            NotSent("unknown authority"),
        ),
        row("it is a SOCKS proxy", |s| s.env("HTTPS_PROXY", "socks5://acme-canary:1080"), Usage("HTTPS_PROXY: only http and https")),
        row("it is no URL", |s| s.env("HTTPS_PROXY", "acme-canary:acme canary"), Usage("HTTPS_PROXY: not a proxy")),
        row("only ALL_PROXY is set", |s| s.env("ALL_PROXY", "socks4://acme-canary"), Usage("ALL_PROXY: only http and https")),
        row("an endpoint on loopback is reached directly", |s| s.env("HTTPS_PROXY", &format!("http://127.0.0.1:{}", closed_port())), Sent),
        row("a domain of NO_PROXY passes it by", |s| dead(s).env("NO_PROXY", "10.0.0.0/8, receiver.invalid"), NotSent("v1: the host name does not resolve")),
        row("a suffix of NO_PROXY passes it by", |s| dead(s).env("no_proxy", ".invalid"), NotSent("v1: the host name does not resolve")),
        row("a star of NO_PROXY passes it by", |s| dead(s).env("NO_PROXY", "*"), NotSent("v1: the host name does not resolve")),
        row("a port of NO_PROXY does not agree", |s| dead(s).env("NO_PROXY", "receiver.invalid:1"), NotSent("v1: the proxy: Connection refused")),
        row("a suffix of NO_PROXY is another's", |s| dead(s).env("NO_PROXY", ".acme-canary.example,10.0.0.0/8"), NotSent("v1: the proxy: Connection refused")),
    ]);
}

/// Behind a proxy on which nobody listens.
fn dead(scene: Scene) -> Scene {
    scene.behind(&format!("http://127.0.0.1:{}", closed_port()))
}

#[test]
#[rustfmt::skip]
fn the_way_to_the_api_server_fails() {
    let hole = Arc::new(BlackHole::new());
    let file = |name: &'static str, content: &'static str| {
        move |scene: Scene| {
            scene.pod.folder.write(name, content);
            scene
        }
    };
    let removed = |name: &'static str| {
        move |scene: Scene| {
            fs::remove_file(scene.pod.folder.path().join(name)).unwrap();
            scene
        }
    };
    let env = |name: &'static str, value: &'static str| move |scene: Scene| scene.env(name, value);
    hold(&[
        row("there is no token", removed("sa/token"), Cluster("sa/token: No such file")),
        row("the token is empty", file("sa/token", ""), Cluster("sa/token: the token is empty")),
        row("the token is blank", file("sa/token", " \n\n"), Cluster("sa/token: the token is empty")),
        row("the token has two lines", file("sa/token", "acme-canary\nacme-canary\n"), Cluster("sa/token: the token has characters")),
        row("the token has a header in it", file("sa/token", "acme-canary\r\nX: y"), Cluster("sa/token: the token has characters")),
        row("the token has a control character", file("sa/token", "acme-canary\u{7}"), Cluster("sa/token: the token has characters")),
        row("the token is another's", file("sa/token", "nobody"), Cluster("GET /version: status 401")),
        row("there is no CA", removed("sa/ca.crt"), Cluster("sa/ca.crt: No such file")),
        row("the CA is empty", file("sa/ca.crt", ""), Cluster("sa/ca.crt: no certificate")),
        row("the CA is garbage", file("sa/ca.crt", "acme-canary"), Cluster("sa/ca.crt: no certificate")),
        row("the CA is broken", file("sa/ca.crt", "-----BEGIN CERTIFICATE-----\nacme canary!\n-----END CERTIFICATE-----\n"), Cluster("sa/ca.crt: not PEM")),
        row(
            "the CA is another's",
            |s| {
                s.pod.folder.write("sa/ca.crt", Authority::new().pem());
                s
            },
            Cluster("unknown authority"),
        ),
        row("the host is unset", env("KUBERNETES_SERVICE_HOST", ""), Cluster("not in a pod")),
        row("the host is no address", env("KUBERNETES_SERVICE_HOST", "acme canary"), Cluster("KUBERNETES_SERVICE_HOST: not an address")),
        row("the port is no port", env("KUBERNETES_SERVICE_PORT", "tcp"), Cluster("KUBERNETES_SERVICE_PORT: not a port")),
        row("the host has no address", env("KUBERNETES_SERVICE_HOST", "no-such-host.invalid"), Offline("GET /version: the host name does not resolve")),
        row("nobody listens", |s| s.with(|pod| pod.api(closed_port())), Offline("GET /version: Connection refused")),
        row(
            "packets to it are dropped",
            {
                let hole = Arc::clone(&hole);
                move |s: Scene| s.short().with(|pod| pod.api(hole.port))
            },
            Offline("GET /version: no answer within 2s"),
        ),
        row(
            "it stalls within TLS",
            |s| {
                let dumb = Server::start(None, |_| stall());
                s.short().with(|pod| pod.api(dumb.port))
            },
            Offline("no answer within 2s"),
        ),
        row(
            "it speaks no TLS",
            |s| {
                let plain = Server::start(None, |c| c.write(answer(200, "{}").as_bytes()));
                s.with(|pod| pod.api(plain.port))
            },
            Cluster("does not speak TLS"),
        ),
        row("its certificate is for another name", |s| certified_api(s, Leaf { names: vec!["acme-canary.example".into()], ..Leaf::default() }), Cluster("for another name")),
        row("its certificate has expired", |s| certified_api(s, Leaf { until: (2021, 1, 1), ..Leaf::default() }), Cluster("has expired")),
    ]);
}

const VERSION: &str = "/version";
const NAMESPACE: &str = "/api/v1/namespaces/kube-system";
const NODES: &str = "/api/v1/nodes";
const DAEMONSETS: &str = "/daemonsets/";

#[test]
#[rustfmt::skip]
fn the_api_server_refuses() {
    let mut rows = Vec::new();
    for (path, required) in [(VERSION, true), (NAMESPACE, true), (NODES, true), (DAEMONSETS, false)] {
        for status in [201, 204, 301, 302, 307, 400, 401, 403, 404, 406, 408, 410, 429, 500, 502, 503, 504] {
            let reason: &'static str = format!("status {status}").leak();
            let outcome = match status {
                _ if !required && status == 404 => SentWith(Some("flannel")),
                _ if !required => SentWith(None),
                408 | 429 | 500.. => Offline(reason),
                _ => Cluster(reason),
            };
            let scene = move |s: Scene| {
                let (_, body) = api::refusal(status);
                let body = if body.is_empty() || status == 204 { String::new() } else { body };
                let text = answer(status, &body).replacen("\r\n", "\r\nLocation: https://acme-canary.example/\r\n", 1);
                s.api(path, move |c| c.write(text.as_bytes()).map(|()| Handled::Yes))
            };
            rows.push(row(format!("{path} with {status}"), scene, outcome));
        }
        let html = "<html>acme-canary</html>";
        let too_large = if path == NODES { "a value of more than 2 MiB" } else { "larger than 2097152 bytes" };
        let wrong = |reason| {
            if required { Cluster(reason) } else { SentWith(None) }
        };
        let lost = |reason| {
            if required { Offline(reason) } else { SentWith(None) }
        };
        rows.extend([
            row(format!("{path} with HTML"), move |s| s.api_answer(path, 200, html), wrong("not JSON")),
            row(format!("{path} with nothing"), move |s| s.api_answer(path, 200, ""), wrong("JSON that ends")),
            row(format!("{path} with null"), move |s| s.api_answer(path, 200, "null"), wrong("unexpected JSON")),
            row(format!("{path} with an empty object"), move |s| s.api_answer(path, 200, "{}"), wrong("unexpected JSON")),
            row(format!("{path} with a list"), move |s| s.api_answer(path, 200, "[\"v1.2.3\"]"), wrong("unexpected JSON")),
            row(format!("{path} with half an object"), move |s| s.api_answer(path, 200, "{\"kind\":\"Acm"), wrong("JSON that ends")),
            row(format!("{path} with another kind"), move |s| s.api_answer(path, 200, r#"{"kind":"acme-canary","items":[]}"#), wrong("unexpected JSON")),
            row(format!("{path} with deep nesting"), move |s| s.api_answer(path, 200, format!("{{\"a\":{}", "[".repeat(100_000))), wrong("JSON that ends")),
            row(format!("{path} with a string of 100 MB"), move |s| s.api(path, |c| flood(c, "{\"a\":\"", &"acme-canary".repeat(1000), 9100)), wrong(too_large)),
            row(format!("{path} with a key of 100 MB"), move |s| s.api(path, |c| flood(c, "{\"", &"acme-canary".repeat(1000), 9100)), wrong(too_large)),
            row(
                format!("{path} without an answer"),
                move |s| {
                    s.short().api(path, |_| {
                        stall()?;
                        Ok(Handled::Closed)
                    })
                },
                lost("no answer within 2s"),
            ),
            row(format!("{path} with a hang-up"), move |s| s.api(path, |_| Ok(Handled::Closed)), lost("closed early")),
            row(
                format!("{path} with half an answer"),
                move |s| {
                    s.api(path, |c| {
                        c.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"a\":")?;
                        Ok(Handled::Closed)
                    })
                },
                lost("closed early"),
            ),
            row(
                format!("{path} with garbage for HTTP"),
                move |s| {
                    s.api(path, |c| {
                        c.write(b"acme-canary\r\n\r\n")?;
                        Ok(Handled::Closed)
                    })
                },
                wrong("not HTTP/1.1"),
            ),
            row(
                format!("{path} byte by byte"),
                move |s| {
                    s.short().api(path, |c| {
                        c.drip(answer(200, "{\"a\":1}").as_bytes(), Duration::from_millis(200))?;
                        Ok(Handled::Closed)
                    })
                },
                lost("no answer within 2s"),
            ),
        ]);
    }
    hold(&rows);
}

#[test]
#[rustfmt::skip]
fn the_api_server_answers_strangely() {
    let version = |text: &str| {
        let body = format!(r#"{{"gitVersion":{text}}}"#);
        move |s: Scene| s.api_answer(VERSION, 200, body.clone())
    };
    let uid = |text: &str| {
        let body = format!(r#"{{"metadata":{text}}}"#);
        move |s: Scene| s.api_answer(NAMESPACE, 200, body.clone())
    };
    let table = || fs::read_to_string(cluster(CLUSTER).join("api/v1/nodes.table.json")).unwrap();
    let list = || fs::read_to_string(cluster(CLUSTER).join("api/v1/nodes.json")).unwrap();
    let nodes = |body: String| move |s: Scene| s.api_answer(NODES, 200, body.clone());
    // The first request is for a Table, the second for the typed list, which is as recorded.
    let table_only = |body: String| {
        move |s: Scene| {
            let body = body.clone();
            let api = api::serve_with(s.tls(), &cluster(CLUSTER), move |request, connection| {
                if request.target.contains("includeObject=None") {
                    connection.reply(200, &body)?;
                    return Ok(Handled::Yes);
                }
                Ok(Handled::No)
            });
            s.with(|pod| pod.api(api.port))
        }
    };
    let mut rows = vec![
        row("gitVersion is a number", version("3"), Cluster("GET /version: not an answer of Kubernetes: unexpected JSON")),
        row("gitVersion is null", version("null"), Cluster("unexpected JSON")),
        row("gitVersion is empty", version("\"\""), Cluster("unexpected JSON")),
        row("gitVersion is a name", version("\"acme-canary\""), Cluster("unexpected JSON")),
        row("gitVersion goes on", version("\"v1.36.2 acme-canary\""), Cluster("unexpected JSON")),
        row("gitVersion has a line break", version("\"v1.36.2\\nacme-canary\""), Cluster("unexpected JSON")),
        row("gitVersion is very long", version(&format!("\"v1.36.2-{}\"", "a".repeat(1000))), Cluster("unexpected JSON")),
        row("gitVersion stands twice", |s| s.api_answer(VERSION, 200, r#"{"gitVersion":"v1.36.2","gitVersion":"v1.36.3"}"#), Cluster("unexpected JSON")),
        row("the uid is no UUID", uid(r#"{"uid":"acme-canary"}"#), Cluster("unexpected JSON")),
        row("the uid is a number", uid(r#"{"uid":1}"#), Cluster("unexpected JSON")),
        row("the uid is nil", uid(r#"{"uid":"00000000-0000-0000-0000-000000000000"}"#), Cluster("unexpected JSON")),
        row("there is no uid", uid("{}"), Cluster("unexpected JSON")),
        row("there is no metadata", uid("null"), Cluster("unexpected JSON")),
        row("the Table has no column Roles", table_only(table().replace("\"Roles\"", "\"acme-canary\"")), Sent),
        row("the Table has no column OS-Image", table_only(table().replace("\"OS-Image\"", "\"acme-canary\"")), Sent),
        row("the Table has no rows", table_only(r#"{"kind":"Table","columnDefinitions":[]}"#.into()), Sent),
        row("a row has too few cells", table_only(table().replacen("{\"cells\":[", "{\"cells\":[\"acme-canary\"]},{\"cells\":[", 1)), Sent),
        row("a row has no cells", table_only(table().replacen("{\"cells\":[", "{},{\"cells\":[", 1)), Sent),
        row("a cell is a number", table_only(table().replacen("\"control-plane,etcd\"", "7", 1)), Sent),
        row("the Table is not all of it", table_only(table().replacen("\"metadata\":{", "\"metadata\":{\"continue\":\"acme-canary\",", 1)), Sent),
        row("a Table comes twice", nodes(table().replace("\"Roles\"", "\"acme-canary\"")), Cluster("a Table, which was not requested")),
        row("the typed list comes at once", nodes(list()), Sent),
        row("the list is not all of it", nodes(list().replacen("\"metadata\":{", "\"metadata\":{\"continue\":\"acme-canary\",", 1)), Cluster("unexpected JSON")),
        row("an item is null", nodes(list().replacen("\"items\":[", "\"items\":[null,", 1)), Cluster("unexpected JSON")),
        row("an item is a number", nodes(list().replacen("\"items\":[", "\"items\":[7,", 1)), Cluster("unexpected JSON")),
        row("the items are an object", nodes(r#"{"kind":"NodeList","items":{}}"#.into()), Cluster("unexpected JSON")),
        row("the items stand twice", nodes(list().replacen("\"items\":[", "\"items\":[],\"items\":[", 1)), Cluster("unexpected JSON")),
        row("the kind stands twice", nodes(list().replacen('{', "{\"kind\":\"NodeList\",", 1)), Cluster("unexpected JSON")),
        row("labels are a list", nodes(list().replacen("\"labels\":{", "\"labels\":[],\"x\":{", 1)), Cluster("unexpected JSON")),
        row("an osImage is a number", nodes(list().replacen("\"osImage\":\"Ubuntu 22.04.5 LTS\"", "\"osImage\":7", 1)), Cluster("unexpected JSON")),
        row(
            "the list never ends",
            |s| s.short().api(NODES, |c| flood(c, r#"{"kind":"NodeList","items":[{"metadata":{}}"#, &r#",{"metadata":{}}"#.repeat(500), usize::MAX)),
            Offline("no answer within 2s"),
        ),
        row("an item has 100 MB", |s| s.api(NODES, |c| flood(c, r#"{"kind":"NodeList","items":[{"a":""#, &"acme-canary".repeat(1000), 9100)), Cluster("more than 2 MiB")),
        row("a DaemonSet is something else", |s| s.api_answer(DAEMONSETS, 200, r#"{"kind":"acme-canary"}"#), SentWith(None)),
        row("the connection is closed after each answer", closing, Sent),
    ];
    for part in 1..8 {
        let (table, list) = (table(), list());
        let cut = |text: &str| text[..text.len() * part / 8].to_owned();
        rows.push(row(format!("{part}/8 of a Table"), nodes(cut(&table)), Cluster("JSON that ends")));
        rows.push(row(format!("{part}/8 of a list"), nodes(cut(&list)), Cluster("JSON that ends")));
    }
    hold(&rows);
}

#[test]
#[rustfmt::skip]
fn the_configuration_is_wrong() {
    let yaml = |text: &'static str| move |scene: Scene| scene.with(|pod| pod.config(text));
    let env = |name: &'static str, value: &'static str| move |scene: Scene| scene.env(name, value);
    let mut rows = vec![
        row("an unknown key", yaml("endpont: https://acme-example\n"), Usage("config.yaml: unknown field `endpont`")),
        row("a key that stands twice", yaml("spread: 1s\nspread: 2s\n"), Usage("config.yaml: duplicate")),
        row("a tab", yaml("\tspread: 1s\n"), Usage("config.yaml: ")),
        row("a list", yaml("- spread\n"), Usage("config.yaml: invalid type: sequence")),
        row("a word", yaml("enabled\n"), Usage("config.yaml: invalid type")),
        row("two documents", yaml("spread: 1s\n---\nspread: 2s\n"), Usage("config.yaml: ")),
        row("enabled is a word", yaml("enabled: maybe\n"), Usage("config.yaml: enabled: ")),
        row("allowHttp is a number", yaml("allowHttp: 7\n"), Usage("config.yaml: allowHttp: ")),
        row("the endpoint is a list", yaml("endpoint: [a]\n"), Usage("config.yaml: endpoint: ")),
        row("aliases grow without end", yaml(BOMB), Usage("config.yaml: ")),
        row("a file that is not UTF-8", |s| s.with(|pod| pod.config_bytes(b"endpoint: \xff\xfe\n")), Usage("config.yaml: ")),
        row("a file of a megabyte", |s| s.with(|pod| pod.config(&"# acme\n".repeat(150_000))), Usage("config.yaml: larger than 65536 bytes")),
        row(
            "a folder instead of a file",
            |s| {
                let folder = Folder::new();
                let path = folder.path().to_str().unwrap().to_owned();
                std::mem::forget(folder);
                s.with(|pod| pod.config_at(&path))
            },
            Usage("Is a directory"),
        ),
        row("a file that is not there", |s| s.with(|pod| pod.config_at("/nowhere/config.yaml")), Usage("/nowhere/config.yaml: No such file")),
        row("a CA file that is not there", env("METRICS_RESPONDER_CA_FILE", "/nowhere"), Usage("METRICS_RESPONDER_CA_FILE: /nowhere: No such file")),
        row("a CA file without a certificate", env("METRICS_RESPONDER_CA_FILE", "/dev/null"), Usage("no certificate in it")),
        row("a CA file that never ends", env("METRICS_RESPONDER_CA_FILE", "/dev/zero"), Usage("larger than 1048576 bytes")),
        row("a variable that is no boolean", env("METRICS_RESPONDER_ENABLED", "perhaps"), Usage("METRICS_RESPONDER_ENABLED: true or false")),
        row("an option that is none", |s| s.with(|pod| pod.args(["--dryrun"])), Typed("unexpected argument")),
        row("an option without its value", |s| s.with(|pod| pod.args(["--endpoint"])), Typed("--endpoint")),
        row("a kubeconfig that is not there", |s| s.with(|pod| pod.args(["--kubeconfig", "/nowhere"])), Usage("/nowhere: No such file")),
        row("a recording that is not there", |s| s.with(|pod| pod.args(["--recorded", "/nowhere"])), Usage("--recorded /nowhere: not a folder")),
        row("a recording without anything in it", |s| s.with(|pod| pod.args(["--recorded", "/proc/self/fd"])), Cluster("GET /version: status 404")),
    ];
    for url in [
        "nonsense",
        "https://",
        "https://a:99999",
        "https://a b",
        "ftp://a",
        "file:///etc/passwd",
        "https://a#b",
        "//a",
        "https://[::1",
        "http://receiver.example",
        "https://acme-canary:acme-canary@a",
    ] {
        rows.push(row(url, env("METRICS_RESPONDER_ENDPOINT", url), Usage("METRICS_RESPONDER_ENDPOINT: ")));
    }
    for duration in ["10", "-1s", "1.5s", "soon", "10 m", "1d", "99999999999999s", "25h"] {
        rows.push(row(duration, env("METRICS_RESPONDER_SPREAD", duration), Usage("METRICS_RESPONDER_SPREAD: a duration")));
        rows.push(row(duration, env("METRICS_RESPONDER_TIMEOUT", duration), Usage("METRICS_RESPONDER_TIMEOUT: a duration")));
    }
    rows.push(row("no time at all", env("METRICS_RESPONDER_TIMEOUT", "0s"), Usage("METRICS_RESPONDER_TIMEOUT: a duration")));
    hold(&rows);
}

/// An API server that says with each answer that it is the last on its connection.
fn closing(scene: Scene) -> Scene {
    let api = Server::start(Some(scene.tls()), |c| {
        let Some(request) = c.request()? else {
            return Ok(());
        };
        let (status, body) = api::respond(&cluster(CLUSTER), &request);
        c.write(
            answer(status, &body)
                .replacen("\r\n", "\r\nConnection: close\r\n", 1)
                .as_bytes(),
        )
    });
    scene.with(|pod| pod.api(api.port))
}

/// Reads the request and answers with this.
fn reply(connection: &mut Connection, text: &str) -> io::Result<()> {
    connection.request()?;
    connection.write(text.as_bytes())
}

/// Reads the request and answers until nobody listens any more.
fn endless(connection: &mut Connection, begin: &[u8], again: &[u8]) -> io::Result<()> {
    connection.request()?;
    connection.write(begin)?;
    let again = again.repeat(1000);
    loop {
        connection.write(&again)?;
    }
}

/// An answer with its body in so many pieces.
fn flood(
    connection: &mut Connection,
    begin: &str,
    piece: &str,
    pieces: usize,
) -> io::Result<Handled> {
    connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
    connection.write(begin.as_bytes())?;
    for _ in 0..pieces {
        connection.write(piece.as_bytes())?;
    }
    Ok(Handled::Closed)
}

fn certified(scene: Scene, tls: impl FnOnce(&Authority) -> Arc<ServerConfig>) -> Scene {
    let tls = tls(&scene.pod.authority);
    scene.endpoint_with(Some(tls), |c| reply(c, &answer(200, ACCEPTED)))
}

fn certified_api(scene: Scene, leaf: Leaf) -> Scene {
    let api = api::serve(scene.pod.authority.server_with(leaf), &cluster(CLUSTER));
    scene.with(|pod| pod.api(api.port))
}

/// A `ServerHello` of TLS 1.1, with a cipher that it has.
const TLS_1_1: [u8; 47] = {
    let mut hello = [0; 47];
    (hello[0], hello[1], hello[2], hello[4]) = (22, 3, 2, 42);
    (hello[5], hello[8], hello[9], hello[10]) = (2, 38, 3, 2);
    (hello[44], hello[45]) = (0xc0, 0x13);
    hello
};

const BOMB: &str = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nendpoint: *g\n";
