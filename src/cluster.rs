//! Opens the API of a cluster, and reads the facts of a report.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::config::env::Env;
use crate::error::Error;
use crate::kube::installation::NAMESPACE;
use crate::kube::{Api, incluster, kubeconfig};
use crate::log::Log;
use crate::report::age::Age;
use crate::report::cni::{self, Cni};
use crate::report::facts::Facts;

/// The cluster to read.
#[derive(Debug, Eq, PartialEq)]
pub enum Cluster {
    /// The cluster that this pod runs in; its ServiceAccount is mounted in this folder.
    Own(PathBuf),
    /// The cluster that a kubeconfig names.
    Kubeconfig(Kubeconfig),
    /// The recording in this folder.
    Recorded(PathBuf),
}

/// A kubeconfig, and the context to use.
#[derive(Debug, Eq, PartialEq)]
pub struct Kubeconfig {
    /// The option or variable that names the file.
    pub origin: &'static str,
    /// The file.
    pub file: PathBuf,
    /// The context to use instead of the current one.
    pub context: Option<String>,
}

impl Cluster {
    /// Opens the API; all requests have to be answered within `budget` from now.
    pub fn open(&self, env: &Env, budget: Duration, log: Log) -> Result<Api, Error> {
        let access = match self {
            Self::Own(service_account) => incluster::access(env, service_account)?,
            Self::Kubeconfig(named) => {
                let access = kubeconfig::access(&named.file, named.context.as_deref());
                access.map_err(|reason| Error::config(named, reason))?
            }
            Self::Recorded(folder) => return Api::recorded(folder, log),
        };
        Ok(Api::live(access, budget, log))
    }

    /// Returns the namespace of the responder, or the default if it is unknown.
    pub(crate) fn namespace(&self) -> String {
        match self {
            Self::Own(service_account) => incluster::namespace(service_account),
            Self::Kubeconfig(_) | Self::Recorded(_) => NAMESPACE.to_owned(),
        }
    }
}

impl Kubeconfig {
    /// Returns the kubectl command for the same cluster. kubectl reads KUBECONFIG itself.
    pub(crate) fn kubectl(&self) -> String {
        let mut words = vec!["kubectl".to_owned()];
        if self.origin.starts_with("--") {
            words.extend([self.origin.to_owned(), quoted(&self.file.to_string_lossy())]);
        }
        if let Some(context) = &self.context {
            words.extend(["--context".to_owned(), quoted(context)]);
        }
        words.join(" ")
    }
}

impl fmt::Display for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.origin, self.file.display())
    }
}

/// Reads the facts of a report.
pub(crate) fn facts(api: &Api) -> Result<Facts, Error> {
    Ok(Facts {
        version: api.version()?,
        kube_system: api.kube_system()?.metadata,
        nodes: api.nodes()?,
        cni: cni(api),
    })
}

/// Reads the age of the cluster and of the installation, if a grace period is set.
pub(crate) fn age(
    api: &Api,
    namespace: &str,
    facts: &Facts,
    config: &Config,
) -> Result<Age, Error> {
    if config.grace_period.value.is_zero() {
        return Ok(Age::default());
    }
    Ok(Age {
        cluster: facts.kube_system.creation_timestamp,
        installation: api.cron_job_created(namespace)?,
    })
}

fn cni(api: &Api) -> Result<Cni, Error> {
    // In most clusters the first row exists; then only the rows of Multus are requested as well.
    let primary = api.first_daemonset(cni::PRIMARY, |row| row.daemonset)?;
    let meta = api.first_daemonset(cni::META, |row| row.daemonset)?;
    let flannel = Cni::may_be_flannel(primary) && api.nodes_show_flannel()?;
    Ok(Cni::new(meta, primary, flannel))
}

/// Quotes a word for a shell if necessary.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubectl_command_reads_the_same_cluster() {
        for (origin, file, context, command) in [
            ("--kubeconfig", "~/a.yaml", None, "kubectl --kubeconfig '~/a.yaml'"),
            ("--kubeconfig", "/a/b.yaml", None, "kubectl --kubeconfig /a/b.yaml"),
            ("KUBECONFIG", "/a/b.yaml", None, "kubectl"),
            ("KUBECONFIG", "/a", Some("x"), "kubectl --context x"),
            (
                "--kubeconfig",
                "it's",
                Some("admin@c $(x)"),
                r"kubectl --kubeconfig 'it'\''s' --context 'admin@c $(x)'",
            ),
        ] {
            let kubeconfig =
                Kubeconfig { origin, file: file.into(), context: context.map(Into::into) };
            assert_eq!(kubeconfig.kubectl(), command);
        }
    }
}
