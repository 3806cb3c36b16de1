//! Every decision about TLS, trust, proxies, time and size, for the two peers there are: the API server,
//! which is trusted through its own CA and never reached through a proxy, and the endpoint.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use crate::error::Error;

/// Sent to the API server and the endpoint alike.
const USER_AGENT: &str = concat!("rke2-metrics-responder/", env!("CARGO_PKG_VERSION"));

/// The largest TLS record is 16 KiB: a larger buffer would only be memory, a smaller one more calls.
const BUFFER: usize = 16 << 10;

/// Neither peer sends more than a few hundred bytes of headers. Less than the buffer, in which they have to fit.
const MAX_HEADERS: usize = 12 << 10;

/// Requests to one peer, within one budget of time: what the first takes, the next ones lack.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    budget: Duration,
    deadline: Instant,
    proxied: bool,
}

impl Client {
    /// For the API server: its own CA, no proxy.
    #[must_use]
    pub fn cluster(roots: RootCerts, identity: Option<ClientCert>, budget: Duration) -> Self {
        Self::new(roots, identity, None, budget, true)
    }

    /// For the endpoint. Whether plain http will do there was settled by the configuration.
    #[must_use]
    pub fn endpoint(roots: RootCerts, proxy: Option<Proxy>, budget: Duration) -> Self {
        Self::new(roots, None, proxy, budget, false)
    }

    fn new(
        roots: RootCerts,
        identity: Option<ClientCert>,
        proxy: Option<Proxy>,
        budget: Duration,
        https_only: bool,
    ) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(provider())
            .build();
        let proxied = proxy.is_some();
        let agent = Agent::config_builder()
            .tls_config(tls)
            // Said even where there is none: ureq would take one from the environment by itself.
            .proxy(proxy)
            .https_only(https_only)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .accept("application/json")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(MAX_HEADERS)
            .build()
            .new_agent();
        Self {
            agent,
            budget,
            deadline: Instant::now() + budget,
            proxied,
        }
    }

    /// One GET. Redirects are answers like any other.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.config().timeout_global(Some(self.left())).build();
        request.call().map_err(|e| self.failure(e)).map(Response)
    }

    /// One POST of JSON.
    pub fn post(&self, url: &str, body: &[u8]) -> Result<Response, Failure> {
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/json");
        let left = self.left();
        let request = request.config().timeout_global(Some(left)).build();
        let answer = if self.proxied {
            // ureq grants the whole time anew for each byte of a proxy's answer to CONNECT, so that the
            // end has to be watched from outside. A thread left behind ends with the program.
            let body = body.to_vec();
            within(left, move || request.send(&body[..]))
        } else {
            request.send(body)
        };
        answer.map_err(|e| self.failure(e)).map(Response)
    }

    /// Why reading a body ended early.
    #[must_use]
    pub fn body_failure(&self, error: io::Error) -> Failure {
        self.failure(ureq::Error::from(error))
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(_) => {
                Failure::NoAnswer(format!("no answer within {:?}", self.budget).into())
            }
            ureq::Error::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref()) {
                Some(e) => tls_failure(e),
                None => Failure::NoAnswer(io_reason(&e)),
            },
            ureq::Error::Rustls(e) => tls_failure(&e),
            ureq::Error::HostNotFound => Failure::NoAnswer("the host name has no address".into()),
            // ureq's own words and the proxy's status; nothing else of its answer.
            ureq::Error::ConnectProxyFailed(e) => {
                Failure::NoAnswer(format!("no tunnel: {e}").into())
            }
            ureq::Error::BodyExceedsLimit(limit) => {
                Failure::Invalid(format!("the answer is larger than {limit} bytes").into())
            }
            ureq::Error::LargeResponseHeader(..) => {
                Failure::Invalid("the headers are too large".into())
            }
            ureq::Error::Protocol(_) => Failure::Invalid("not HTTP/1.1".into()),
            ureq::Error::Tls(e) => Failure::Invalid(e.into()),
            _ => Failure::Invalid("the request failed".into()),
        }
    }
}

/// The beginning of an answer; its body is still to be read.
#[derive(Debug)]
pub struct Response(ureq::http::Response<Body>);

impl Response {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// The body, which is an error from `limit` bytes on. `None` is for a body that is never held.
    #[must_use]
    pub fn into_reader(self, limit: Option<u64>) -> impl Read + use<> {
        let body = self.0.into_body().into_with_config();
        body.limit(limit.unwrap_or(u64::MAX)).reader()
    }
}

/// Why a request has no usable answer, in words of this program: what a peer wrote into a certificate, a
/// header or a body is not repeated.
#[derive(Debug)]
pub enum Failure {
    /// No connection, or it broke or went silent.
    NoAnswer(Cow<'static, str>),
    /// The peer's certificate is of an authority that is not trusted here.
    UnknownIssuer,
    /// The peer answered, but not as it should: TLS, HTTP or its size is wrong.
    Invalid(Cow<'static, str>),
}

impl Failure {
    /// The reason, for a log line.
    #[must_use]
    pub fn reason(self) -> Cow<'static, str> {
        match self {
            Self::NoAnswer(reason) | Self::Invalid(reason) => reason,
            Self::UnknownIssuer => "the certificate is of an unknown authority".into(),
        }
    }

    /// As the error of a GET to the API server. One that answers, but not with TLS that can be trusted, is
    /// not the API server of this cluster.
    #[must_use]
    pub fn at(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            Self::NoAnswer(reason) => Error::Unreachable {
                path,
                reason: reason.into(),
            },
            Self::UnknownIssuer | Self::Invalid(_) => Error::Answer {
                path,
                reason: self.reason().into(),
            },
        }
    }
}

