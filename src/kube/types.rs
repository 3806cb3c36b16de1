//! Defines the JSON objects of the API, with only those fields that the program reads.

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::timestamp::Timestamp;

/// The answer to `GET /version`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) git_version: GitVersion,
}

/// The version of Kubernetes and of the distribution that built it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct GitVersion(String);

impl GitVersion {
    /// Returns the version as the API server gives it: `v1.36.2+rke2r1`.
    pub fn full(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `+`, after which RKE2 and K3s write their release: `v1.36.2`.
    pub fn kubernetes(&self) -> &str {
        self.0.split('+').next().unwrap_or_default()
    }
}

impl TryFrom<String> for GitVersion {
    type Error = &'static str;

    /// Accepts a semantic version with a leading `v`, of up to 64 characters. Unreleased builds of
    /// Kubernetes contain placeholders (`v0.0.0-master+$Format:%H$`). The builder of a distribution
    /// chooses the text after the numbers.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let numbers = core.strip_prefix('v').unwrap_or_default().split('.');
        let numeric = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-+$:%".contains(&b);
        let is_version = numbers.clone().count() == 3
            && numbers.into_iter().all(numeric)
            && text.len() <= 64
            && text.bytes().all(plain);
        is_version.then_some(Self(text)).ok_or("not a version")
    }
}

/// An object of which only some metadata are read: `PartialObjectMetadata` or the whole object.
#[derive(Debug, Deserialize)]
pub struct Object<M> {
    /// `metadata`
    pub metadata: M,
}

/// The metadata of a namespace.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceMeta {
    /// A random UUID, made together with the namespace.
    #[serde(deserialize_with = "uid")]
    pub uid: Uuid,
    /// The creation time of the namespace; for `kube-system`, that of the cluster.
    pub creation_timestamp: Option<Timestamp>,
}

/// The age of an object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    pub(crate) creation_timestamp: Option<Timestamp>,
}

/// A DaemonSet, of which only the existence matters: `PartialObjectMetadata` or, in a recording,
/// the whole object.
#[derive(Debug, Deserialize)]
pub(crate) struct DaemonSet {
    /// Distinguishes an answer of Kubernetes from any other JSON.
    #[serde(rename = "kind")]
    _kind: DaemonSetKind,
}

#[derive(Debug, Deserialize)]
enum DaemonSetKind {
    DaemonSet,
    PartialObjectMetadata,
}

/// The metadata of nodes, of which only one annotation is read: `PartialObjectMetadataList` or, in
/// a recording, `NodeList`.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeMetadataList {
    #[serde(rename = "kind")]
    _kind: NodeMetadataKind,
    items: Option<Vec<Object<Annotated>>>,
}

#[derive(Debug, Deserialize)]
enum NodeMetadataKind {
    NodeList,
    PartialObjectMetadataList,
}

impl NodeMetadataList {
    /// Returns true if flanneld runs on any of these nodes.
    pub(crate) fn shows_flannel(&self) -> bool {
        let nodes = self.items.iter().flatten();
        let mut annotations = nodes.filter_map(|node| node.metadata.annotations.as_ref());
        annotations.any(|annotations| annotations.flannel.is_some())
    }
}

#[derive(Debug, Deserialize)]
struct Annotated {
    annotations: Option<Annotations>,
}

#[derive(Debug, Deserialize)]
struct Annotations {
    /// An annotation that flanneld writes on every node, also if K3s runs flanneld inside its own
    /// process, without a DaemonSet.
    #[serde(rename = "flannel.alpha.coreos.com/backend-type")]
    flannel: Option<IgnoredAny>,
}

/// Deserializes a UID in the form that Kubernetes writes: 36 characters, hyphenated.
fn uid<'de, D: Deserializer<'de>>(json: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(json)?;
    let uuid = Uuid::try_parse(&text).ok().filter(|_| text.len() == 36);
    uuid.filter(|uuid| !uuid.is_nil()).ok_or_else(|| D::Error::custom("not a UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_version_is_available_whole_and_up_to_the_plus() {
        for (full, kubernetes) in [
            ("v1.36.2+rke2r1", "v1.36.2"),
            ("v1.35.4+k3s1", "v1.35.4"),
            ("v1.32.2-rc1+rke2r1", "v1.32.2-rc1"),
            ("v1.30.3+k3s-b11486d3", "v1.30.3"),
            ("v1.34.0", "v1.34.0"),
            ("v1.31.4-eks-2d5f260", "v1.31.4-eks-2d5f260"),
            ("v1.31.3-gke.1162000", "v1.31.3-gke.1162000"),
            ("v0.0.0-master+$Format:%H$", "v0.0.0-master"),
        ] {
            let version = GitVersion::try_from(full.to_owned()).unwrap();
            assert_eq!((version.full(), version.kubernetes()), (full, kubernetes));
        }
    }

    #[test]
    fn text_that_is_not_a_version_is_refused() {
        let long = format!("v1.2.3-{}", "x".repeat(64));
        for text in [
            "",
            "v",
            "1.2.3",
            "v1.2",
            "v1.2.x",
            "v1..2",
            "v1.2.3.4",
            "acme-canary",
            "v1.2.3 acme",
            "v1.2.3\n",
            "v1.2.3\"",
            "v1.2.3-é",
            "vv1.2.3",
            &long,
        ] {
            assert!(GitVersion::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_uid_is_a_hyphenated_uuid() {
        let parse = |uid: &str| {
            serde_json::from_str::<Object<NamespaceMeta>>(&format!(
                r#"{{"metadata":{{"uid":"{uid}"}}}}"#
            ))
        };
        assert!(parse("0fd6ac60-b9ea-46b8-85fa-cb6cfdb9e57e").is_ok());
        for uid in [
            "",
            "acme-canary",
            "0fd6ac60b9ea46b885facb6cfdb9e57e",
            "{0fd6ac60-b9ea-46b8-85fa-cb6cfdb9e57e}",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(parse(uid).is_err(), "{uid}");
        }
    }
}
