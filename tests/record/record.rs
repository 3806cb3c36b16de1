//! Saves a cluster as a recording for `testdata`, without any private data.
//!
//! Usage: `record FOLDER --kubeconfig FILE`
//!
//! It does not filter the answers of the API server, but makes each file from the few values that
//! the program reads. A recording contains a version, server roles, known DaemonSets and osImage
//! strings, and no other text of the cluster.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use metrics_responder::Log;
use metrics_responder::internals::{Cluster, Env, Kubeconfig, META, Node, PRIMARY};
use serde_json::{Value, json};
use uuid::Uuid;

/// The time limit, which is long enough for any cluster, since nobody is in a hurry.
const BUDGET: Duration = Duration::from_secs(120);

#[allow(dead_code, reason = "the tests call `record` itself")]
fn main() -> ExitCode {
    match parse().and_then(|(cluster, folder)| record(&cluster, &Env::Process, &folder)) {
        Ok(written) => {
            print!("{written}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("record: {error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(dead_code, reason = "the tests call `record` itself")]
fn parse() -> Result<(Cluster, PathBuf), Box<dyn Error>> {
    let mut words = pico_args::Arguments::from_env();
    let kubeconfig = Kubeconfig {
        origin: "--kubeconfig",
        file: words.value_from_str("--kubeconfig")?,
        context: words.opt_value_from_str("--context")?,
    };
    let folder = words.free_from_str().map_err(|_| "a folder is expected")?;
    match words.finish().first() {
        None => Ok((Cluster::Kubeconfig(kubeconfig), folder)),
        Some(word) => Err(format!("unexpected argument {}", word.display()).into()),
    }
}

/// Reads the cluster and writes the recording into a folder that is empty or missing. Returns a
/// summary for the user.
pub fn record(cluster: &Cluster, env: &Env, folder: &Path) -> Result<String, Box<dyn Error>> {
    refuse_to_overwrite(folder)?;
    let api = cluster.open(env, BUDGET, Log::default())?;
    let nodes: Vec<Node> = api.nodes()?;
    let flannel = api.nodes_show_flannel()?;
    let version = api.version()?;
    let namespace = api.kube_system()?.metadata;
    let mut files = vec![
        ("version.json".to_owned(), json!({"gitVersion": version.full()})),
        ("api/v1/namespaces/kube-system.json".to_owned(), kube_system(namespace.uid)),
        ("api/v1/nodes.json".to_owned(), list(&nodes, flannel)),
        ("api/v1/nodes.table.json".to_owned(), table(&nodes)),
    ];
    for row in META.iter().chain(PRIMARY) {
        if api.first_daemonset(std::slice::from_ref(row), |row| row.daemonset)?.is_some() {
            let metadata =
                json!({"name": row.daemonset.name, "namespace": row.daemonset.namespace});
            let kind = "PartialObjectMetadata";
            let object =
                json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            files.push((format!("{}.json", &row.daemonset.path()[1..]), object));
        }
    }
    for (name, content) in &files {
        write(&folder.join(name), content)?;
    }
    Ok(summary(folder, &files, &nodes))
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), String> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{}: not empty, and nothing is overwritten", folder.display())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(format!("{}: {e}", folder.display())),
    }
}

fn write(file: &Path, content: &Value) -> Result<(), String> {
    let folder = file.parent().unwrap_or(file);
    let written =
        fs::create_dir_all(folder).and_then(|()| fs::write(file, format!("{content:#}\n")));
    written.map_err(|e| format!("{}: {e}", file.display()))
}

/// Makes the namespace without its age, and with another UUID, which is always the same for a
/// cluster and from which the real one cannot be found.
fn kube_system(uid: Uuid) -> Value {
    let uid = Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes());
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": uid}})
}

fn list(nodes: &[Node], flannel: bool) -> Value {
    let item = |(i, node): (usize, &Node)| {
        let mut labels = json!({});
        if node.is_server {
            labels["node-role.kubernetes.io/control-plane"] = "true".into();
        }
        let mut metadata = json!({"name": name(i), "labels": labels});
        if flannel && i == 0 {
            metadata["annotations"] = json!({"flannel.alpha.coreos.com/backend-type": "recorded"});
        }
        json!({"metadata": metadata, "status": {"nodeInfo": {"osImage": node.os_image}}})
    };
    let items: Vec<_> = nodes.iter().enumerate().map(item).collect();
    json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn table(nodes: &[Node]) -> Value {
    let row = |(i, node): (usize, &Node)| {
        let roles = if node.is_server { "control-plane" } else { "<none>" };
        json!({"cells": [name(i), roles, node.os_image], "object": null})
    };
    let rows: Vec<_> = nodes.iter().enumerate().map(row).collect();
    let columns = ["Name", "Roles", "OS-Image"].map(|name| json!({"name": name, "type": "string"}));
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn name(index: usize) -> String {
    format!("node-{}", index + 1)
}

fn summary(folder: &Path, files: &[(String, Value)], nodes: &[Node]) -> String {
    let mut images: Vec<_> = nodes.iter().map(|node| node.os_image.as_str()).collect();
    images.sort_unstable();
    images.dedup();
    let written: String = files.iter().flat_map(|(name, _)| ["  ", name, "\n"]).collect();
    let kept: String = images.iter().flat_map(|image| ["  ", image, "\n"]).collect();
    format!(
        "Wrote into {}:\n{written}\
         Nodes are called node-1 to node-{}, and the cluster has another UUID.\n\
         osImage is kept as it is, so look at it before you share it:\n{kept}",
        folder.display(),
        nodes.len()
    )
}
