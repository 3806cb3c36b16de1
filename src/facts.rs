//! What is known of the cluster: gathered through the API, in the order in which it is asked.

use uuid::Uuid;

use crate::cni::{self, Cni, DaemonSet};
use crate::error::Error;
use crate::kube::Api;
use crate::kube::nodes::Tally;
use crate::kube::types::GitVersion;

/// A required fact is a plain value, and a run without it ends; an optional one is a `Result`, and costs
/// only its own field of the report.
#[derive(Debug)]
pub struct Facts {
    /// `gitVersion` of the API server.
    pub version: GitVersion,
    /// The UID of the namespace kube-system.
    pub cluster: Uuid,
    /// Roles and OS of all nodes.
    pub nodes: Tally,
    /// The CNI, or why it is not known.
    pub cni: Result<Cni, Error>,
}

/// Reads the cluster.
pub fn gather(api: &Api) -> Result<Facts, Error> {
    Ok(Facts {
        version: api.version()?,
        cluster: api.cluster_uid()?,
        nodes: api.nodes()?,
        cni: cni(api),
    })
}

/// Looks for the DaemonSets of the tables; only where no primary one exists can it be K3s' flannel,
/// which has none.
fn cni(api: &Api) -> Result<Cni, Error> {
    let primary = first(api, cni::PRIMARY)?;
    let meta = first(api, cni::META)?;
    if primary.is_none() && api.nodes_show_flannel()? {
        return Ok(Cni::embedded_flannel(meta));
    }
    Ok(Cni::new(meta, primary))
}

/// The first row that exists. One that may not be read is passed over, so that RBAC which is older than
/// the table still finds what it names; but where nothing else is found either, it may be the one.
fn first(api: &Api, table: &'static [DaemonSet]) -> Result<Option<&'static DaemonSet>, Error> {
    let mut refused = None;
    for row in table {
        match api.has_daemonset(row) {
            Ok(true) => return Ok(Some(row)),
            Ok(false) => {}
            Err(error @ Error::Status { status: 403, .. }) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(None), Err)
}
