//! Reports the version, size, CNI and OS of an RKE2 or K3s cluster, once.
//!
//! The modules are listed in the order in which data passes through them.

// Runs the program: reads the cluster, prints the report, waits and sends it.
mod run;
// Prints previews, which send nothing.
mod preview;

// Parses the command line.
mod args;
// Checks the settings of file, environment and flags.
mod config;
// Opens the cluster's API and reads its facts.
mod cluster;
// Reads the Kubernetes API, live or recorded.
mod kube;
// Makes the report: facts, tables of CNIs and OSes, payload, explanation.
mod report;
// Computes the wait before sending.
mod spread;
// Posts the report and checks the reply.
mod send;

// Implements the second program, which writes RKE2's configuration into the manifest.
pub mod manifest;

// Defines every error, with its exit status.
mod error;
// Configures TLS, proxies, timeouts and size limits.
mod http;
// Reads JSON from peers that are not trusted.
mod json;
// Writes log lines to standard error.
mod log;
// Reads YAML files of any content.
mod yaml;

pub use error::{Error, ErrorKind};
pub use log::Log;
pub use run::{Outcome, run};

/// Exports items for tests, fuzzers and examples. This is not a public interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::args::HELP;
    pub use crate::cluster::{Cluster, Kubeconfig};
    pub use crate::config::proxy::is_excepted;
    pub use crate::config::switch::{Switch, opt_out_command};
    pub use crate::config::{Config, DEFAULT_ENDPOINT, env::Env, file::File};
    pub use crate::kube::kubeconfig::from_text as kubeconfig;
    pub use crate::kube::types::{GitVersion, NamespaceMeta};
    pub use crate::kube::{Api, DaemonSetName, nodes::Node, timestamp::Timestamp};
    pub use crate::manifest::args::HELP as MANIFEST_HELP;
    pub use crate::manifest::{MANIFEST, patch, rke2::Rke2Config};
    pub use crate::report::cni::{Cni, META, PRIMARY, Row};
    pub use crate::report::facts::{Facts, Tally};
    pub use crate::report::os::Os;
    pub use crate::report::payload::{FIELDS, Payload};
    pub use crate::send::read_reply;
    pub use crate::spread::wait;

    /// Reads the nodes of a `Table` or a `NodeList`; returns `None` for anything else.
    pub fn nodes<T: Default + Extend<Node>>(body: impl std::io::Read) -> Option<T> {
        crate::kube::nodes::read(body).ok()
    }
}
