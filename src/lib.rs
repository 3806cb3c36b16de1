//! Reports the version, size, CNI and OS of an RKE2 or K3s cluster, once.
//!
//! [`run()`] does what a command line says, and returns what came of it. The modules stand in the
//! order in which data passes through them.

mod run;

mod args;
mod config;
mod kube;
mod report;
mod send;
mod spread;

pub mod manifest;

mod error;
mod http;
mod json;
mod log;
mod yaml;

pub use error::Error;
pub use log::Log;
pub use run::{Outcome, run};

/// What tests, fuzzers and examples call besides the program. Not an interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::args::{Cluster, HELP};
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
    pub use crate::run::open;
    pub use crate::send::read_reply;
    pub use crate::spread::wait;

    /// The nodes of a `Table` or a `NodeList`, if it is one.
    pub fn nodes<T: Default + Extend<Node>>(body: impl std::io::Read) -> Option<T> {
        crate::kube::nodes::read(body).ok()
    }
}
