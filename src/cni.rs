//! The closed table of CNIs: a DaemonSet's namespace and name → the CNI, in RKE2's own `cni:` notation.
//!
//! Names are compared whole, so that a helper which merely carries the name (`cilium-envoy`,
//! `calico-node-windows`, `whereabouts`) never counts. RBAC names the same DaemonSets one by one:
//! `deploy/chart` repeats this table, and a test holds them equal.

use std::fmt;

/// A DaemonSet that shows which CNI a cluster runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DaemonSet {
    /// What its presence means, as it is sent.
    pub cni: &'static str,
    /// `metadata.namespace`.
    pub namespace: &'static str,
    /// `metadata.name`.
    pub name: &'static str,
}

impl DaemonSet {
    /// Where the API has it.
    #[must_use]
    pub fn path(&self) -> String {
        let Self {
            namespace, name, ..
        } = self;
        format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
    }
}

/// Multus under its three names: RKE2's charts from 2023-08, those before, and those before them, which
/// is also upstream's. It calls another CNI and so stands in front of it.
pub const META: &[DaemonSet] = &[
    row("multus", "kube-system", "rke2-multus"),
    row("multus", "kube-system", "rke2-multus-ds"),
    row("multus", "kube-system", "kube-multus-ds"),
];

/// Where two of these run side by side, the earlier one is the answer: on EKS and AKS the cloud's CNI
/// comes before a Calico or Cilium that only enforces its policies, and kube-router comes last because
/// its policy-only installation has the same name. To add a CNI, add its line here and its name to
/// `deploy/chart/templates/rbac.yaml`, then run `just manifest`.
pub const PRIMARY: &[DaemonSet] = &[
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
    // GKE's Dataplane V2 is Cilium.
    row("cilium", "kube-system", "anetd"),
    row("kindnet", "kube-system", "kindnet"),
    row("kube-router", "kube-system", "kube-router"),
];

/// The CNI of a cluster: words of the table only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cni {
    meta: Option<&'static str>,
    primary: Option<&'static str>,
}

impl Cni {
    /// Puts together what was found of the two tables; nothing found is `unknown`.
    #[must_use]
    pub fn new(meta: Option<&DaemonSet>, primary: Option<&DaemonSet>) -> Self {
        Self {
            meta: meta.map(|daemonset| daemonset.cni),
            primary: primary.map(|daemonset| daemonset.cni),
        }
    }

    /// flannel inside the K3s process.
    #[must_use]
    pub fn embedded_flannel(meta: Option<&DaemonSet>) -> Self {
        Self {
            primary: Some("flannel"),
            ..Self::new(meta, None)
        }
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

const fn row(cni: &'static str, namespace: &'static str, name: &'static str) -> DaemonSet {
    DaemonSet {
        cni,
        namespace,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_that_of_rke2() {
        let (multus, canal) = (&META[0], &PRIMARY[0]);
        for (cni, text) in [
            (Cni::new(None, Some(canal)), "canal"),
            (Cni::new(Some(multus), Some(canal)), "multus,canal"),
            (Cni::new(None, None), "unknown"),
            (Cni::new(Some(multus), None), "multus,unknown"),
            (Cni::embedded_flannel(None), "flannel"),
            (Cni::embedded_flannel(Some(multus)), "multus,flannel"),
        ] {
            assert_eq!(cni.to_string(), text);
        }
    }

    #[test]
    fn a_daemonset_stands_once_in_the_tables() {
        let rows: Vec<_> = META.iter().chain(PRIMARY).collect();
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                assert!((a.namespace, a.name) != (b.namespace, b.name), "{a:?}");
            }
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
            assert!(META.iter().chain(PRIMARY).all(|row| row.name != name));
        }
    }
}
