//! Defines the report that leaves the cluster, field by field.
//!
//! An upgrade-responder takes strings as tags, and strings or numbers as fields; it refuses a
//! report with a number as a tag. No other module contains the keys.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::facts::Facts;
use super::os::Os;
use crate::error::Error;
use crate::kube::types::NamespaceMeta;

/// The description of a field, for people.
#[derive(Debug)]
pub struct Field {
    /// The key in the report.
    pub key: &'static str,
    /// The request that reads it.
    pub read_from: &'static str,
    /// The purpose: a question that the field answers.
    pub purpose: &'static str,
}

/// The description of every field, in the order of the report.
pub const FIELDS: [Field; 8] = [
    field("appVersion", "GET /version", "which releases are in use, and which can be retired"),
    field("kubernetesVersion", "GET /version", "which Kubernetes versions still need fixes"),
    field("clusteruuid", "GET /api/v1/namespaces/kube-system", "counting each cluster only once"),
    field("nodeCount", "GET /api/v1/nodes", "which cluster sizes to test"),
    field("serverNodeCount", "GET /api/v1/nodes", "how many clusters are highly available"),
    field("agentNodeCount", "GET /api/v1/nodes", "how many workers depend on one control plane"),
    field("cni-plugin", "GET .../daemonsets/NAME", "which network plugins to test a release with"),
    field("os", "GET /api/v1/nodes", "which operating systems to test a release on"),
];

const fn field(key: &'static str, read_from: &'static str, purpose: &'static str) -> Field {
    Field { key, read_from, purpose }
}

/// A report. Its only strings are a version, a UUID and words of this repository's tables.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload<'a> {
    /// The version of the distribution as its builder named it, such as `v1.36.2+rke2r1`.
    app_version: &'a str,
    extra_tag_info: Tags<'a>,
    extra_field_info: Fields,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tags<'a> {
    /// The version of Kubernetes, which is the part before the `+`: `v1.36.2`.
    kubernetes_version: &'a str,
    /// The UID of the namespace `kube-system`, so that a cluster is counted once. It is random, but
    /// a pseudonym, since it is the same in every report of a cluster.
    clusteruuid: Uuid,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    /// The number of nodes.
    node_count: u64,
    /// The number of nodes that run `rke2 server` or `k3s server`.
    server_node_count: u64,
    /// The number of all other nodes.
    agent_node_count: u64,
    /// A word of the table in `cni.rs`; omitted if the DaemonSets cannot be read.
    #[serde(rename = "cni-plugin", skip_serializing_if = "Option::is_none")]
    cni_plugin: Option<String>,
    /// A word of the table in `os.rs`; omitted if there are no nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<&'static str>,
}

impl Payload<'_> {
    /// Returns the text that is printed and posted.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::write("the report", e))
    }

    /// Returns the same report as a JSON value.
    pub(crate) fn to_value(&self) -> Result<Value, Error> {
        serde_json::to_value(self).map_err(|e| Error::write("the report", e))
    }
}

impl<'a> From<&'a Facts> for Payload<'a> {
    /// Destructures the facts without `..`: a new fact does not compile until somebody decides here
    /// if it leaves the cluster.
    fn from(facts: &'a Facts) -> Self {
        let Facts { version, kube_system, nodes, cni } = facts;
        // The creation time is never sent. The grace period counts from it.
        let NamespaceMeta { uid, creation_timestamp: _ } = kube_system;
        Self {
            app_version: version.full(),
            extra_tag_info: Tags { kubernetes_version: version.kubernetes(), clusteruuid: *uid },
            extra_field_info: Fields {
                node_count: nodes.nodes(),
                server_node_count: nodes.servers,
                agent_node_count: nodes.agents,
                cni_plugin: cni.as_ref().ok().map(ToString::to_string),
                os: nodes.os().map(Os::id),
            },
        }
    }
}
