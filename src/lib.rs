//! Reports the version, size, CNI and OS of an RKE2 or K3s cluster, once.
//!
//! The modules are listed in the order in which data passes through them.

// The order of a run.
mod run;
// The previews, which send nothing.
mod preview;

// The command line, typed.
mod args;
// File, environment and flags, checked.
mod config;
// The cluster to read, and its facts.
mod cluster;
// The Kubernetes API, live or recorded.
mod kube;
// The report: facts, closed tables, payload, explanation.
mod report;
// The wait before sending.
mod spread;
// One POST, one verdict.
mod send;

// The other program: RKE2's configuration to the manifest.
pub mod manifest;

// Every way to fail, with its exit status.
mod error;
// TLS, proxies, timeouts and sizes.
mod http;
// JSON of a peer that is not trusted.
mod json;
// Lines on standard error.
mod log;
// YAML of a file that may hold anything.
mod yaml;

pub use error::{Error, ErrorKind};
pub use log::Log;
pub use run::{Outcome, run};

/// What tests, fuzzers and examples call besides the program. Not an interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::args::HELP;
    pub use crate::cluster::{Cluster, Kubeconfig};
    pub use crate::config::env::Env;
    pub use crate::config::file::File;
    pub use crate::config::proxy::is_excepted;
    pub use crate::config::switch::{Switch, opt_out_command};
    pub use crate::config::{Config, DEFAULT_ENDPOINT};
    pub use crate::kube::kubeconfig::from_text as kubeconfig;
    pub use crate::kube::nodes::Node;
    pub use crate::kube::timestamp::Timestamp;
    pub use crate::kube::types::{GitVersion, NamespaceMeta};
    pub use crate::kube::{Api, DaemonSetName};
    pub use crate::manifest::args::HELP as MANIFEST_HELP;
    pub use crate::manifest::rke2::Rke2Config;
    pub use crate::manifest::{MANIFEST, patch};
    pub use crate::report::cni::{Cni, META, PRIMARY, Row};
    pub use crate::report::facts::{Facts, Tally};
    pub use crate::report::os::Os;
    pub use crate::report::payload::{FIELDS, Payload};
    pub use crate::send::read_reply;
    pub use crate::spread::wait;

    /// The nodes of a `Table` or a `NodeList`, if it is one.
    pub fn nodes<T: Default + Extend<Node>>(body: impl std::io::Read) -> Option<T> {
        crate::kube::nodes::read(body).ok()
    }
}
