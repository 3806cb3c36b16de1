//! Holds the facts of a cluster from which a report is made.

use std::collections::BTreeMap;

use super::cni::Cni;
use super::os::Os;
use crate::error::Error;
use crate::kube::nodes::Node;
use crate::kube::types::{GitVersion, NamespaceMeta};

/// Every fact is required except the CNI; if that is unknown, only its field is omitted.
#[derive(Debug)]
pub struct Facts {
    /// `gitVersion` of the API server.
    pub version: GitVersion,
    /// UID and creation time of the namespace `kube-system`, which identify and date the cluster.
    pub kube_system: NamespaceMeta,
    /// Roles and OS of all nodes.
    pub nodes: Tally,
    /// The CNI, or the error that prevents reading it.
    pub cni: Result<Cni, Error>,
}

/// The counts of nodes, by role and by OS.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Nodes that run `rke2 server` or `k3s server`: control plane, etcd or both.
    pub servers: u64,
    /// All other nodes.
    pub agents: u64,
    by_os: BTreeMap<Os, OsCount>,
}

/// The counts of nodes with one OS. The OS with the greatest counts is that of the cluster.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct OsCount {
    nodes: u64,
    servers: u64,
}

impl Tally {
    /// Returns the number of all nodes.
    pub fn nodes(&self) -> u64 {
        self.servers + self.agents
    }

    /// Returns the OS of most nodes; ties go to the OS of more servers, then to the first in the
    /// alphabet. Returns `None` if there are no nodes.
    pub fn os(&self) -> Option<Os> {
        let by_os = self.by_os.iter();
        let most = by_os.max_by(|(a_os, a), (b_os, b)| a.cmp(b).then(b_os.cmp(a_os)));
        most.map(|(os, _)| *os)
    }
}

impl Extend<Node> for Tally {
    fn extend<I: IntoIterator<Item = Node>>(&mut self, nodes: I) {
        for node in nodes {
            let os = self.by_os.entry(Os::of(&node.os_image)).or_default();
            let server = u64::from(node.is_server);
            os.nodes += 1;
            os.servers += server;
            self.servers += server;
            self.agents += 1 - server;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::nodes;

    /// Counts nodes, each given by a bool (true for a server) and its osImage.
    fn tally(nodes: &[(bool, &str)]) -> Tally {
        let row = |(server, image): &(bool, &str)| {
            let role = if *server { "etcd" } else { "<none>" };
            serde_json::json!({"cells": [role, image]})
        };
        let rows: Vec<_> = nodes.iter().map(row).collect();
        let columns =
            [serde_json::json!({"name": "Roles"}), serde_json::json!({"name": "OS-Image"})];
        let table =
            serde_json::json!({"kind": "Table", "columnDefinitions": columns, "rows": rows});
        nodes::read(table.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn every_node_is_a_server_or_an_agent() {
        let tally = tally(&[(true, "Ubuntu"), (false, "Ubuntu"), (false, "?")]);
        assert_eq!((tally.servers, tally.agents, tally.nodes()), (1, 2, 3));
    }

    #[test]
    fn the_most_frequent_os_wins_then_that_of_more_servers_then_the_first() {
        for (nodes, os) in [
            (&[][..], None),
            (&[(true, "Ubuntu"), (false, "Wolfi"), (false, "Wolfi")], Some("wolfi")),
            (&[(true, "Ubuntu"), (false, "Debian GNU/Linux")], Some("ubuntu")),
            (&[(false, "Ubuntu"), (false, "Debian GNU/Linux")], Some("debian")),
            (&[(true, "?"), (true, "Windows"), (false, "?")], Some("other")),
        ] {
            assert_eq!(tally(nodes).os().map(Os::id), os, "{nodes:?}");
        }
    }
}
