//! Maps the osImage of a node to the os-release `ID` of its distribution, with a closed table.
//!
//! The kubelet copies osImage from `PRETTY_NAME` of os-release, which is free text. Only the words
//! of this table leave the cluster; any other osImage is sent as `other`.

/// The beginnings of osImage, each with its os-release `ID`, sorted by bytes (capitals first). To
/// add an OS, add its row here and its osImage to the test below.
const TABLE: &[(&str, &str)] = &[
    ("Alibaba Cloud Linux", "alinux"),
    ("AlmaLinux", "almalinux"),
    ("Alpine Linux", "alpine"),
    ("Amazon Linux", "amzn"),
    ("Anolis OS", "anolis"),
    ("Arch Linux", "arch"),
    ("Arch Linux ARM", "archarm"),
    // Armbian and Orange Pi's images replace only PRETTY_NAME: the ID in their os-release stays
    // `debian` or `ubuntu`. Builders of Armbian may use names such as Armbian_community or
    // Armbian-unofficial.
    ("Armbian", "armbian"),
    ("Armbian-", "armbian"),
    ("Armbian_", "armbian"),
    ("Bottlerocket", "bottlerocket"),
    ("Buildroot", "buildroot"),
    ("CBL-Mariner", "mariner"),
    ("CentOS", "centos"),
    ("Clear Linux OS", "clear-linux-os"),
    ("Container-Optimized OS from Google", "cos"),
    ("Debian GNU", "debian"),
    ("EulerOS", "euleros"),
    ("Fedora", "fedora"),
    ("Flatcar Container Linux", "flatcar"),
    ("Garden Linux", "gardenlinux"),
    ("Gentoo", "gentoo"),
    ("Hadron Linux", "hadron"),
    ("Harvester", "sle-micro-rancher"),
    ("Huawei Cloud EulerOS", "hce"),
    ("K3s", "k3s"),
    ("Kali GNU", "kali"),
    ("Kylin", "kylin"),
    ("Linux Mint", "linuxmint"),
    ("Manjaro ARM", "manjaro-arm"),
    ("Manjaro Linux", "manjaro"),
    ("Microsoft Azure Linux", "azurelinux"),
    ("NixOS", "nixos"),
    ("Oracle Linux Server", "ol"),
    ("Orange Pi", "orangepi"),
    ("Pop!_OS", "pop"),
    ("RED OS", "redos"),
    ("Rancher Desktop WSL Distribution", "rancher-desktop-wsl-distro"),
    ("RancherOS", "rancheros"),
    ("Raspbian GNU", "raspbian"),
    ("Red Hat Enterprise Linux", "rhel"),
    ("Red Hat Enterprise Linux CoreOS", "rhcos"),
    ("Rocky Linux", "rocky"),
    ("SLE Micro for Rancher", "sle-micro-rancher"),
    ("SUSE Linux Enterprise High Performance Computing", "sle_hpc"),
    ("SUSE Linux Enterprise Micro", "sle-micro"),
    ("SUSE Linux Enterprise Micro 5.0", "suse-microos"),
    ("SUSE Linux Enterprise Micro 5.1", "suse-microos"),
    ("SUSE Linux Enterprise Micro 5.2", "suse-microos"),
    ("SUSE Linux Enterprise Micro for Rancher", "sle-micro-rancher"),
    ("SUSE Linux Enterprise Server", "sles"),
    ("SUSE Linux Enterprise Server for SAP Applications", "sles_sap"),
    ("SUSE Linux Micro", "sl-micro"),
    ("Scientific Linux", "scientific"),
    ("Talos", "talos"),
    ("TencentOS Server", "tencentos"),
    ("UOS", "uos"),
    ("Ubuntu", "ubuntu"),
    ("Ubuntu Core", "ubuntu-core"),
    ("UnionTech OS", "uos"),
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
    /// Any osImage that is not in the table.
    pub const OTHER: Self = Self("other");

    /// Looks up `status.nodeInfo.osImage` of a node.
    pub fn of(os_image: &str) -> Self {
        // The kubelet strips double quotes from PRETTY_NAME, but not single quotes.
        let image = os_image.trim_matches(['\'', ' ']);
        // Search backwards from where the image would be sorted: the longest prefix is sorted last.
        let after = TABLE.partition_point(|(prefix, _)| *prefix <= image);
        let mut before = TABLE[..after].iter().rev();
        let found = before.find(|(prefix, _)| begins_with_words(image, prefix));
        found.map_or(Self::OTHER, |(_, id)| Self(id))
    }

    /// Returns the id, as it is sent.
    pub fn id(self) -> &'static str {
        self.0
    }

    /// Returns every OS that can be sent.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(_, id)| Self(id)).chain([Self::OTHER])
    }
}

