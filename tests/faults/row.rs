//! A row of a table: what is wrong, in words and as steps that change the scene of a run, and the
//! outcome.

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

/// The reason in a row that is [`Draft::short`] of time.
pub const TIMED_OUT: &str = "no answer within 2s";
pub const UNKNOWN_AUTHORITY: &str = "the certificate is of an unknown authority";

/// Between reasons of which the kernel's timing decides.
pub const OR: &str = " | ";

/// What becomes of a run. Each outcome has one line in the log, at level info, whose reason
/// contains the text, or one of the texts that [`OR`] separates.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// Status 0; the report is printed, and arrives once.
    Sent,
    /// The same, with this `cni-plugin`.
    SentAs(&'static str),
    /// The same, without `cni-plugin`, for this reason.
    SentWithoutCni(&'static str),
    /// Status 0, or 3 with `--strict`; the report is printed, and does not arrive.
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
    /// The same, with an answer to the person who typed instead of a line in the log.
    Typed(&'static str),
}

pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    pub strict: bool,
    steps: Vec<Step>,
}

/// A row whose outcome is still to be given.
pub struct Draft {
    name: String,
    steps: Vec<Step>,
}

type Step = Box<dyn FnOnce(Scene) -> Scene + Send>;

pub fn row(name: impl Into<String>) -> Draft {
    Draft {
        name: name.into(),
        steps: Vec::new(),
    }
}

impl Row {
    /// Makes the scene, step by step.
    pub fn scene(self) -> Scene {
        let steps = self.steps.into_iter();
        steps.fold(Scene::new(), |scene, step| step(scene))
    }

    /// The same row with `--strict`.
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
        Row {
            name: self.name,
            outcome,
            strict: false,
            steps: self.steps,
        }
    }

    fn step(mut self, step: impl FnOnce(Scene) -> Scene + Send + 'static) -> Self {
        self.steps.push(Box::new(step));
        self
    }

    fn pod(self, change: impl FnOnce(Pod) -> Pod + Send + 'static) -> Self {
        self.step(|scene| scene.change(change))
    }
}

/// What the program is started with.
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

    /// For a row that waits for its timeout. That of the others is long, since a busy machine is
    /// slow.
    pub fn short(self) -> Self {
        self.timeout("2s")
    }

    /// The configuration file, instead of the usual one.
    pub fn config(self, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        self.pod(move |pod| pod.config_bytes(&content))
    }

    pub fn config_at(self, path: &'static str) -> Self {
        self.pod(move |pod| pod.config_at(path))
    }

    /// A file of the mounted ServiceAccount.
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

/// The endpoint.
impl Draft {
    pub fn endpoint_url(self, url: impl Into<String>) -> Self {
        self.env("METRICS_RESPONDER_ENDPOINT", url)
    }

    /// Serves each connection, within TLS.
    pub fn endpoint(self, serve: impl Serve) -> Self {
        self.step(|scene| {
            let tls = scene.pod.authority.server();
            scene.endpoint(Server::start(Some(tls), serve))
        })
    }

    /// Serves each connection, below TLS.
    pub fn endpoint_tcp(self, serve: impl Serve) -> Self {
        self.step(|scene| scene.endpoint(Server::start(None, serve)))
    }

    /// Accepts every report, over TLS of this configuration.
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

    /// Serves each connection once it has read a request.
    pub fn endpoint_answers(self, serve: impl Serve) -> Self {
        self.endpoint(move |connection| {
            connection.request()?;
            serve(connection)
        })
    }

    /// Answers a request with these bytes, and hangs up.
    pub fn endpoint_replies(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.endpoint_answers(move |connection| connection.write(&bytes))
    }

    /// Answers a request with a beginning, and then with the same text until nobody listens.
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

/// The proxy.
impl Draft {
    pub fn proxy_url(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.step(move |scene| scene.proxy(&url))
    }

    /// Serves each connection.
    pub fn proxy(self, serve: impl Serve) -> Self {
        self.step(|scene| {
            let port = Server::start(None, serve).port;
            scene.proxy(&format!("http://acme-canary:{TOKEN}@127.0.0.1:{port}"))
        })
    }

    /// Accepts every request, over TLS of this configuration.
    pub fn proxy_tls(self, tls: fn(&Authority) -> Arc<ServerConfig>) -> Self {
        self.step(move |scene| {
            let port = Server::accepting(Some(tls(&scene.pod.authority))).port;
            scene.proxy(&format!("https://127.0.0.1:{port}"))
        })
    }

    /// Serves each connection once it has read a request.
    pub fn proxy_answers(self, serve: impl Serve) -> Self {
        self.proxy(move |connection| {
            connection.request()?;
            serve(connection)
        })
    }

    /// Answers a request with these bytes, and hangs up.
    pub fn proxy_replies(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.proxy_answers(move |connection| connection.write(&bytes))
    }
}

/// The API server. `part` is what the path and query of the requests that are meant have in common.
impl Draft {
    pub fn api_port(self, port: u16) -> Self {
        self.pod(move |pod| pod.api(port))
    }

    /// Serves each connection, below TLS.
    pub fn api_tcp(self, serve: impl Serve) -> Self {
        self.pod(|pod| pod.api(Server::start(None, serve).port))
    }

    /// The usual API server, over TLS of this configuration.
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

    /// Answers as usual, but late.
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

    /// Answers with these bytes, and hangs up.
    pub fn api_writes(self, part: &'static str, bytes: &'static str) -> Self {
        self.api_answers(part, move |_, connection| {
            connection.write(bytes.as_bytes())?;
            Ok(Handled::Closed)
        })
    }

    /// Answers with a beginning, and then with the same text until so many bytes are written.
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

    /// DaemonSets by name, each with the status of the answer; no others exist.
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
