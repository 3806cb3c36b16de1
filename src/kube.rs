//! The Kubernetes API, as far as it is read: a live API server, or a folder that stands for one.

pub mod incluster;
pub mod kubeconfig;
pub mod nodes;
pub mod recorded;
pub mod types;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::tls::{ClientCert, RootCerts};
use uuid::Uuid;

use crate::cni::DaemonSet;
use crate::error::Error;
use crate::http::Client;
use crate::json::{self, Counted};
use crate::log::{Log, Request};
use nodes::Tally;

const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// Any single object is smaller: etcd refuses requests above 1.5 MiB.
const MAX_OBJECT: u64 = 2 << 20;

/// The body of a refusal is read so that the connection stays usable, not to be looked at.
const MAX_REFUSAL: u64 = 64 << 10;

/// Where an API server is, and as whom it is asked.
pub struct Access {
    /// `https://host[:port]`, without a slash at the end; from a kubeconfig perhaps with a path.
    pub server: String,
    /// Whom to trust as that server.
    pub roots: RootCerts,
    /// The bearer token.
    pub token: Option<Token>,
    /// The client certificate.
    pub identity: Option<ClientCert>,
}

/// A bearer token as the header it is sent in. It can be neither printed nor logged.
pub struct Token(String);

impl Token {
    /// Takes the content of a token file; the error says why it cannot be one.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err("the token is empty");
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the token has characters that no token has");
        }
        Ok(Self(format!("Bearer {token}")))
    }
}

/// The API of one cluster.
pub struct Api {
    source: Source,
    log: Log,
}

enum Source {
    Live {
        client: Client,
        server: String,
        token: Option<Token>,
    },
    Recorded(PathBuf),
}

impl Api {
    /// A live API server, all of which has to be read within `budget` from now.
    #[must_use]
    pub fn live(access: Access, budget: Duration, log: Log) -> Self {
        let Access {
            server,
            roots,
            token,
            identity,
        } = access;
        let client = Client::cluster(roots, identity, budget);
        let source = Source::Live {
            client,
            server,
            token,
        };
        Self { source, log }
    }

    /// A folder laid out as the API server is.
    pub fn recorded(folder: &Path, log: Log) -> Result<Self, Error> {
        if !folder.is_dir() {
            let origin = format!("--recorded {}", folder.display());
            return Err(Error::config(origin, "not a folder"));
        }
        let source = Source::Recorded(folder.to_owned());
        Ok(Self { source, log })
    }

    /// The version of the API server.
    pub fn version(&self) -> Result<types::GitVersion, Error> {
        let version: types::Version = self.object("/version", JSON)?;
        Ok(version.git_version)
    }

    /// The UID of the namespace kube-system.
    pub fn cluster_uid(&self) -> Result<Uuid, Error> {
        let namespace: types::Namespace = self.object("/api/v1/namespaces/kube-system", JSON)?;
        Ok(namespace.metadata.uid)
    }

    /// The roles and OS of all nodes. "Any version the server holds" keeps the list from being read out
    /// of etcd, and a row without its object is a fiftieth of the bytes.
    pub fn nodes(&self) -> Result<Tally, Error> {
        let path = "/api/v1/nodes?resourceVersion=0&includeObject=None";
        match self.get(path, TABLE, None, |body| match nodes::tally(body) {
            Ok(tally) => Ok(Some(tally)),
            Err(nodes::Error::Table) => Ok(None),
            Err(nodes::Error::Json(error)) => Err(error),
        })? {
            Some(tally) => Ok(tally),
            None => self.node_list(),
        }
    }

    /// The same out of the typed list, where the Table lacks what is needed.
    fn node_list(&self) -> Result<Tally, Error> {
        let path = "/api/v1/nodes?resourceVersion=0";
        self.get(path, JSON, None, |body| {
            nodes::tally(body).map_err(nodes::Error::without_table)
        })
    }

    /// Whether this DaemonSet exists.
    pub fn has_daemonset(&self, daemonset: &DaemonSet) -> Result<bool, Error> {
        match self.object::<types::DaemonSet>(&daemonset.path(), METADATA) {
            Ok(_) => Ok(true),
            Err(Error::Status { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether flanneld has annotated the first node, as it does every one.
    pub fn nodes_show_flannel(&self) -> Result<bool, Error> {
        let path = "/api/v1/nodes?limit=1";
        let list: types::NodeMetadataList = self.object(path, METADATA_LIST)?;
        Ok(list.shows_flannel())
    }

    /// Roles and osImage of each node, for `record`.
    pub fn node_records(&self) -> Result<Vec<types::NodeRecord>, Error> {
        let path = "/api/v1/nodes?resourceVersion=0";
        self.get(path, JSON, None, |body| {
            nodes::records(body).map_err(nodes::Error::without_table)
        })
    }

    fn object<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, Error> {
        self.get(path, accept, Some(MAX_OBJECT), |body| json::read(body))
    }

    /// One GET, and its line for `--verbose`.
    fn get<T>(
        &self,
        path: &str,
        accept: &str,
        limit: Option<u64>,
        read: impl FnOnce(&mut dyn Read) -> Result<T, json::Error>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let (mut status, mut bytes) = (None, 0);
        let result = self.open(path, accept, limit).and_then(|answer| {
            status = Some(answer.status);
            let mut body = Counted::new(answer.body);
            let result = match answer.status {
                200 => read(&mut body).map_err(|error| self.unreadable(path, error)),
                status => refused(path, status, &mut body),
            };
            bytes = body.total();
            result
        });
        self.log.request(&Request {
            method: "GET",
            path,
            status,
            bytes,
            took: started.elapsed(),
        });
        result
    }

    fn open(&self, path: &str, accept: &str, limit: Option<u64>) -> Result<Answer, Error> {
        match &self.source {
            Source::Recorded(folder) => recorded::open(folder, path, accept == TABLE),
            Source::Live {
                client,
                server,
                token,
            } => {
                let authorization = token.as_ref().map(|Token(t)| ("Authorization", t.as_str()));
                let headers: Vec<_> = [("Accept", accept)]
                    .into_iter()
                    .chain(authorization)
                    .collect();
                let response = client
                    .get(&format!("{server}{path}"), &headers)
                    .map_err(|failure| failure.at(path))?;
                Ok(Answer {
                    status: response.status(),
                    body: Box::new(response.into_reader(limit)),
                })
            }
        }
    }

    fn unreadable(&self, path: &str, error: json::Error) -> Error {
        match (error, &self.source) {
            (json::Error::Io(error), Source::Live { client, .. }) => {
                client.body_failure(error).at(path)
            }
            (error, _) => Error::Answer {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// What came back for one GET.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What is left to read.
    pub(crate) body: Box<dyn Read>,
}

fn refused<T>(path: &str, status: u16, body: &mut dyn Read) -> Result<T, Error> {
    // A connection that breaks here is found out by the next request.
    let _ = io::copy(&mut body.take(MAX_REFUSAL), &mut io::sink());
    Err(Error::Status {
        path: path.to_owned(),
        status,
    })
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
        for text in ["", " \n", "a b", "a\nb", "a\0b", "é"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
