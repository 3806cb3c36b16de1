//! The wire contract: what leaves the cluster, field by field.
//!
//! The tags of an upgrade-responder are strings, its fields may be numbers; a number among the tags
//! costs the whole report. The keys stand here and nowhere else.

use serde::Serialize;
use uuid::Uuid;

use crate::facts::Facts;
use crate::os::Os;

/// What is to be said of a field, for people.
#[derive(Debug)]
pub struct Field {
    /// Its key in the report.
    pub key: &'static str,
    /// The request that it was read with.
    pub read_from: &'static str,
    /// Why it says nothing of a person.
    pub not_personal: &'static str,
}

/// Every field of a report, in its order.
pub const FIELDS: [Field; 8] = [
    Field {
        key: "appVersion",
        read_from: "GET /version",
        not_personal: "the same for all who installed that release",
    },
    Field {
        key: "kubernetesVersion",
        read_from: "GET /version",
        not_personal: "the same for all who run that Kubernetes",
    },
    Field {
        key: "clusteruuid",
        read_from: "GET /api/v1/namespaces/kube-system",
        not_personal: "random; but the same in each report, so a pseudonym of the cluster",
    },
    Field {
        key: "nodeCount",
        read_from: "GET /api/v1/nodes",
        not_personal: "a number",
    },
    Field {
        key: "serverNodeCount",
        read_from: "GET /api/v1/nodes",
        not_personal: "a number",
    },
    Field {
        key: "agentNodeCount",
        read_from: "GET /api/v1/nodes",
        not_personal: "a number",
    },
    Field {
        key: "cni-plugin",
        read_from: "GET .../daemonsets/NAME, one by one",
        not_personal: "a word of a table in this program, whatever is installed",
    },
    Field {
        key: "os",
        read_from: "GET /api/v1/nodes",
        not_personal: "a word of a table in this program, whatever the nodes say",
    },
];

/// One report. Its strings are a version, a UUID and words of this repository's tables.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    /// The version of the distribution, `v1.36.2+rke2r1`: says which builds are in use. The same for
    /// everybody who installed that release.
    app_version: &'a str,
    extra_tag_info: Tags<'a>,
    extra_field_info: Fields,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tags<'a> {
    /// The version of Kubernetes alone, `v1.36.2`: the same for everybody who runs it.
    kubernetes_version: &'a str,
    /// The UID of the namespace kube-system, so that a cluster is counted once. Random, made when the
    /// cluster was; a pseudonym, since it stays the same between reports.
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
    /// A word of the table in `cni.rs`; left out where the API server would not say.
    #[serde(rename = "cni-plugin", skip_serializing_if = "Option::is_none")]
    cni_plugin: Option<String>,
    /// A word of the table in `os.rs`; left out where there are no nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<&'static str>,
}

impl<'a> From<&'a Facts> for Report<'a> {
    /// Takes the facts apart without `..`: a new one does not compile until somebody has decided here
    /// whether it leaves the cluster.
    fn from(facts: &'a Facts) -> Self {
        let Facts {
            version,
            cluster,
            nodes,
            cni,
        } = facts;
        Self {
            app_version: version.full(),
            extra_tag_info: Tags {
                kubernetes_version: version.kubernetes(),
                clusteruuid: *cluster,
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
