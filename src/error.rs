//! Every way a run can fail, one variant a step. `main` alone decides what each one costs.
//!
//! A message names its subject and says the reason in words of this program: nothing that a server, a
//! token or a node wrote is ever repeated in it.

use std::fmt;

/// Why there is no report to send.
#[derive(Debug)]
pub enum Error {
    /// The cluster cannot be reached with what is installed: no token, no CA, no cluster at all.
    Access {
        /// The file, variable or flag that is at fault.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The API server answered something that is not Kubernetes.
    Answer {
        /// The path that was asked for.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The command line is wrong.
    Args(String),
    /// The configuration is wrong: the file, the environment or the flags.
    Config {
        /// Where the setting was read: a file and key, a variable or a flag.
        origin: String,
        /// What was expected there.
        reason: String,
    },
    /// The report could not be written to standard output.
    Output(std::io::Error),
    /// The API server refused the request or failed to answer it.
    Status {
        /// The path that was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The API server gave no answer.
    Unreachable {
        /// The path that was asked for.
        path: String,
        /// What the connection died of.
        reason: String,
    },
}

impl Error {
    /// What was expected at a place of the configuration.
    pub fn config(origin: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            origin: origin.into(),
            reason: reason.into(),
        }
    }

    /// Whether the cause lies outside of this installation, so that a later run may succeed as it is.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// Whether the flags or the configuration have to be changed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Args(_) | Self::Config { .. })
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access { subject, reason }
            | Self::Config {
                origin: subject,
                reason,
            } => write!(f, "{subject}: {reason}"),
            Self::Answer { path, reason } => {
                write!(f, "GET {path}: not an answer of Kubernetes: {reason}")
            }
            Self::Args(reason) => write!(f, "{reason}; see --help"),
            Self::Output(reason) => write!(f, "standard output: {reason}"),
            Self::Status { path, status } => {
                write!(f, "GET {path}: status {status}{}", hint(*status))
            }
            Self::Unreachable { path, reason } => write!(f, "GET {path}: {reason}"),
        }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => ", the API server does not accept the token",
        403 => ", the ServiceAccount may not read this",
        404 => ", not there",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn a_refusal_names_the_path_and_what_it_means() {
        assert_eq!(
            status(403).to_string(),
            "GET /version: status 403, the ServiceAccount may not read this"
        );
    }
}
