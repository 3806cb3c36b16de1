//! The Kubernetes API, as far as it is read: a live API server, or a folder laid out like one.

pub(crate) mod incluster;
pub(crate) mod installation;
pub(crate) mod kubeconfig;
pub(crate) mod nodes;
mod recorded;
pub(crate) mod timestamp;
pub(crate) mod types;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::tls::{ClientCert, RootCerts};

use crate::error::Error;
use crate::http::{Client, Deadline, not_kubernetes};
use crate::json::{self, Counted, JsonError};
use crate::log::Log;
use nodes::{ListError, Node};
use timestamp::Timestamp;
use types::{GitVersion, Namespace};

/// The form in which an answer is requested.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Json,
    Metadata,
    MetadataList,
    /// Or a typed list, from a server that makes no Table.
    Table,
}

impl Form {
    fn accept(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Metadata => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Self::MetadataList => {
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
            }
            Self::Table => "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
        }
    }
}

/// Any single object is smaller: etcd refuses requests above 1.5 MiB.
const MAX_OBJECT: u64 = 2 << 20;

/// The body of a refusal is read only to keep the connection usable.
const MAX_REFUSAL: u64 = 64 << 10;

/// Address, roots and credentials of an API server.
pub struct Access {
    /// `https://host[:port]`, without a slash at the end; from a kubeconfig perhaps with a path, or
    /// http on loopback.
    pub(crate) server: String,
    /// The roots its certificate must chain to.
    pub(crate) roots: RootCerts,
    pub(crate) token: Option<Token>,
    pub(crate) identity: Option<ClientCert>,
}

/// A request has to fit into the buffer of the client, with the other headers.
const MAX_TOKEN: usize = 14 << 10;

/// A bearer token as the header it is sent in. It can be neither printed nor logged.
pub(crate) struct Token(String);

impl Token {
    /// Takes the content of a token file; the error says why it cannot be one.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err("the token is empty");
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the token contains invalid characters");
        }
        if token.len() > MAX_TOKEN {
            return Err("the token is longer than 14 KiB");
        }
        Ok(Self(format!("Bearer {token}")))
    }
}

/// Namespace and name of a DaemonSet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DaemonSetName {
    /// `metadata.namespace`
    pub namespace: &'static str,
    /// `metadata.name`
    pub name: &'static str,
}

impl DaemonSetName {
    /// Its path in the API.
    pub fn path(&self) -> String {
        let Self { namespace, name } = self;
        format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
    }
}

/// The API of one cluster.
///
/// `resourceVersion=0` means "any version the server holds": it answers from its watch cache and
/// asks etcd nothing.
pub struct Api {
    backend: Backend,
    log: Log,
}

enum Backend {
    Live {
        client: Client,
        server: String,
        token: Option<Token>,
    },
    Recorded(PathBuf),
}

impl Api {
    /// A live API server. All requests share one deadline, `budget` from now.
    pub fn live(access: Access, budget: Duration, log: Log) -> Self {
        let https_only = access.server.starts_with("https:");
        let deadline = Deadline::after(budget);
        let backend = Backend::Live {
            client: Client::cluster(access.roots, access.identity, deadline, https_only),
            server: access.server,
            token: access.token,
        };
        Self { backend, log }
    }

    /// A folder laid out as the API server is.
    pub fn recorded(folder: &Path, log: Log) -> Result<Self, Error> {
        if !folder.is_dir() {
            let origin = format!("--recorded {}", folder.display());
            return Err(Error::config(origin, "not a folder"));
        }
        let backend = Backend::Recorded(folder.to_owned());
        Ok(Self { backend, log })
    }

    /// The URL of the API server; a recording has none.
    pub(crate) fn server(&self) -> Option<&str> {
        match &self.backend {
            Backend::Live { server, .. } => Some(server),
            Backend::Recorded(_) => None,
        }
    }

    /// The version of the API server.
    pub fn version(&self) -> Result<GitVersion, Error> {
        let version: types::Version = self.object("/version", Form::Json)?;
        Ok(version.git_version)
    }

    /// The namespace `kube-system`, which is as old as the cluster.
    pub fn kube_system(&self) -> Result<Namespace, Error> {
        self.object(
            "/api/v1/namespaces/kube-system?resourceVersion=0",
            Form::Json,
        )
    }

    /// All nodes. A row of a Table without its object is a fiftieth of the bytes of a Node.
    pub fn nodes<T: Default + Extend<Node>>(&self) -> Result<T, Error> {
        let path = "/api/v1/nodes?resourceVersion=0&includeObject=None";
        match self.get(path, Form::Table, None, read_nodes)? {
            Some(nodes) => Ok(nodes),
            None => self.node_list(),
        }
    }

    /// The same as a typed list, where the Table lacks a column.
    fn node_list<T: Default + Extend<Node>>(&self) -> Result<T, Error> {
        let path = "/api/v1/nodes?resourceVersion=0";
        let nodes = self.get(path, Form::Json, None, read_nodes)?;
        nodes.ok_or_else(|| not_kubernetes(path, "a Table, which was not requested"))
    }

