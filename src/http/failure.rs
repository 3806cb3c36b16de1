//! Why a request has no usable answer, in words of this program: nothing that a peer wrote into a
//! certificate, a header or a body is repeated.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use crate::error::Error;

/// Why a request has no usable answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// For a log line.
    pub(crate) reason: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// No connection, or it broke or timed out.
    NoAnswer,
    /// The certificate chains to no trusted root.
    UnknownIssuer,
    /// The certificate cannot be trusted for another reason.
    Certificate,
    /// The peer answered, but not as it should: TLS, HTTP or its size is wrong.
    Invalid,
}

impl Kind {
    fn because(self, reason: impl Into<Cow<'static, str>>) -> Failure {
        Failure {
            kind: self,
            reason: reason.into(),
        }
    }
}

impl Failure {
    /// What ureq says of a request that had this long.
    pub(super) fn new(error: ureq::Error, budget: Duration) -> Self {
        use ureq::Error as E;

        match error {
            E::Timeout(_) => Kind::NoAnswer.because(format!("no answer within {budget:?}")),
            E::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref()) {
                Some(e) => tls_failure(e),
                None => Kind::NoAnswer.because(io_reason(&e)),
            },
            E::Rustls(e) => tls_failure(&e),
            E::HostNotFound => Kind::NoAnswer.because("the host name has no address"),
            // ureq's own words and the status of the proxy, nothing else of its answer.
            E::ConnectProxyFailed(e) => {
                let reason = e.split('/').next().unwrap_or_default();
                Kind::NoAnswer.because(format!("no tunnel: {reason}"))
            }
            E::BodyExceedsLimit(limit) => {
                Kind::Invalid.because(format!("the answer is larger than {limit} bytes"))
            }
            E::LargeResponseHeader(..) => Kind::Invalid.because("the headers are too large"),
            E::Protocol(_) => Kind::Invalid.because("not HTTP/1.1"),
            E::Tls(e) => Kind::Invalid.because(e),
            _ => Kind::Invalid.because("the request failed"),
        }
    }

    pub(crate) fn unknown_issuer() -> Self {
        Kind::UnknownIssuer.because("the certificate is of an unknown authority")
    }

    pub(super) fn of_the_proxy(self) -> Self {
        self.kind.because(format!("the proxy: {}", self.reason))
    }

    /// As the error of a GET to the API server. A peer that answers without a trusted certificate
    /// is not the API server of this cluster.
    pub(crate) fn at(self, path: &str) -> Error {
        match self.kind {
            Kind::NoAnswer => Error::Unreachable {
                path: path.to_owned(),
                reason: self.reason.into(),
            },
            Kind::UnknownIssuer | Kind::Certificate | Kind::Invalid => {
                Error::answer(path, self.reason)
            }
        }
    }
}

/// The operating system's words for its own errors; of anything else only the kind.
fn io_reason(error: &io::Error) -> Cow<'static, str> {
    if error.raw_os_error().is_some() {
        return error.to_string().into();
    }
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed early",
        // An error of the resolver has neither a number nor a kind of its own.
        _ if error.to_string().starts_with("failed to lookup") => "the host name does not resolve",
        _ => "the connection failed",
    };
    reason.into()
}

fn tls_failure(error: &rustls::Error) -> Failure {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};

    match error {
        // An authority that was replaced by another of the same name shows only in the signature.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Failure::unknown_issuer()
        }
        InvalidCertificate(e) => Kind::Certificate.because(certificate_reason(e)),
        AlertReceived(alert) => Kind::Invalid.because(format!("the peer ended TLS: {alert:?}")),
        InvalidMessage(_) => Kind::Invalid.because("the peer does not speak TLS"),
        PeerIncompatible(_) => Kind::Invalid.because("no TLS version or cipher in common"),
        _ => Kind::Invalid.because("TLS failed"),
    }
}

fn certificate_reason(error: &CertificateError) -> &'static str {
    use CertificateError as E;

    match error {
        E::Expired | E::ExpiredContext { .. } => "the certificate has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "the certificate is not valid yet",
        // The text of this one lists the names that the peer does have.
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        _ => "the certificate is not valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_resolver_does_not_resolve() {
        let reason = |text| io_reason(&io::Error::other(text));
        assert_eq!(
            reason("failed to lookup address information: acme-canary"),
            "the host name does not resolve"
        );
        assert_eq!(reason("acme-canary"), "the connection failed");
    }

    #[test]
    fn a_certificate_for_another_name_does_not_say_which() {
        let error = CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("a")
                .unwrap()
                .to_owned(),
            presented: vec!["acme-canary".into()],
        };
        let reason = tls_failure(&rustls::Error::InvalidCertificate(error)).reason;
        assert_eq!(reason, "the certificate is for another name");
    }
}
