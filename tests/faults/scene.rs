//! Builds the scene of a run: a pod, the API server of a recorded cluster and an endpoint. All of
//! them work until a row changes one.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crate::row::CLUSTER;
use crate::support::api::{self, Handled};
use crate::support::cluster;
use crate::support::run::Pod;
use crate::support::server::{Connection, Request, Server};

pub struct Scene {
    pub pod: Pod,
    pub endpoint: Server,
    /// A server that must not be reached.
    pub elsewhere: Server,
    handlers: Handlers,
}

type Handlers = Arc<RwLock<Vec<Handler>>>;

/// Another answer of the API server to some requests.
struct Handler {
    /// A part of the path and query of these requests.
    part: &'static str,
    answer: Box<dyn Answer>,
    used: AtomicBool,
}

/// A function that serves a connection.
pub trait Serve: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static {}

impl<F> Serve for F where F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static {}

/// A function that answers a request to the API server.
pub trait Answer:
    Fn(&Request, &mut Connection) -> io::Result<Handled> + Send + Sync + 'static
{
}

impl<F> Answer for F where
    F: Fn(&Request, &mut Connection) -> io::Result<Handled> + Send + Sync + 'static
{
}

impl Scene {
    pub fn new() -> Self {
        let pod = Pod::new();
        let endpoint = Server::accepting(Some(pod.authority.server()));
        let handlers = Handlers::default();
        let api = {
            let handlers = Arc::clone(&handlers);
            let tls = pod.authority.server();
            api::serve_with(tls, &cluster(CLUSTER), move |request, connection| {
                handle(&handlers, request, connection)
            })
        };
        Self {
            pod: pod.api(api.port).endpoint(&endpoint.https()),
            endpoint,
            elsewhere: Server::accepting(None),
            handlers,
        }
    }

    pub fn change(self, change: impl FnOnce(Pod) -> Pod) -> Self {
        Self { pod: change(self.pod), ..self }
    }

    /// Replaces the endpoint.
    pub fn endpoint(self, endpoint: Server) -> Self {
        let scene = self.change(|pod| pod.endpoint(&endpoint.https()));
        Self { endpoint, ..scene }
    }

    /// Sets a proxy, and an endpoint on another machine: a local one is reached without the proxy.
    pub fn proxy(self, url: &str) -> Self {
        self.change(|pod| pod.env("HTTPS_PROXY", url).endpoint("https://receiver.invalid/v1"))
    }

    /// Gives another answer to the requests that have `part` in their path or query.
    pub fn answer(self, part: &'static str, answer: impl Answer) -> Self {
        self.handlers.write().unwrap().push(Handler {
            part,
            answer: Box::new(answer),
            used: AtomicBool::new(false),
        });
        self
    }

    /// Returns true if every answer of this scene was used. If not, the row tests nothing.
    pub fn is_used(&self) -> bool {
        let handlers = self.handlers.read().unwrap();
        handlers.iter().all(|handler| handler.used.load(Ordering::SeqCst))
    }
}

fn handle(
    handlers: &RwLock<Vec<Handler>>,
    request: &Request,
    connection: &mut Connection,
) -> io::Result<Handled> {
    let handlers = handlers.read().unwrap();
    let mut matching = handlers.iter().filter(|handler| request.target.contains(handler.part));
    match matching.next() {
        None => Ok(Handled::No),
        Some(handler) => {
            handler.used.store(true, Ordering::SeqCst);
            (handler.answer)(request, connection)
        }
    }
}