/// Returns true if the image begins with the prefix, and a word ends there: `Ubuntuish 1` is not
/// Ubuntu, but `CentOS Linux 7`, `Debian GNU/Linux` and `openSUSE Leap 42.3` begin with `CentOS`,
/// `Debian GNU` and `openSUSE Leap 42`. After a prefix that ends in `-` or `_`, the word may
/// continue.
fn begins_with_words(image: &str, prefix: &str) -> bool {
    image.strip_prefix(prefix).is_some_and(|rest| {
        prefix.ends_with(['-', '_']) || rest.is_empty() || rest.starts_with([' ', '/', '.'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The osImage of real nodes, and names from the os-release files of real machines.
    const OS_IMAGES: &[(&str, &str)] = &[
        ("AlmaLinux 9.6 (Sage Margay)", "almalinux"),
        ("Alpine Linux v3.20", "alpine"),
        ("Amazon Linux 2", "amzn"),
        ("Amazon Linux 2023.8.20250915", "amzn"),
        ("Amazon Linux AMI 2018.03", "amzn"),
        ("Arch Linux", "arch"),
        ("Arch Linux ARM", "archarm"),
        ("Bottlerocket OS 1.26.1 (aws-k8s-1.31)", "bottlerocket"),
        ("Bottlerocket (EKS Auto, Standard) 2025.12.5 (aws-k8s-1.34-standard)", "bottlerocket"),
        ("Alibaba Cloud Linux 3.2104 U12 (OpenAnolis Edition)", "alinux"),
        ("Anolis OS 8.9", "anolis"),
        ("Armbian 25.8.1 bookworm", "armbian"),
        ("Armbian-bpi-SpacemiT 24.5.0-trunk mantic", "armbian"),
        ("Armbian-unofficial 24.11.0 Bookworm", "armbian"),
        ("Armbian-unofficial 26.5.2 trixie", "armbian"),
        ("Armbian_Security 24.8.0 bookworm", "armbian"),
        ("Armbian_community 26.2.0-trunk.18 trixie", "armbian"),
        ("EulerOS 2.0 (SP12)", "euleros"),
        ("Garden Linux 1877.3", "gardenlinux"),
        ("Hadron Linux v0.0.1", "hadron"),
        ("Kylin Linux Advanced Server V10 (Lance)", "kylin"),
        ("Kylin V10 SP1", "kylin"),
        ("RED OS MUROM (7.3)", "redos"),
        ("Rancher Desktop WSL Distribution", "rancher-desktop-wsl-distro"),
        ("SUSE Linux Enterprise High Performance Computing 15 SP5", "sle_hpc"),
        ("TencentOS Server 4.2", "tencentos"),
        ("UOS Server 20", "uos"),
        ("Ubuntu Core 24", "ubuntu-core"),
        ("UnionTech OS Server 20", "uos"),
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
        ("Flatcar Container Linux by Kinvolk 4459.0.0 (Oklo)", "flatcar"),
        ("Gentoo Linux", "gentoo"),
        ("Gentoo/Linux", "gentoo"),
        ("Harvester v1.1.0", "sle-micro-rancher"),
        ("Huawei Cloud EulerOS 2.0 (x86_64)", "hce"),
        ("K3s v1.28.6-rc2+k3s1", "k3s"),
        ("K3s dev", "k3s"),
        ("Kali GNU/Linux Rolling", "kali"),
        ("Linux Mint 22", "linuxmint"),
        ("Manjaro ARM", "manjaro-arm"),
        ("Manjaro Linux", "manjaro"),
        ("Microsoft Azure Linux 3.0", "azurelinux"),
        ("NixOS 25.05 (Warbler)", "nixos"),
        ("Oracle Linux Server 9.5", "ol"),
        ("Orange Pi 1.0.0 Noble", "orangepi"),
        ("Orange Pi 1.0.0 Trixie", "orangepi"),
        ("Pop!_OS 22.04 LTS", "pop"),
        ("RancherOS v1.4.0", "rancheros"),
        ("Raspbian GNU/Linux 11 (bullseye)", "raspbian"),
        ("Red Hat Enterprise Linux 9.6 (Plow)", "rhel"),
        ("Red Hat Enterprise Linux CoreOS 415.92.202402130021-0 (Plow)", "rhcos"),
        ("Red Hat Enterprise Linux Server 7.5 (Maipo)", "rhel"),
        ("Rocky Linux 9.5 (Blue Onyx)", "rocky"),
        ("SLE Micro for Rancher 5.4", "sle-micro-rancher"),
        ("SUSE Linux Enterprise Micro 5.1", "suse-microos"),
        ("SUSE Linux Enterprise Micro 5.5", "sle-micro"),
        ("SUSE Linux Enterprise Micro for Rancher 5.4", "sle-micro-rancher"),
        ("SUSE Linux Enterprise Server 15 SP7", "sles"),
        ("SUSE Linux Enterprise Server 16.0", "sles"),
        ("SUSE Linux Enterprise Server for SAP Applications 12 SP5", "sles_sap"),
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
    ];

    #[test]
    fn every_known_os_image_has_its_id() {
        for (image, id) in OS_IMAGES {
            assert_eq!(Os::of(image).id(), *id, "{image}");
        }
    }

    #[test]
    fn a_name_outside_the_table_is_other() {
        for image in [
            "",
            "<unknown>",
            "Linux",
            "LayerSentry 1.0",
            // Virtual nodes, and desktops that run Kubernetes.
            "Docker Desktop",
            "Fake Kubernetes Image",
            "OrbStack",
            "kwok",
            "acme-canary appliance (Ubuntu 22.04)",
            "Ubuntuish 1",
            "Ubuntu-acme 22.04",
            "ubuntu 22.04",
            "Armbianish 1",
            "Orange OS LE 1.0.0 alpha (Genesis)",
        ] {
            assert_eq!(Os::of(image), Os::OTHER, "{image}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_has_no_duplicates() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{pair:?}");
        }
    }
}
