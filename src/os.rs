//! The closed table of operating systems: a node's osImage → the `ID` of that distribution's os-release.
//!
//! osImage is the free text of `PRETTY_NAME`; anybody can put anything there. Only a word of this table
//! leaves the cluster, and `other` for what is not in it.

use std::fmt;

/// What osImage begins with → the os-release `ID`, in lower case. The longest beginning decides, so the
/// order is free. To add one, add its line here and its osImage to the test below.
const TABLE: &[(&str, &str)] = &[
    ("AlmaLinux", "almalinux"),
    ("Alpine Linux", "alpine"),
    ("Amazon Linux", "amzn"),
    ("Arch Linux", "arch"),
    ("Arch Linux ARM", "archarm"),
    ("Bottlerocket OS", "bottlerocket"),
    ("Buildroot", "buildroot"),
    ("CBL-Mariner", "mariner"),
    ("CentOS", "centos"),
    ("Clear Linux OS", "clear-linux-os"),
    ("Container-Optimized OS from Google", "cos"),
    ("Debian GNU", "debian"),
    ("Fedora", "fedora"),
    ("Flatcar Container Linux", "flatcar"),
    ("Gentoo", "gentoo"),
    ("Harvester", "sle-micro-rancher"),
    ("Huawei Cloud EulerOS", "hce"),
    ("K3s", "k3s"),
    ("Kali GNU", "kali"),
    ("Linux Mint", "linuxmint"),
    ("Manjaro Linux", "manjaro"),
    ("Microsoft Azure Linux", "azurelinux"),
    ("NixOS", "nixos"),
    ("Oracle Linux Server", "ol"),
    ("Pop!_OS", "pop"),
    ("RancherOS", "rancheros"),
    ("Raspbian GNU", "raspbian"),
    ("Red Hat Enterprise Linux", "rhel"),
    ("Red Hat Enterprise Linux CoreOS", "rhcos"),
    ("Rocky Linux", "rocky"),
    ("SLE Micro for Rancher", "sle-micro-rancher"),
    ("SUSE Linux Enterprise Micro", "sle-micro"),
    ("SUSE Linux Enterprise Micro 5.0", "suse-microos"),
    ("SUSE Linux Enterprise Micro 5.1", "suse-microos"),
    ("SUSE Linux Enterprise Micro 5.2", "suse-microos"),
    (
        "SUSE Linux Enterprise Micro for Rancher",
        "sle-micro-rancher",
    ),
    ("SUSE Linux Enterprise Server", "sles"),
    (
        "SUSE Linux Enterprise Server for SAP Applications",
        "sles_sap",
    ),
    ("SUSE Linux Micro", "sl-micro"),
    ("Scientific Linux", "scientific"),
    ("Talos", "talos"),
    ("Ubuntu", "ubuntu"),
    ("VMware Photon", "photon"),
    ("Wind River Linux", "wrlinux"),
    ("Windows", "windows"),
    ("Wolfi", "wolfi"),
    ("k3OS", "k3os"),
    ("openEuler", "openeuler"),
    ("openSUSE Leap", "opensuse-leap"),
    ("openSUSE Leap 42", "opensuse"),
    ("openSUSE Leap Micro", "opensuse-leap-micro"),
    ("openSUSE MicroOS", "opensuse-microos"),
    ("openSUSE Tumbleweed", "opensuse-tumbleweed"),
];

/// One operating system of the table, or `other`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Os(&'static str);

impl Os {
    /// Every osImage that the table does not know.
    pub const OTHER: Self = Self("other");

    /// Looks up a node's `status.nodeInfo.osImage`.
    #[must_use]
    pub fn of(os_image: &str) -> Self {
        // The kubelet strips double quotes from PRETTY_NAME, but not single ones.
        let image = os_image.trim_matches(['\'', ' ']);
        // The first byte tells nearly all of them apart, and this is done for every node.
        let first = image.bytes().next();
        TABLE
            .iter()
            .filter(|(beginning, _)| beginning.bytes().next() == first)
            .filter(|(beginning, _)| begins_with_words(image, beginning))
            .max_by_key(|(beginning, _)| beginning.len())
            .map_or(Self::OTHER, |(_, id)| Self(id))
    }

