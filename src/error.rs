//! Defines every error, with its exit status.
//!
//! A message names its subject and gives the reason in words of this program or of the operating
//! system. It never quotes a server, a token or a node.

use std::fmt;

/// The reason why a run or a command failed, as one line: `SUBJECT: REASON`.
#[derive(Debug)]
pub struct Error {
    /// The step that failed.
    pub kind: ErrorKind,
    text: String,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The files and variables of the pod give no access to its API server.
    Access,
    /// The peer is not the API server of this cluster, or did not answer as one.
    Answer,
    /// The command line is wrong.
    Args,
    /// A setting is wrong or cannot be read.
    Config,
    /// The API server answered with this HTTP status.
    Status(u16),
    /// The API server gave no answer.
    Unreachable,
    /// A file, or standard output, could not be written.
    Write,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        subject: impl fmt::Display,
        reason: impl fmt::Display,
    ) -> Self {
        Self { kind, text: format!("{subject}: {reason}") }
    }

    pub(crate) fn access(subject: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Access, subject, reason)
    }

    pub(crate) fn args(reason: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Args, text: format!("{reason}; see --help") }
    }

    pub(crate) fn config(origin: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Config, origin, reason)
    }

    pub(crate) fn write(subject: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Write, subject, reason)
    }

    pub(crate) fn status(path: &str, status: u16) -> Self {
        let hint = match status {
            401 => ", the API server does not accept this credential",
            403 => ", this credential may not read it",
            404 => ", not found",
            _ => "",
        };
        let reason = format!("status {status}{hint}");
        Self::new(ErrorKind::Status(status), format!("GET {path}"), reason)
    }

    /// Puts a place in front of the message.
    pub(crate) fn within(self, place: &str) -> Self {
        Self::new(self.kind, place, self.text)
    }

    /// Returns the exit status: 2 for wrong flags and settings, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            ErrorKind::Args | ErrorKind::Config => 2,
            _ => 1,
        }
    }

    /// Returns true if the API server answered with this HTTP status.
    pub(crate) fn is_status(&self, status: u16) -> bool {
        self.kind == ErrorKind::Status(status)
    }

    /// Returns true if the cause is outside this installation, so that a later run may succeed
    /// without any change to it.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::Status(408 | 429 | 500..))
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Quotes a refused value up to its query, which may contain a key. Returns an empty text if the
/// value is long or may contain a password: it has an `@`, or a colon without a port after it.
pub(crate) fn but_not(value: &str) -> String {
    let shown = value.split(['?', '#']).next().unwrap_or_default();
    let is_number = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let mut ports = shown.split(':').skip(1).filter_map(|rest| rest.split('/').next());
    let is_safe = shown.len() <= 100 && !value.contains('@') && ports.all(is_number);
    if is_safe { format!(", not {shown:?}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_errors_count_as_outside() {
        for (status, outside) in [
            (307, false),
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let error = Error::status("/version", status);
            assert_eq!(error.is_outside(), outside, "{status}");
        }
        assert!(!Error::new(ErrorKind::Answer, "GET /version", "x").is_outside());
    }

    #[test]
    fn a_value_that_may_contain_a_secret_is_not_quoted() {
        for (value, quoted) in [
            ("maybe", ", not \"maybe\""),
            ("", ", not \"\""),
            ("https://host:99999/path?key=acme-canary", ", not \"https://host:99999/path\""),
            ("https://user:acme-canary@host/", ""),
            ("https://user:acme-canary", ""),
            ("https://user:acme-canary%40host", ""),
            ("user:1#acme-canary@host", ""),
        ] {
            assert_eq!(but_not(value), quoted, "{value}");
        }
        assert_eq!(but_not(&"a".repeat(101)), "");
    }

    #[test]
    fn a_refusal_names_the_path_and_what_it_means() {
        for (status, text) in [
            (401, "GET /version: status 401, the API server does not accept this credential"),
            (403, "GET /version: status 403, this credential may not read it"),
            (404, "GET /version: status 404, not found"),
            (500, "GET /version: status 500"),
        ] {
            assert_eq!(Error::status("/version", status).to_string(), text);
        }
    }

    #[test]
    fn a_place_keeps_kind_and_exit_status() {
        let error = Error::config("file", "reason").within("place");
        assert_eq!((error.to_string().as_str(), error.exit_status()), ("place: file: reason", 2));
        assert_eq!(Error::write("file", "reason").exit_status(), 1);
        assert_eq!(Error::args("reason").exit_status(), 2);
    }
}
