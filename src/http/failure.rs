//! Explains why a request has no usable answer. The texts are this program's own: they never quote
//! a certificate, a header or a body of the peer.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use crate::error::{Error, ErrorKind};

/// The reason why a request has no usable answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// The text for the log.
    pub(crate) reason: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The certificate is signed with an algorithm that this build does not know.
    Algorithm,
    /// The certificate cannot be trusted for another reason.
    Certificate,
    /// The connection ended before the answer did.
    Closed,
    /// The TLS, the HTTP or the size of the answer is wrong.
    Invalid,
    /// There is no connection, or no answer in time.
    NoAnswer,
    /// The certificate chains to no trusted root.
    UnknownIssuer,
}

impl Failure {
    /// Translates an error of ureq; `budget` is the time limit of the requests to this peer.
    pub(super) fn new(error: ureq::Error, budget: Duration) -> Self {
        use ureq::Error as E;

        let (kind, reason) = match error {
            E::Timeout(_) => (Kind::NoAnswer, format!("no answer within {budget:?}").into()),
            E::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref()) {
                Some(e) => tls_failure(e),
                None => (io_kind(&e), io_reason(&e)),
            },
            E::Rustls(e) => tls_failure(&e),
            E::HostNotFound => (Kind::NoAnswer, "the host name has no address".into()),
            // Drop the text after the slash: ureq repeats the status there.
            E::ConnectProxyFailed(e) => {
                let reason = e.split('/').next().unwrap_or_default();
                (Kind::NoAnswer, format!("no tunnel: {reason}").into())
            }
            E::BodyExceedsLimit(limit) => {
                (Kind::Invalid, format!("the answer is larger than {limit} bytes").into())
            }
            E::LargeResponseHeader(..) => (Kind::Invalid, "the headers are too large".into()),
            E::Protocol(_) => (Kind::Invalid, "not HTTP/1.1".into()),
            E::Tls(e) => (Kind::Invalid, e.into()),
            _ => (Kind::Invalid, "the request failed".into()),
        };
        Self { kind, reason }
    }

    pub(crate) fn unknown_issuer() -> Self {
        let (kind, reason) = UNKNOWN_ISSUER;
        Self { kind, reason: reason.into() }
    }

    /// Makes the error of a GET to the API server. A peer without a trusted certificate is not the
    /// API server of this cluster. One with a signature algorithm that this build does not support
    /// may still be it.
    pub(crate) fn at(self, path: &str) -> Error {
        let kind = match self.kind {
            Kind::Algorithm | Kind::Closed | Kind::NoAnswer => ErrorKind::Unreachable,
            Kind::Certificate | Kind::UnknownIssuer => ErrorKind::Answer,
            Kind::Invalid => return not_kubernetes(path, &self.reason),
        };
        Error::new(kind, format!("GET {path}"), self.reason)
    }
}

/// Makes the error of an answer that Kubernetes would not give.
pub(crate) fn not_kubernetes(path: &str, reason: &str) -> Error {
    let reason = format!("not an answer from Kubernetes: {reason}");
    Error::new(ErrorKind::Answer, format!("GET {path}"), reason)
}

const UNKNOWN_ISSUER: (Kind, &str) =
    (Kind::UnknownIssuer, "the certificate is signed by an unknown authority");

fn io_kind(error: &io::Error) -> Kind {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Kind::Closed,
        _ => Kind::NoAnswer,
    }
}

/// Returns the operating system's text for its own errors, and a general text for all others.
fn io_reason(error: &io::Error) -> Cow<'static, str> {
    if error.raw_os_error().is_some() {
        return error.to_string().into();
    }
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed early",
        // Recognise an error of the resolver by its text: it has no number and no kind.
        _ if error.to_string().starts_with("failed to lookup") => "the host name does not resolve",
        _ => "the connection failed",
    };
    reason.into()
}

fn tls_failure(error: &rustls::Error) -> (Kind, Cow<'static, str>) {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};

    let (kind, reason) = match error {
        InvalidCertificate(e) => certificate_failure(e),
        AlertReceived(alert) => {
            return (Kind::Invalid, format!("the peer ended TLS: {alert:?}").into());
        }
        InvalidMessage(_) => (Kind::Invalid, "the peer does not speak TLS"),
        PeerIncompatible(_) => (Kind::Invalid, "no TLS version or cipher in common"),
        _ => (Kind::Invalid, "TLS failed"),
    };
    (kind, reason.into())
}

fn certificate_failure(error: &CertificateError) -> (Kind, &'static str) {
    use CertificateError as E;

    let reason = match error {
        // Treat a bad signature alike: the CA may have been replaced by one of the same name.
        E::UnknownIssuer | E::BadSignature => return UNKNOWN_ISSUER,
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let reason =
                "the certificate is signed with an algorithm that this build does not know";
            return (Kind::Algorithm, reason);
        }
        E::Expired | E::ExpiredContext { .. } => "the certificate has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "the certificate is not valid yet",
        // Do not use the text of this error, which lists the names of the peer.
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        _ => "the certificate is not valid",
    };
    (Kind::Certificate, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_the_resolver_is_reported_as_such() {
        let reason = |text| io_reason(&io::Error::other(text));
        assert_eq!(
            reason("failed to lookup address information: acme-canary"),
            "the host name does not resolve"
        );
        assert_eq!(reason("acme-canary"), "the connection failed");
    }

    #[test]
    fn the_other_name_of_a_certificate_is_not_reported() {
        let error = CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("a").unwrap().to_owned(),
            presented: vec!["acme-canary".into()],
        };
        let (_, reason) = certificate_failure(&error);
        assert_eq!(reason, "the certificate is for another name");
    }
}
