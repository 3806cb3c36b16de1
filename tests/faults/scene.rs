//! The scene of a run: a pod, the API server of a recorded cluster and an endpoint, all of them in
//! order until a row changes one.

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

/// Some requests, which the API server does not answer as usual.
struct Handler {
    /// What their path and query have in common.
    part: &'static str,
    answer: Box<dyn Answer>,
    used: AtomicBool,
}

/// What a server does with a connection.
pub trait Serve: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static {}

impl<F> Serve for F where F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static {}

/// What an API server does with a request.
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
        Self {
            pod: change(self.pod),
            ..self
        }
    }

    /// With another endpoint.
    pub fn endpoint(self, endpoint: Server) -> Self {
        let scene = self.change(|pod| pod.endpoint(&endpoint.https()));
        Self { endpoint, ..scene }
    }

    /// Behind a proxy, with an endpoint that is not on this machine: one that is would be reached
    /// directly.
    pub fn proxy(self, url: &str) -> Self {
        self.change(|pod| {
            pod.env("HTTPS_PROXY", url)
                .endpoint("https://receiver.invalid/v1")
        })
    }

    /// With another answer to the requests that have `part` in their path or query.
    pub fn answer(self, part: &'static str, answer: impl Answer) -> Self {
        self.handlers.write().unwrap().push(Handler {
            part,
            answer: Box::new(answer),
            used: AtomicBool::new(false),
        });
        self
    }

    /// Whether each of those answers was requested, without which a row would test nothing.
    pub fn is_used(&self) -> bool {
        let handlers = self.handlers.read().unwrap();
        handlers
            .iter()
            .all(|handler| handler.used.load(Ordering::SeqCst))
    }
}

fn handle(
    handlers: &RwLock<Vec<Handler>>,
    request: &Request,
    connection: &mut Connection,
) -> io::Result<Handled> {
    let handlers = handlers.read().unwrap();
    let mut meant = handlers
        .iter()
        .filter(|handler| request.target.contains(handler.part));
    match meant.next() {
        None => Ok(Handled::No),
        Some(handler) => {
            handler.used.store(true, Ordering::SeqCst);
            (handler.answer)(request, connection)
        }
    }
}
