//! Defines a row of a table: a name, the steps that put a fault into the scene of a run, and the
//! expected outcome.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use crate::scene::{Answer, Scene, Serve};
use crate::support::api::{self, Handled, TOKEN};
use crate::support::cluster;
use crate::support::pki::Authority;
use crate::support::run::Pod;
use crate::support::server::{Server, answer};

/// The recorded cluster that the runs read.
pub const CLUSTER: &str = "rke2-canal-ha";

pub const VERSION: &str = "/version";
pub const NAMESPACE: &str = "/api/v1/namespaces/kube-system";
pub const NODES: &str = "/api/v1/nodes";
pub const DAEMONSETS: &str = "/daemonsets/";

pub const MB: usize = 1_000_000;

/// The reason in a row with the timeout of [`Draft::short`].
pub const TIMED_OUT: &str = "no answer within 6s";
pub const UNKNOWN_AUTHORITY: &str = "the certificate is signed by an unknown authority";

/// Separates alternative reasons, if the timing of the kernel decides between them.
pub const OR: &str = " | ";

/// The expected outcome of a run. The run writes one line to the log, at level info, whose reason
/// contains the text, or one of the texts that [`OR`] separates.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// Status 0; the report is printed and arrives once.
    Sent,
    /// Like `Sent`, with this `cni-plugin`.
    SentAs(&'static str),
    /// Like `Sent`, without `cni-plugin` for this reason.
    SentWithoutCni(&'static str),
    /// Status 0, or 3 with `--strict`; the report is printed but does not arrive.
    NotSent(&'static str),
    /// Status 0, or 3 with `--strict`; the report is printed and may have arrived, since only the
    /// reply is wrong.
    Unclear(&'static str),
    /// Status 0, or 3 with `--strict`; the cluster gave no answer, and nothing is printed or sent.
    Offline(&'static str),
    /// Status 1; nothing is printed or sent.
    Cluster(&'static str),
    /// Status 2; nothing is printed or sent.
    Usage(&'static str),
    /// Like `Usage`, but with an answer to the person who typed the command instead of a log line.
    Typed(&'static str),
}

pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    pub strict: bool,
    steps: Vec<Step>,
}

/// A row without its outcome.
pub struct Draft {
    name: String,
    steps: Vec<Step>,
}

type Step = Box<dyn FnOnce(Scene) -> Scene + Send>;

pub fn row(name: impl Into<String>) -> Draft {
    Draft { name: name.into(), steps: Vec::new() }
}

impl Row {
    /// Makes the scene, step by step.
    pub fn scene(self) -> Scene {
        let steps = self.steps.into_iter();
        steps.fold(Scene::new(), |scene, step| step(scene))
    }

    /// Adds `--strict` to a row.
    pub fn strict(mut self) -> Self {
        let args = |pod: Pod| pod.args(["--strict"]);
        self.steps.push(Box::new(move |scene| scene.change(args)));
        self.name += " with --strict";
        self.strict = true;
        self
    }
}

impl Draft {
    pub fn gives(self, outcome: Outcome) -> Row {
        Row { name: self.name, outcome, strict: false, steps: self.steps }
    }

    fn step(mut self, step: impl FnOnce(Scene) -> Scene + Send + 'static) -> Self {
        self.steps.push(Box::new(step));
        self
    }

    fn pod(self, change: impl FnOnce(Pod) -> Pod + Send + 'static) -> Self {
        self.step(|scene| scene.change(change))
    }
}

/// Changes the environment, arguments and files of the program.
impl Draft {
    pub fn env(self, name: &str, value: impl Into<String>) -> Self {
        let (name, value) = (name.to_owned(), value.into());
        self.pod(move |pod| pod.env(&name, &value))
    }

    pub fn args<const N: usize>(self, args: [&'static str; N]) -> Self {
        self.pod(move |pod| pod.args(args))
    }

    pub fn timeout(self, timeout: &'static str) -> Self {
        self.pod(move |pod| pod.timeout(timeout))
    }

    /// Sets a shorter timeout, for a row that waits for it. A busy machine needs most of it for the
    /// requests before.
    pub fn short(self) -> Self {
        self.timeout("6s")
    }

    /// Replaces the text of the configuration file.
    pub fn config(self, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        self.pod(move |pod| pod.config_bytes(&content))
    }

    pub fn config_at(self, path: &'static str) -> Self {
        self.pod(move |pod| pod.config_at(path))
    }

    /// Writes a file into the folder of the pod.
    pub fn file(self, name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        self.pod(move |pod| {
            pod.folder.write(name, content);
            pod
        })
    }

    pub fn without_file(self, name: &'static str) -> Self {
        self.pod(move |pod| {
            fs::remove_file(pod.folder.path().join(name)).unwrap();
            pod
        })
    }
}

/// Changes the endpoint.
impl Draft {
    pub fn endpoint_url(self, url: impl Into<String>) -> Self {
        self.env("METRICS_RESPONDER_ENDPOINT", url)
    }

    /// Serves each connection, inside TLS.
    pub fn endpoint(self, serve: impl Serve) -> Self {
        self.step(|scene| {
            let tls = scene.pod.authority.server();
            scene.endpoint(Server::start(Some(tls), serve))
        })
    }

    /// Serves each TCP connection, without TLS.
    pub fn endpoint_tcp(self, serve: impl Serve) -> Self {
        self.step(|scene| scene.endpoint(Server::start(None, serve)))
    }

    /// Accepts every report, with this TLS configuration.
    pub fn endpoint_tls(self, tls: fn(&Authority) -> Arc<ServerConfig>) -> Self {
        self.step(move |scene| {
            let tls = tls(&scene.pod.authority);
            scene.endpoint(Server::accepting(Some(tls)))
        })
    }

    /// Accepts every report, without TLS.
    pub fn endpoint_http(self) -> Self {
        self.step(|scene| {
            let endpoint = Server::accepting(None);
            let url = endpoint.http();
            scene.endpoint(endpoint).change(|pod| pod.endpoint(&url))
        })
    }

    /// Reads a request, and then serves the connection.
    pub fn endpoint_answers(self, serve: impl Serve) -> Self {
        self.endpoint(move |connection| {
            connection.request()?;
            serve(connection)
        })
    }

    /// Answers a request with these bytes, and then hangs up.
    pub fn endpoint_replies(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.endpoint_answers(move |connection| connection.write(&bytes))
    }

    /// Answers a request with a beginning, and then repeats a text until the client hangs up.
    pub fn endpoint_never_ends(self, begin: &'static str, again: &'static str) -> Self {
        self.endpoint_answers(move |connection| {
            connection.write(begin.as_bytes())?;
            let again = again.repeat(1000);
            loop {
                connection.write(again.as_bytes())?;
            }
        })
    }

    /// Answers a request with a redirect. `PORT` in the location becomes that of a server that must
    /// not be reached.
    pub fn endpoint_redirects(self, status: u16, location: &'static str) -> Self {
        self.step(move |scene| {
            let location = location.replace("PORT", &scene.elsewhere.port.to_string());
            let headers = format!("Retry-After: 1\r\nContent-Length: 0\r\nLocation: {location}");
            let text = format!("HTTP/1.1 {status} acme-canary\r\n{headers}\r\n\r\n");
            let tls = scene.pod.authority.server();
            scene.endpoint(Server::saying(Some(tls), text))
        })
    }
}

/// Changes the proxy.
impl Draft {
    pub fn proxy_url(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.step(move |scene| scene.proxy(&url))
    }

    /// Serves each connection to the proxy.
    pub fn proxy(self, serve: impl Serve) -> Self {
        self.step(|scene| {
            let port = Server::start(None, serve).port;
            scene.proxy(&format!("http://acme-canary:{TOKEN}@127.0.0.1:{port}"))
        })
    }

    /// Accepts every request, with this TLS configuration.
    pub fn proxy_tls(self, tls: fn(&Authority) -> Arc<ServerConfig>) -> Self {
        self.step(move |scene| {
            let port = Server::accepting(Some(tls(&scene.pod.authority))).port;
            scene.proxy(&format!("https://127.0.0.1:{port}"))
        })
    }

    /// Reads a request, and then serves the connection.
    pub fn proxy_answers(self, serve: impl Serve) -> Self {
        self.proxy(move |connection| {
            connection.request()?;
            serve(connection)
        })
    }

    /// Answers a request with these bytes, and then hangs up.
    pub fn proxy_replies(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.proxy_answers(move |connection| connection.write(&bytes))
    }
}

/// Changes the API server, for all requests that have `part` in their path or query.
impl Draft {
    pub fn api_port(self, port: u16) -> Self {
        self.pod(move |pod| pod.api(port))
    }

    /// Serves each TCP connection, without TLS.
    pub fn api_tcp(self, serve: impl Serve) -> Self {
        self.pod(|pod| pod.api(Server::start(None, serve).port))
    }

    /// Serves the recorded cluster, with this TLS configuration.
    pub fn api_tls(self, tls: fn(&Authority) -> Arc<ServerConfig>) -> Self {
        self.pod(move |pod| {
            let api = api::serve(tls(&pod.authority), &cluster(CLUSTER));
            pod.api(api.port)
        })
    }

    pub fn api_answers(self, part: &'static str, answer: impl Answer) -> Self {
        self.step(move |scene| scene.answer(part, answer))
    }

    /// Answers with status 200 and this body.
    pub fn api_replies(self, part: &'static str, body: impl Into<String>) -> Self {
        let body = body.into();
        self.api_answers(part, move |_, connection| {
            connection.reply(200, &body).map(|()| Handled::Yes)
        })
    }

    /// Answers as usual, after a pause.
    pub fn api_pauses(self, part: &'static str, pause: Duration) -> Self {
        self.api_answers(part, move |_, _| {
            thread::sleep(pause);
            Ok(Handled::No)
        })
    }

    /// Answers with this status, with a real API server's body for it, and with the location of a
    /// server that must not be reached.
    pub fn api_refuses(self, part: &'static str, status: u16) -> Self {
        self.step(move |scene| {
            let (_, body) = api::refusal(status);
            let location = format!("http://127.0.0.1:{}/acme-canary", scene.elsewhere.port);
            let header = format!("\r\nLocation: {location}\r\n");
            let text = answer(status, &body).replacen("\r\n", &header, 1);
            scene.answer(part, move |_, connection| {
                connection.write(text.as_bytes()).map(|()| Handled::Yes)
            })
        })
    }

    /// Answers with these bytes, and then hangs up.
    pub fn api_writes(self, part: &'static str, bytes: &'static str) -> Self {
        self.api_answers(part, move |_, connection| {
            connection.write(bytes.as_bytes())?;
            Ok(Handled::Closed)
        })
    }

    /// Answers with a beginning, and then repeats a text until so many bytes are written.
    pub fn api_floods(
        self,
        part: &'static str,
        begin: &'static str,
        again: &'static str,
        bytes: usize,
    ) -> Self {
        self.api_answers(part, move |_, connection| {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
            connection.write(begin.as_bytes())?;
            let again = again.repeat(1000);
            let mut written = 0;
            while written < bytes {
                connection.write(again.as_bytes())?;
                written += again.len();
            }
            Ok(Handled::Closed)
        })
    }

    /// Answers requests for these DaemonSets with these statuses; no other DaemonSets exist.
    pub fn daemonsets<const N: usize>(self, statuses: [(&'static str, u16); N]) -> Self {
        self.api_answers(DAEMONSETS, move |request, connection| {
            let name = request.path().rsplit('/').next().unwrap();
            let known = statuses.iter().find(|(known, _)| *known == name);
            let (status, body) = match known {
                Some((_, 200)) => (200, r#"{"kind":"PartialObjectMetadata"}"#.to_owned()),
                Some((_, status)) => api::refusal(*status),
                None => api::refusal(404),
            };
            connection.reply(status, &body).map(|()| Handled::Yes)
        })
    }
}
