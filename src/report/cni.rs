//! Maps DaemonSets to CNIs with a closed table. The names of the CNIs are those of RKE2's option
//! `cni:`.
//!
//! Whole names are compared, so that a helper with a similar name (`cilium-envoy`,
//! `calico-node-windows`, `whereabouts`) never counts. RBAC names the same DaemonSets one by one:
//! `deploy/chart` repeats this table, and a test compares the two.

use std::fmt;

use crate::kube::DaemonSetName;

/// A DaemonSet that shows which CNI a cluster runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Row {
    /// The CNI, as it is sent.
    pub cni: &'static str,
    /// The DaemonSet that this CNI runs.
    pub daemonset: DaemonSetName,
}

/// All names of the DaemonSet of Multus, which calls another CNI. The first three are those of
/// RKE2's chart, newest first; upstream also uses the third. The last two are those of the same
/// chart if it is installed on K3s as `multus`.
pub const META: &[Row] = &[
    row("multus", "kube-system", "rke2-multus"),
    row("multus", "kube-system", "rke2-multus-ds"),
    row("multus", "kube-system", "kube-multus-ds"),
    row("multus", "kube-system", "multus"),
    row("multus", "kube-system", "multus-ds"),
];

/// All other CNIs. The first row that exists decides: on EKS and AKS the cloud's CNI precedes a
/// Calico or Cilium that only enforces network policies. To add a CNI, add its row here and its
/// name to `deploy/chart/templates/rbac.yaml`, then run `just manifest`.
pub const PRIMARY: &[Row] = &[
    row("canal", "kube-system", "rke2-canal"),
    row("aws-vpc-cni", "kube-system", "aws-node"),
    row("azure-cni", "kube-system", "azure-cns"),
    row("calico", "calico-system", "calico-node"),
    row("cilium", "kube-system", "cilium"),
    row("flannel", "kube-system", "kube-flannel-ds"),
    row("flannel", "kube-flannel", "kube-flannel-ds"),
    row("canal", "kube-system", "canal"),
    row("calico", "kube-system", "calico-node"),
    row("antrea", "kube-system", "antrea-agent"),
    row("weave", "kube-system", "weave-net"),
    row("kube-ovn", "kube-system", "kube-ovn-cni"),
    row("ovn-kubernetes", "ovn-kubernetes", "ovnkube-node"),
    row("ovn-kubernetes", "openshift-ovn-kubernetes", "ovnkube-node"),
    row("cilium", "cilium", "cilium"),
    row("cilium", "cilium-system", "cilium"),
    // GKE's Dataplane V2 is Cilium.
    row("cilium", "kube-system", "anetd"),
    row("kindnet", "kube-system", "kindnet"),
    row("kube-router", "kube-system", "kube-router"),
    row("kilo", "kube-system", "kilo"),
];

/// CNIs that may also run in addition to flannel, only for BGP, network policies or encryption.
/// Their DaemonSets have the same names in both cases.
const ALSO_WITH_FLANNEL: [&str; 2] = ["kilo", "kube-router"];

/// The CNI of a cluster, in words of the tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cni {
    meta: Option<&'static str>,
    primary: Option<&'static str>,
}

impl Cni {
    /// Combines the rows found in the two tables. `flannel` is true if the nodes show flannel,
    /// which K3s runs inside its own process. The CNI is `unknown` if nothing was found.
    pub fn new(meta: Option<&Row>, primary: Option<&Row>, flannel: bool) -> Self {
        let embedded = flannel && Self::may_be_flannel(primary);
        Self {
            meta: meta.map(|row| row.cni),
            primary: if embedded { Some("flannel") } else { primary.map(|row| row.cni) },
        }
    }

    /// Returns true if flannel is the CNI of a cluster with this DaemonSet whose nodes carry
    /// flannel's annotation.
    pub fn may_be_flannel(primary: Option<&Row>) -> bool {
        primary.is_none_or(|row| ALSO_WITH_FLANNEL.contains(&row.cni))
    }
}

impl fmt::Display for Cni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(meta) = self.meta {
            write!(f, "{meta},")?;
        }
        f.write_str(self.primary.unwrap_or("unknown"))
    }
}

const fn row(cni: &'static str, namespace: &'static str, name: &'static str) -> Row {
    Row { cni, daemonset: DaemonSetName { namespace, name } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cni_is_written_as_in_rke2s_option() {
        let (multus, canal) = (Some(&META[0]), Some(&PRIMARY[0]));
        let row = |cni| PRIMARY.iter().find(|row| row.cni == cni);
        let (router, kilo) = (row("kube-router"), row("kilo"));
        for (meta, primary, flannel, text) in [
            (None, canal, false, "canal"),
            (None, canal, true, "canal"),
            (multus, canal, false, "multus,canal"),
            (None, None, false, "unknown"),
            (multus, None, false, "multus,unknown"),
            (None, None, true, "flannel"),
            (multus, None, true, "multus,flannel"),
            (None, router, false, "kube-router"),
            (None, router, true, "flannel"),
            (None, kilo, false, "kilo"),
            (None, kilo, true, "flannel"),
        ] {
            assert_eq!(Cni::new(meta, primary, flannel).to_string(), text);
        }
    }

    #[test]
    fn only_some_cnis_may_really_be_flannel() {
        for row in PRIMARY {
            assert_eq!(
                Cni::may_be_flannel(Some(row)),
                ["kilo", "kube-router"].contains(&row.cni),
                "{row:?}"
            );
        }
        assert!(Cni::may_be_flannel(None));
    }

    #[test]
    fn no_daemonset_is_listed_twice() {
        let rows: Vec<_> = META.iter().chain(PRIMARY).collect();
        for (i, a) in rows.iter().enumerate() {
            assert!(rows[i + 1..].iter().all(|b| a.daemonset != b.daemonset), "{a:?}");
        }
    }

    #[test]
    fn helpers_with_similar_names_are_not_in_the_tables() {
        for name in [
            "calico-node-windows",
            "cilium-envoy",
            "cilium-node-init",
            "csi-node-driver",
            "kube-proxy",
            "whereabouts",
        ] {
            assert!(META.iter().chain(PRIMARY).all(|row| row.daemonset.name != name));
        }
    }
}
