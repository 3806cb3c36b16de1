//! The wire contract: what leaves the cluster, field by field.
//!
//! The tags of an upgrade-responder are strings, its fields may be numbers; a number among the tags
//! makes it refuse the whole report. The keys are written here and nowhere else.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::facts::Facts;
use super::os::Os;
use crate::error::Error;
use crate::kube::types::NamespaceMeta;

/// A field of a report, for people.
#[derive(Debug)]
pub struct Field {
    /// Its key in the report.
    pub key: &'static str,
    /// The request that it is read with.
    pub read_from: &'static str,
    /// The question that it answers.
    pub purpose: &'static str,
}

/// Every field of a report, in its order.
pub const FIELDS: [Field; 8] = [
    field(
        "appVersion",
        "GET /version",
        "which releases are in use, and which can be retired",
    ),
    field(
        "kubernetesVersion",
        "GET /version",
        "which Kubernetes versions still need fixes",
    ),
    field(
        "clusteruuid",
        "GET /api/v1/namespaces/kube-system",
        "counting a cluster once, not at every report",
    ),
    field(
        "nodeCount",
        "GET /api/v1/nodes",
        "which cluster sizes to test",
    ),
    field(
        "serverNodeCount",
        "GET /api/v1/nodes",
        "how many clusters are highly available",
    ),
    field(
        "agentNodeCount",
        "GET /api/v1/nodes",
        "how many workers depend on one control plane",
    ),
    field(
        "cni-plugin",
        "GET .../daemonsets/NAME, one by one",
        "which network plugins to test a release with",
    ),
    field(
        "os",
        "GET /api/v1/nodes",
        "which operating systems to test a release on",
    ),
];

const fn field(key: &'static str, read_from: &'static str, purpose: &'static str) -> Field {
    Field {
        key,
        read_from,
        purpose,
    }
}

/// One report. Its strings are a version, a UUID and words of this repository's tables.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload<'a> {
    /// The version of the distribution, `v1.36.2+rke2r1`, as its builder named it: which builds are
    /// in use.
    app_version: &'a str,
    extra_tag_info: Tags<'a>,
    extra_field_info: Fields,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tags<'a> {
    /// The version up to the `+`, `v1.36.2`: that of Kubernetes, without RKE2's own release.
    kubernetes_version: &'a str,
    /// The UID of the namespace `kube-system`, so that a cluster is counted once. Random, made when
    /// the cluster was; a pseudonym, since it stays the same between reports.
    clusteruuid: Uuid,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    /// Number of nodes.
    node_count: u64,
    /// Those that run `rke2 server` or `k3s server`.
    server_node_count: u64,
    /// The others.
    agent_node_count: u64,
    /// A word of the table in `cni.rs`; omitted where the API server does not tell.
    #[serde(rename = "cni-plugin", skip_serializing_if = "Option::is_none")]
    cni_plugin: Option<String>,
    /// A word of the table in `os.rs`; omitted where there are no nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<&'static str>,
}

impl Payload<'_> {
    /// The bytes that are printed and posted.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::write("the report", e))
    }

    /// The same by its keys.
    pub(crate) fn to_value(&self) -> Result<Value, Error> {
        serde_json::to_value(self).map_err(|e| Error::write("the report", e))
    }
}

impl<'a> From<&'a Facts> for Payload<'a> {
    /// Destructures the facts without `..`: a new one does not compile until somebody has decided
    /// here whether it leaves the cluster.
    fn from(facts: &'a Facts) -> Self {
        let Facts {
            version,
            kube_system:
                NamespaceMeta {
                    uid,
                    // Decides when a cluster begins to report, and stays in it.
                    creation_timestamp: _,
                },
            nodes,
            cni,
        } = facts;
        Self {
            app_version: version.full(),
            extra_tag_info: Tags {
                kubernetes_version: version.kubernetes(),
                clusteruuid: *uid,
            },
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