    /// The id, as it is sent.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.0
    }

    /// Every id that can be sent.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(_, id)| Self(id)).chain([Self::OTHER])
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether `image` begins with `words` and does not merely continue the last one: `Ubuntuish 1` is not
/// Ubuntu, while `CentOS`, `CentOS Linux 7`, `Debian GNU/Linux` and `openSUSE Leap 42.3` are theirs.
fn begins_with_words(image: &str, words: &str) -> bool {
    image
        .strip_prefix(words)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '/', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_os_image_has_its_id() {
        for (image, id) in [
            ("AlmaLinux 9.6 (Sage Margay)", "almalinux"),
            ("Alpine Linux v3.20", "alpine"),
            ("Amazon Linux 2", "amzn"),
            ("Amazon Linux 2023.8.20250915", "amzn"),
            ("Amazon Linux AMI 2018.03", "amzn"),
            ("Arch Linux", "arch"),
            ("Arch Linux ARM", "archarm"),
            ("Bottlerocket OS 1.26.1 (aws-k8s-1.31)", "bottlerocket"),
            ("Buildroot 2019.02.9", "buildroot"),
            ("CBL-Mariner/Linux", "mariner"),
            ("CentOS Linux 7 (Core)", "centos"),
            ("CentOS Stream 9", "centos"),
            ("Clear Linux OS", "clear-linux-os"),
            ("Container-Optimized OS from Google", "cos"),
            ("Debian GNU/Linux 12 (bookworm)", "debian"),
            ("Debian GNU/Linux trixie/sid", "debian"),
            ("Fedora CoreOS 40.20240504.3.0", "fedora"),
            ("Fedora Linux 40 (Server Edition)", "fedora"),
            (
                "Flatcar Container Linux by Kinvolk 4459.0.0 (Oklo)",
                "flatcar",
            ),
            ("Gentoo Linux", "gentoo"),
            ("Gentoo/Linux", "gentoo"),
            ("Harvester v1.1.0", "sle-micro-rancher"),
            ("Huawei Cloud EulerOS 2.0 (x86_64)", "hce"),
            ("K3s v1.28.6-rc2+k3s1", "k3s"),
            ("K3s dev", "k3s"),
            ("Kali GNU/Linux Rolling", "kali"),
            ("Linux Mint 22", "linuxmint"),
            ("Manjaro Linux", "manjaro"),
            ("Microsoft Azure Linux 3.0", "azurelinux"),
            ("NixOS 25.05 (Warbler)", "nixos"),
            ("Oracle Linux Server 9.5", "ol"),
            ("Pop!_OS 22.04 LTS", "pop"),
            ("RancherOS v1.4.0", "rancheros"),
            ("Raspbian GNU/Linux 11 (bullseye)", "raspbian"),
            ("Red Hat Enterprise Linux 9.6 (Plow)", "rhel"),
            (
                "Red Hat Enterprise Linux CoreOS 415.92.202402130021-0 (Plow)",
                "rhcos",
            ),
            ("Red Hat Enterprise Linux Server 7.5 (Maipo)", "rhel"),
            ("Rocky Linux 9.5 (Blue Onyx)", "rocky"),
            ("SLE Micro for Rancher 5.4", "sle-micro-rancher"),
            ("SUSE Linux Enterprise Micro 5.1", "suse-microos"),
            ("SUSE Linux Enterprise Micro 5.5", "sle-micro"),
            (
                "SUSE Linux Enterprise Micro for Rancher 5.4",
                "sle-micro-rancher",
            ),
            ("SUSE Linux Enterprise Server 15 SP7", "sles"),
            ("SUSE Linux Enterprise Server 16.0", "sles"),
            (
                "SUSE Linux Enterprise Server for SAP Applications 12 SP5",
                "sles_sap",
            ),
            ("SUSE Linux Micro 6.1", "sl-micro"),
            ("Scientific Linux 7.5 (Nitrogen)", "scientific"),
            ("Talos (v1.11.2)", "talos"),
            ("Ubuntu 22.04.5 LTS", "ubuntu"),
            ("Ubuntu 25.10", "ubuntu"),
            ("VMware Photon OS/Linux", "photon"),
            ("VMware Photon/Linux", "photon"),
            ("Wind River Linux 7.0.0.2", "wrlinux"),
            ("Windows Server 2022 Datacenter", "windows"),
            ("Wolfi", "wolfi"),
            ("k3OS v0.21.5", "k3os"),
            ("openEuler 24.03 (LTS-SP2)", "openeuler"),
            ("openSUSE Leap 15.6", "opensuse-leap"),
            ("openSUSE Leap 42.3", "opensuse"),
            ("openSUSE Leap Micro 6.2", "opensuse-leap-micro"),
            ("openSUSE MicroOS", "opensuse-microos"),
            ("openSUSE Tumbleweed", "opensuse-tumbleweed"),
            ("'Ubuntu 24.04.4 LTS'", "ubuntu"),
        ] {
            assert_eq!(Os::of(image).id(), id, "{image}");
        }
    }

    #[test]
    fn a_name_outside_the_table_is_other() {
        for image in [
            "",
            "<unknown>",
            "Linux",
            "LayerSentry 1.0",
            "acme-canary appliance (Ubuntu 22.04)",
            "Ubuntuish 1",
            "Ubuntu-acme 22.04",
            "ubuntu 22.04",
        ] {
            assert_eq!(Os::of(image), Os::OTHER, "{image}");
        }
    }

    #[test]
    fn a_beginning_stands_once_in_the_table() {
        for (i, (beginning, _)) in TABLE.iter().enumerate() {
            assert!(
                TABLE[i + 1..].iter().all(|(b, _)| b != beginning),
                "{beginning}"
            );
        }
    }
}