    /// The first of these DaemonSets that exists. A 403 is skipped, so that RBAC older than the table
    /// still finds what it names. If no other exists, it is the error: this may be the one.
    pub fn first_daemonset<'t, T>(
        &self,
        candidates: &'t [T],
        name: impl Fn(&T) -> DaemonSetName,
    ) -> Result<Option<&'t T>, Error> {
        let mut refused = None;
        for candidate in candidates {
            match self.has_daemonset(name(candidate)) {
                Ok(true) => return Ok(Some(candidate)),
                Ok(false) => {}
                // RBAC knows the name or not: a 404 is an answer, a 403 is none.
                Err(error) if error.is_status(403) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Whether this DaemonSet exists.
    pub fn has_daemonset(&self, daemonset: DaemonSetName) -> Result<bool, Error> {
        let path = format!("{}?resourceVersion=0", daemonset.path());
        let found = self.optional::<types::DaemonSet>(&path, Form::Metadata)?;
        Ok(found.is_some())
    }

    /// When the responder's CronJob in this namespace was made. Unknown without a CronJob, and to
    /// RBAC of an older release.
    pub fn cron_job_created(&self, namespace: &str) -> Result<Option<Timestamp>, Error> {
        let path = installation::cron_job_path(namespace) + "?resourceVersion=0";
        match self.optional::<types::Object>(&path, Form::Metadata) {
            Err(error) if error.is_status(403) => Ok(None),
            found => Ok(found?.and_then(|object| object.metadata.creation_timestamp)),
        }
    }

    /// Reads an object that may be missing.
    fn optional<T: DeserializeOwned>(&self, path: &str, form: Form) -> Result<Option<T>, Error> {
        match self.object(path, form) {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_status(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether flanneld runs on any of the first few nodes, by its annotation. Not on the first
    /// alone, which may be virtual or about to join. With `resourceVersion=0` the API server would
    /// ignore the limit.
    pub fn nodes_show_flannel(&self) -> Result<bool, Error> {
        let list: types::NodeMetadataList =
            self.object("/api/v1/nodes?limit=5", Form::MetadataList)?;
        Ok(list.shows_flannel())
    }

    fn object<T: DeserializeOwned>(&self, path: &str, form: Form) -> Result<T, Error> {
        self.get(path, form, Some(MAX_OBJECT), |body| json::read(body))
    }

    /// One GET, and its line for `--verbose`.
    fn get<T>(
        &self,
        path: &str,
        form: Form,
        limit: Option<u64>,
        read: impl FnOnce(&mut dyn Read) -> Result<T, JsonError>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let (mut status, mut bytes) = (None, 0);
        let result = self.open(path, form, limit).and_then(|answer| {
            status = Some(answer.status);
            let mut body = Counted::new(answer.body);
            let result = match answer.status {
                200 => read(&mut body).map_err(|error| self.unreadable(path, error)),
                status => refused(path, status, &mut body),
            };
            bytes = body.total();
            result
        });
        self.log.request("GET", path, status, bytes, started);
        result
    }

    fn open(&self, path: &str, form: Form, limit: Option<u64>) -> Result<Answer, Error> {
        match &self.backend {
            Backend::Recorded(folder) => {
                let file = recorded::open(folder, path, form == Form::Table);
                match file.map_err(|e| not_kubernetes(path, &format!("the recording: {e}")))? {
                    Some(file) => Ok(Answer {
                        status: 200,
                        body: Box::new(file),
                    }),
                    None => Ok(Answer {
                        status: 404,
                        body: Box::new(io::empty()),
                    }),
                }
            }
            Backend::Live {
                client,
                server,
                token,
            } => {
                let authorization = token.as_ref().map(|Token(t)| ("Authorization", t.as_str()));
                let headers = [("Accept", form.accept())].into_iter().chain(authorization);
                let response = client
                    .get(&format!("{server}{path}"), headers)
                    .map_err(|failure| failure.at(path))?;
                Ok(Answer {
                    status: response.status(),
                    body: Box::new(response.into_reader(limit)),
                })
            }
        }
    }

    fn unreadable(&self, path: &str, error: JsonError) -> Error {
        match (error, &self.backend) {
            (JsonError::Io(error), Backend::Live { client, .. }) => {
                client.body_failure(error).at(path)
            }
            (error, _) => not_kubernetes(path, &error.to_string()),
        }
    }
}

/// `None` where a Table lacks a column.
fn read_nodes<T: Default + Extend<Node>>(body: &mut dyn Read) -> Result<Option<T>, JsonError> {
    match nodes::read(body) {
        Ok(nodes) => Ok(Some(nodes)),
        Err(ListError::Columns) => Ok(None),
        Err(ListError::Json(error)) => Err(error),
    }
}

/// What came back for one GET.
struct Answer {
    /// The HTTP status.
    status: u16,
    /// What is left to read.
    body: Box<dyn Read>,
}

fn refused<T>(path: &str, status: u16, body: &mut dyn Read) -> Result<T, Error> {
    // If the connection breaks here, the next request reports it.
    let _ = io::copy(&mut body.take(MAX_REFUSAL), &mut io::sink());
    Err(Error::status(path, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let header = |text| Token::new(text).map(|Token(header)| header);
        assert_eq!(
            header("abc.def-_~+/=\n").as_deref(),
            Ok("Bearer abc.def-_~+/=")
        );
        let long = "a".repeat(MAX_TOKEN + 1);
        for text in ["", " \n", "a b", "a\nb", "a\0b", "é", &long] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
