//! Reads the Kubernetes API: a live API server, or a folder laid out like one.

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
use types::{Created, GitVersion, NamespaceMeta, Object};

/// The forms in which an answer is requested. A server that makes no Table returns the typed list.
const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";

/// The largest object that is read. None is larger, since etcd refuses requests above 1.5 MiB.
const MAX_OBJECT: u64 = 2 << 20;

/// The largest part of a refusal's body that is read, only to keep the connection usable.
const MAX_REFUSAL: u64 = 64 << 10;

/// Address, roots and credentials of an API server.
pub struct Access {
    /// `https://host[:port]`, without a slash at the end. A kubeconfig may add a path, or name http
    /// on loopback.
    pub(crate) server: String,
    /// The roots that its certificate must chain to.
    pub(crate) roots: RootCerts,
    pub(crate) token: Option<Token>,
    pub(crate) identity: Option<ClientCert>,
}

/// The longest token: together with the other headers it has to fit into the buffer of the client.
const MAX_TOKEN: usize = 14 << 10;

/// A bearer token, in the form of its header. The type has no way to print or log it.
pub(crate) struct Token(String);

impl Token {
    /// Takes the content of a token file; the error says why it is not a token.
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
    /// Returns its path in the API.
    pub fn path(&self) -> String {
        let Self { namespace, name } = self;
        format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
    }
}

/// The API of one cluster.
///
/// `resourceVersion=0` means "any version that the server has": the server answers from its watch
/// cache, without a request to etcd.
pub struct Api {
    backend: Backend,
    log: Log,
}

enum Backend {
    Live { client: Client, server: String, token: Option<Token> },
    Recorded(PathBuf),
}

impl Api {
    /// Opens a live API server. All requests share one deadline, `budget` from now.
    pub fn live(access: Access, budget: Duration, log: Log) -> Self {
        let deadline = Deadline::after(budget);
        let backend = Backend::Live {
            client: Client::new(access.roots, access.identity, None, deadline),
            server: access.server,
            token: access.token,
        };
        Self { backend, log }
    }

    /// Opens a folder that is laid out like an API server.
    pub fn recorded(folder: &Path, log: Log) -> Result<Self, Error> {
        if !folder.is_dir() {
            let origin = format!("--recorded {}", folder.display());
            return Err(Error::config(origin, "not a folder"));
        }
        Ok(Self { backend: Backend::Recorded(folder.to_owned()), log })
    }

    /// Returns the URL of the API server; a recording has none.
    pub(crate) fn server(&self) -> Option<&str> {
        match &self.backend {
            Backend::Live { server, .. } => Some(server),
            Backend::Recorded(_) => None,
        }
    }

    /// Reads the version of the API server.
    pub fn version(&self) -> Result<GitVersion, Error> {
        let version: types::Version = self.object("/version", JSON)?;
        Ok(version.git_version)
    }

    /// Reads the namespace `kube-system`, which is as old as the cluster.
    pub fn kube_system(&self) -> Result<Object<NamespaceMeta>, Error> {
        self.object("/api/v1/namespaces/kube-system?resourceVersion=0", JSON)
    }

    /// Reads all nodes, as a Table: a row without its object has a fiftieth of the bytes of a Node.
    pub fn nodes<T: Default + Extend<Node>>(&self) -> Result<T, Error> {
        let path = "/api/v1/nodes?resourceVersion=0&includeObject=None";
        if let Some(nodes) = self.get(path, TABLE, None, read_nodes)? {
            return Ok(nodes);
        }
        // The Table lacks a column.
        let path = "/api/v1/nodes?resourceVersion=0";
        let nodes = self.get(path, JSON, None, read_nodes)?;
        nodes.ok_or_else(|| not_kubernetes(path, "a Table, which was not requested"))
    }

