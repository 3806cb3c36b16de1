//! `record`: a cluster as a recording for `testdata`, harmless by construction.
//!
//! Nothing is filtered out of what the API server wrote: each file is made anew, of the few values that the
//! program reads. A version, server roles, known DaemonSets and osImage strings go in; no other text does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cni;
use crate::error::Error;
use crate::http;
use crate::kube::Api;
use crate::kube::types::{FLANNEL_ANNOTATION, NodeRecord};

/// Reads the cluster and writes the recording into a folder that has nothing in it yet. Returns what to
/// tell.
pub fn record(api: &Api, folder: &Path) -> Result<String, Error> {
    refuse_to_overwrite(folder)?;
    let nodes = api.node_records()?;
    let mut files = vec![
        (
            "version.json".to_owned(),
            json!({"gitVersion": api.version()?.full()}),
        ),
        (
            "api/v1/namespaces/kube-system.json".to_owned(),
            namespace(api.cluster_uid()?),
        ),
        (
            "api/v1/nodes.json".to_owned(),
            list(&nodes, api.nodes_show_flannel()?),
        ),
        ("api/v1/nodes.table.json".to_owned(), table(&nodes)),
    ];
    for row in cni::META.iter().chain(cni::PRIMARY) {
        if api.has_daemonset(row)? {
            let metadata = json!({"name": row.name, "namespace": row.namespace});
            let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            files.push((format!("{}.json", &row.path()[1..]), object));
        }
    }
    for (name, content) in &files {
        write(&folder.join(name), content)?;
    }
    Ok(summary(folder, &files, &nodes))
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), Error> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(fault(folder, "not empty, and nothing is overwritten")),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fault(folder, &e.to_string())),
    }
}

fn write(file: &Path, content: &Value) -> Result<(), Error> {
    let text = format!("{content:#}\n");
    let folder = file.parent().unwrap_or(file);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, text));
    written.map_err(|e| fault(file, &e.to_string()))
}

fn fault(file: &Path, reason: &str) -> Error {
    Error::config(file.display().to_string(), reason)
}

/// Another UUID: always the same for this cluster, and no way back.
fn namespace(uid: Uuid) -> Value {
    let uid = uuid::Builder::from_random_bytes(http::digest(uid.as_bytes())).into_uuid();
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": uid}})
}

fn list(nodes: &[NodeRecord], flannel: bool) -> Value {
    let items: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            let label = |role: &&str| {
                (
                    format!("node-role.kubernetes.io/{role}"),
                    Value::from("true"),
                )
            };
            let labels: serde_json::Map<_, _> = node.roles().iter().map(label).collect();
            let mut metadata = json!({"name": name(i), "labels": labels});
            if flannel && i == 0 {
                metadata["annotations"] = json!({FLANNEL_ANNOTATION: "recorded"});
            }
            json!({"metadata": metadata, "status": {"nodeInfo": {"osImage": node.os_image()}}})
        })
        .collect();
    json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn table(nodes: &[NodeRecord]) -> Value {
    let rows: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            let roles = node.roles().join(",");
            let roles = if roles.is_empty() { "<none>" } else { &roles };
            json!({"cells": [name(i), roles, node.os_image()], "object": null})
        })
        .collect();
    let columns = ["Name", "Roles", "OS-Image"].map(|name| json!({"name": name, "type": "string"}));
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows})
}

fn name(index: usize) -> String {
    format!("node-{}", index + 1)
}

fn summary(folder: &Path, files: &[(String, Value)], nodes: &[NodeRecord]) -> String {
    let mut images: Vec<_> = nodes.iter().map(NodeRecord::os_image).collect();
    images.sort_unstable();
    images.dedup();
    let written: String = files
        .iter()
        .flat_map(|(name, _)| ["  ", name, "\n"])
        .collect();
    let kept: String = images
        .iter()
        .flat_map(|image| ["  ", image, "\n"])
        .collect();
    format!(
        "Wrote into {}:\n{written}\
         Nodes are called node-1 to node-{}, and the cluster's UUID is another one.\n\
         Kept as the nodes say it, so look at it before you share it, is osImage:\n{kept}",
        folder.display(),
        nodes.len()
    )
}
