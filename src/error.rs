//! Every way to fail, a variant a step, each with its exit status.
//!
//! A message names its subject and gives the reason in words of this program or of the operating
//! system: nothing that a server, a token or a node wrote is repeated in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run or a command failed.
#[derive(Debug)]
pub enum Error {
    /// The files and variables of the pod give no access to its API server.
    Access {
        /// The file or variable at fault.
        subject: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server answered something that is not Kubernetes.
    Answer {
        /// The path that was requested.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The command line is wrong.
    Args(String),
    /// A setting is wrong or cannot be read.
    Config {
        /// Where it was read: a file and key, a variable or a flag.
        origin: String,
        /// What was expected there.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A request for a preview failed.
    Named {
        /// The kubeconfig and the server.
        place: String,
        /// The error of the request.
        error: Box<Self>,
    },
    /// The API server refused the request or failed to answer it.
    Status {
        /// The path that was requested.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The API server gave no answer.
    Unreachable {
        /// The path that was requested.
        path: String,
        /// Why the connection failed.
        reason: String,
    },
    /// The API server's certificate is not of this cluster's authority, or is not valid.
    Untrusted {
        /// The path that was requested.
        path: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// A file, or standard output, could not be written.
    Write {
        /// The file, or "standard output".
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn access(
        subject: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Access {
            subject: subject.into(),
            source: source.into(),
        }
    }

    pub(crate) fn answer(path: &str, reason: impl Into<String>) -> Self {
        Self::Answer {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn config(
        origin: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Config {
            origin: origin.into(),
            source: source.into(),
        }
    }

    pub(crate) fn write(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Write {
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// The exit status: 2 for wrong flags and settings, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Args(_) | Self::Config { .. } => 2,
            Self::Named { error, .. } => error.exit_status(),
            Self::Access { .. }
            | Self::Answer { .. }
            | Self::Status { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Write { .. } => 1,
        }
    }

    /// Whether a request to the API server failed.
    pub(crate) fn is_of_request(&self) -> bool {
        match self {
            Self::Answer { .. }
            | Self::Status { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. } => true,
            Self::Access { .. }
            | Self::Args(_)
            | Self::Config { .. }
            | Self::Named { .. }
            | Self::Write { .. } => false,
        }
    }

    /// Whether the cause lies outside of this installation, so that a later run may succeed as it
    /// is.
    pub(crate) fn is_outside(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Access { source, .. } | Self::Config { source, .. } => Some(source.as_ref()),
            Self::Write { source, .. } => Some(source),
            Self::Answer { .. }
            | Self::Args(_)
            | Self::Named { .. }
            | Self::Status { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access { subject, source } => write!(f, "{subject}: {source}"),
            Self::Answer { path, reason } => {
                write!(f, "GET {path}: not an answer of Kubernetes: {reason}")
            }
            Self::Args(reason) => write!(f, "{reason}; see --help"),
            Self::Config { origin, source } => write!(f, "{origin}: {source}"),
            Self::Named { place, error } => write!(f, "{place}: {error}"),
            Self::Status { path, status } => {
                write!(f, "GET {path}: status {status}{}", hint(*status))
            }
            Self::Unreachable { path, reason } | Self::Untrusted { path, reason } => {
                write!(f, "GET {path}: {reason}")
            }
            Self::Write { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => ", the API server does not accept this credential",
        403 => ", this credential may not read it",
        404 => ", not found",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn status(status: u16) -> Error {
        Error::Status {
            path: "/version".into(),
            status,
        }
    }

    #[test]
    fn only_faults_that_may_pass_are_outside() {
        for (code, outside) in [
            (307, false),
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            assert_eq!(status(code).is_outside(), outside, "{code}");
        }
        assert!(!Error::answer("/version", "x").is_outside());
    }

    #[test]
    fn a_refusal_names_the_path_and_what_it_means() {
        for (code, text) in [
            (
                401,
                "GET /version: status 401, the API server does not accept this credential",
            ),
            (
                403,
                "GET /version: status 403, this credential may not read it",
            ),
            (404, "GET /version: status 404, not found"),
            (500, "GET /version: status 500"),
        ] {
            assert_eq!(status(code).to_string(), text);
        }
    }

    #[test]
    fn the_cause_is_kept() {
        let cause = || io::Error::from_raw_os_error(28);
        for error in [
            Error::access("a", cause()),
            Error::config("a", cause()),
            Error::write("a", cause()),
        ] {
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(
                source.and_then(io::Error::raw_os_error),
                Some(28),
                "{error}"
            );
            assert!(error.to_string().starts_with("a: No space left"), "{error}");
        }
        assert!(status(500).source().is_none());
    }
}