    /// Finds the first of these DaemonSets that exists. Skips a 403, so that RBAC that is older
    /// than the table still allows finding the DaemonSets that it names. If none is found, returns
    /// the 403 as an error, since the refused DaemonSet may exist.
    pub fn first_daemonset<'t, T>(
        &self,
        candidates: &'t [T],
        name: impl Fn(&T) -> DaemonSetName,
    ) -> Result<Option<&'t T>, Error> {
        let mut refused = None;
        for candidate in candidates {
            let path = format!("{}?resourceVersion=0", name(candidate).path());
            match self.optional::<types::DaemonSet>(&path, METADATA) {
                Ok(Some(_)) => return Ok(Some(candidate)),
                Ok(None) => {}
                // A 404 means that the DaemonSet does not exist; a 403 says nothing about that.
                Err(error) if error.is_status(403) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Reads the creation time of the responder's CronJob in this namespace. Returns `None` if
    /// there is no CronJob, or if RBAC of an older release does not allow reading it.
    pub fn cron_job_created(&self, namespace: &str) -> Result<Option<Timestamp>, Error> {
        let path = installation::cron_job_path(namespace) + "?resourceVersion=0";
        match self.optional::<Object<Created>>(&path, METADATA) {
            Err(error) if error.is_status(403) => Ok(None),
            found => Ok(found?.and_then(|object| object.metadata.creation_timestamp)),
        }
    }

    /// Reads an object that may be missing.
    fn optional<T: DeserializeOwned>(&self, path: &str, form: &str) -> Result<Option<T>, Error> {
        match self.object(path, form) {
            Err(error) if error.is_status(404) => Ok(None),
            object => object.map(Some),
        }
    }

    /// Returns true if any of the first few nodes has the annotation of flanneld. One node would
    /// not be enough, since it may be virtual or about to join. `resourceVersion=0` is missing
    /// because the API server would ignore the limit.
    pub fn nodes_show_flannel(&self) -> Result<bool, Error> {
        let list: types::NodeMetadataList = self.object("/api/v1/nodes?limit=5", METADATA_LIST)?;
        Ok(list.shows_flannel())
    }

    fn object<T: DeserializeOwned>(&self, path: &str, form: &str) -> Result<T, Error> {
        self.get(path, form, Some(MAX_OBJECT), |body| json::read(body))
    }

    /// Sends a GET, and logs it for `--verbose`.
    fn get<T>(
        &self,
        path: &str,
        form: &str,
        limit: Option<u64>,
        read: impl FnOnce(&mut dyn Read) -> Result<T, JsonError>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let (mut status, mut bytes) = (None, 0);
        let result = self.open(path, form, limit).and_then(|(answered, body)| {
            status = Some(answered);
            let mut body = Counted { inner: body, bytes: 0 };
            let result = match answered {
                200 => read(&mut body).map_err(|error| self.unreadable(path, error)),
                status => refused(path, status, &mut body),
            };
            bytes = body.bytes;
            result
        });
        self.log.request("GET", path, status, bytes, started);
        result
    }

    /// Returns the status, and the body to read.
    fn open(
        &self,
        path: &str,
        form: &str,
        limit: Option<u64>,
    ) -> Result<(u16, Box<dyn Read>), Error> {
        match &self.backend {
            Backend::Recorded(folder) => {
                let file = recorded::open(folder, path, form == TABLE);
                match file.map_err(|e| not_kubernetes(path, &format!("the recording: {e}")))? {
                    Some(file) => Ok((200, Box::new(file))),
                    None => Ok((404, Box::new(io::empty()))),
                }
            }
            Backend::Live { client, server, token } => {
                let authorization = token.as_ref().map(|Token(header)| header.as_str());
                let response = client.get(&format!("{server}{path}"), form, authorization);
                let response = response.map_err(|failure| failure.at(path))?;
                Ok((response.status(), Box::new(response.into_reader(limit))))
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

/// Reads the nodes; returns `None` if a Table lacks a column.
fn read_nodes<T: Default + Extend<Node>>(body: &mut dyn Read) -> Result<Option<T>, JsonError> {
    match nodes::read(body) {
        Ok(nodes) => Ok(Some(nodes)),
        Err(ListError::Columns) => Ok(None),
        Err(ListError::Json(error)) => Err(error),
    }
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
        assert_eq!(header("abc.def-_~+/=\n").as_deref(), Ok("Bearer abc.def-_~+/="));
        let long = "a".repeat(MAX_TOKEN + 1);
        for text in ["", " \n", "a b", "a\nb", "a\0b", "é", &long] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