/// The certificates of a PEM bundle, as roots that *replace* the public ones.
pub fn roots(pem: &[u8]) -> Result<RootCerts, &'static str> {
    let mut store = RootCertStore::empty();
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|_| "not PEM")?;
        // ureq drops what it cannot parse without a word; a store tells which ones those are.
        if store.add(der.clone()).is_ok() {
            certificates.push(Certificate::from_der(&der).to_owned());
        }
    }
    if certificates.is_empty() {
        return Err("no certificate in it");
    }
    Ok(RootCerts::from(certificates))
}

/// The roots that browsers trust, built in.
#[must_use]
pub fn public_roots() -> RootCerts {
    RootCerts::WebPki
}

/// A client certificate with its key, both PEM.
pub fn identity(certificate: &[u8], key: &[u8]) -> Result<ClientCert, &'static str> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| "the client certificate is not PEM")?;
    let certificates: Vec<_> = chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    let der = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the client key is not PEM")?;
    // ureq panics at the first request where the two do not belong together.
    CertifiedKey::from_der(chain, der, &provider())
        .map_err(|_| "the client certificate and key do not belong together")?;
    let key = PrivateKey::from_pem(key).map_err(|_| "the client key is not PEM")?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}

/// The one place where the cryptography is chosen.
fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "fips")]
    let provider = crypto::default_fips_provider();
    #[cfg(not(feature = "fips"))]
    let provider = crypto::ring::default_provider();
    Arc::new(provider)
}

/// The beginning of a cryptographic hash (SHA-256 or SHA-384), which comes with the cryptography of TLS.
#[must_use]
pub fn digest(data: &[u8]) -> [u8; 16] {
    let mut beginning = [0; 16];
    let suites = provider().cipher_suites.clone();
    if let Some(suite) = suites.iter().find_map(rustls::SupportedCipherSuite::tls13) {
        let whole = suite.common.hash_provider.hash(data);
        beginning.copy_from_slice(&whole.as_ref()[..16]);
    }
    beginning
}

fn tls_failure(error: &rustls::Error) -> Failure {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};

    Failure::Invalid(match error {
        // Where an authority was replaced by one of the same name, only the signature tells.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            return Failure::UnknownIssuer;
        }
        InvalidCertificate(e) => certificate_reason(e).into(),
        AlertReceived(alert) => format!("the peer ended TLS: {alert:?}").into(),
        InvalidMessage(_) => "the peer does not speak TLS".into(),
        PeerIncompatible(_) => "no TLS version or cipher in common".into(),
        _ => "TLS failed".into(),
    })
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
        E::Revoked => "the certificate was revoked",
        _ => "the certificate is not valid",
    }
}

/// The system's words for its own errors; of anything else only what kind it is.
fn io_reason(error: &io::Error) -> Cow<'static, str> {
    if error.raw_os_error().is_some() {
        return error.to_string().into();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed early".into(),
        io::ErrorKind::InvalidData => "the peer does not speak TLS".into(),
        // What the resolver says has neither a number nor a kind of its own.
        _ if error.to_string().starts_with("failed to lookup") => {
            "the host name does not resolve".into()
        }
        _ => "the connection failed".into(),
    }
}

fn within<T: Send + 'static>(
    budget: Duration,
    work: impl FnOnce() -> Result<T, ureq::Error> + Send + 'static,
) -> Result<T, ureq::Error> {
    let (done, result) = mpsc::sync_channel(1);
    thread::Builder::new().spawn(move || done.send(work()))?;
    result
        .recv_timeout(budget)
        .unwrap_or(Err(ureq::Error::Timeout(ureq::Timeout::Global)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(names: &[&str]) -> String {
        let one = |name: &&str| {
            let certified = rcgen::generate_simple_self_signed([(*name).to_owned()]).unwrap();
            certified.cert.pem()
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn a_bundle_gives_all_its_certificates() {
        let RootCerts::Specific(certificates) = roots(pem(&["a", "b", "c"]).as_bytes()).unwrap()
        else {
            panic!("not specific");
        };
        assert_eq!(certificates.len(), 3);
    }

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        for pem in ["", "garbage", garbage, broken] {
            assert!(roots(pem.as_bytes()).is_err(), "{pem}");
        }
        assert!(roots([garbage, &pem(&["a"])].concat().as_bytes()).is_ok());
    }

    #[test]
    fn an_identity_must_hold_its_own_key() {
        let make = || rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (one, other) = (make(), make());
        let key = one.signing_key.serialize_pem();
        assert!(identity(one.cert.pem().as_bytes(), key.as_bytes()).is_ok());
        assert!(identity(other.cert.pem().as_bytes(), key.as_bytes()).is_err());
        assert!(identity(b"", key.as_bytes()).is_err());
        assert!(identity(one.cert.pem().as_bytes(), b"").is_err());
    }

    #[test]
    fn a_certificate_for_another_name_does_not_say_which() {
        let error = CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("a")
                .unwrap()
                .to_owned(),
            presented: vec!["acme-canary".into()],
        };
        let reason = tls_failure(&rustls::Error::InvalidCertificate(error)).reason();
        assert_eq!(reason, "the certificate is for another name");
    }
}
