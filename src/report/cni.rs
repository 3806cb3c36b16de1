//! The closed table of CNIs: namespace and name of a DaemonSet → the CNI, in the notation of RKE2's
//! own `cni:`.
//!
//! Names are compared whole, so that a helper whose name merely begins like it (`cilium-envoy`,
//! `calico-node-windows`, `whereabouts`) never counts. RBAC names the same DaemonSets one by one:
//! `deploy/chart` repeats this table, and a test keeps them equal.

use std::fmt;

use crate::kube::DaemonSetName;

/// A DaemonSet that shows which CNI a cluster runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Row {
    /// What its presence means, as it is sent.
    pub cni: &'static str,
    /// The DaemonSet.
    pub daemonset: DaemonSetName,
}

/// Multus, which calls another CNI and so stands in front of it, under all its names: those of
/// RKE2's chart from 2023-08 on, before that, and before that, which is also the upstream's; and
/// those of the same chart installed on K3s as `multus`.
pub const META: &[Row] = &[
    row("multus", "kube-system", "rke2-multus"),
    row("multus", "kube-system", "rke2-multus-ds"),
    row("multus", "kube-system", "kube-multus-ds"),
    row("multus", "kube-system", "multus"),
    row("multus", "kube-system", "multus-ds"),
];

/// Where two of these run side by side, the earlier one is the answer: on EKS and AKS the cloud's
/// CNI comes before a Calico or Cilium that only enforces its policies. To add a CNI, add its row
/// here and its name to `deploy/chart/templates/rbac.yaml`, then run `just manifest`.
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

/// CNIs that may also run beside flannel, for BGP, network policies or encryption alone. Their
/// DaemonSets have the same name then.
const BESIDE_FLANNEL: [&str; 2] = ["kilo", "kube-router"];

/// The CNI of a cluster: words of the tables only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cni {
    meta: Option<&'static str>,
    primary: Option<&'static str>,
}

impl Cni {
    /// Puts together what was found of the two tables, and whether the nodes show flannel, which
    /// K3s runs inside its own process. Nothing found is `unknown`.
    pub fn new(meta: Option<&Row>, primary: Option<&Row>, flannel: bool) -> Self {
        let embedded = flannel && Self::may_be_flannel(primary);
        Self {
            meta: meta.map(|row| row.cni),
            primary: if embedded {
                Some("flannel")
            } else {
                primary.map(|row| row.cni)
            },
        }
    }

    /// Whether it matters that the nodes show flannel.
    pub fn may_be_flannel(primary: Option<&Row>) -> bool {
        primary.is_none_or(|row| BESIDE_FLANNEL.contains(&row.cni))
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
    Row {
        cni,
        daemonset: DaemonSetName { namespace, name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_that_of_rke2() {
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
    fn only_where_it_matters_are_the_nodes_asked_for_flannel() {
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
    fn a_daemonset_stands_once_in_the_tables() {
        let rows: Vec<_> = META.iter().chain(PRIMARY).collect();
        for (i, a) in rows.iter().enumerate() {
            assert!(
                rows[i + 1..].iter().all(|b| a.daemonset != b.daemonset),
                "{a:?}"
            );
        }
    }

    #[test]
    fn helpers_that_carry_the_name_are_not_in_the_tables() {
        for name in [
            "calico-node-windows",
            "cilium-envoy",
            "cilium-node-init",
            "csi-node-driver",
            "kube-proxy",
            "whereabouts",
        ] {
            assert!(
                META.iter()
                    .chain(PRIMARY)
                    .all(|row| row.daemonset.name != name)
            );
        }
    }
}
