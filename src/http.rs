//! Every decision about TLS, roots, proxies, time-outs and sizes, for the two peers: the API
//! server, which is verified by its cluster's CA and never reached through a proxy, and the
//! endpoint.

use std::borrow::Cow;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    TcpConnector, Transport,
};
use ureq::{Agent, Body, Proxy};

use crate::error::Error;

/// Sent to the API server and to the endpoint.
pub(crate) const USER_AGENT: &str = concat!("rke2-metrics-responder/", env!("CARGO_PKG_VERSION"));

/// The largest TLS record: a larger buffer would only take memory, a smaller one more calls.
const BUFFER: usize = 16 << 10;

/// Both peers send a few hundred bytes of headers. Less than the buffer, in which they have to fit.
const MAX_HEADERS: usize = 12 << 10;

/// Requests to one peer. All of them share one deadline.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    budget: Duration,
    deadline: Instant,
    /// For a request through a proxy.
    tunnel: Option<Tunnel>,
}

impl Client {
    /// For the API server: the CA of its cluster, no proxy. Only a kubeconfig can lead to one
    /// without TLS.
    pub(crate) fn cluster(
        roots: RootCerts,
        identity: Option<ClientCert>,
        budget: Duration,
        https_only: bool,
    ) -> Self {
        Self::new(roots, identity, None, budget, https_only)
    }

    /// For the endpoint. The configuration has decided whether it may be plain http.
    pub(crate) fn endpoint(roots: RootCerts, proxy: Option<Proxy>, budget: Duration) -> Self {
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
        let tunnel = proxy.is_some().then(Tunnel::default);
        let config = Agent::config_builder()
            .tls_config(tls)
            // Also where there is none: by default ureq takes a proxy from the environment.
            .proxy(proxy)
            .https_only(https_only)
            // A redirect is returned as the answer that it is.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .accept("application/json")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(MAX_HEADERS)
            .build();
        // ureq's own chain, and the notice between its links.
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(tunnel.clone().unwrap_or_default())
                .chain(TcpConnector::default())
                .chain(RustlsConnector::default());
        Self {
            agent: Agent::with_parts(config, connector, Lookup),
            budget,
            deadline: Instant::now() + budget,
            tunnel,
        }
    }

    /// One GET. Redirects are answers like any other.
    pub(crate) fn get<'h>(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Response, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.config().timeout_global(Some(self.left())).build();
        request.call().map_err(|e| self.failure(e)).map(Response)
    }

    /// One POST of JSON.
    pub(crate) fn post(&self, url: &str, body: &[u8]) -> Result<Response, Failure> {
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/json");
        let left = self.left();
        let request = request.config().timeout_global(Some(left)).build();
        let answer = if self.tunnel.is_some() {
            // ureq restarts its time-out at each byte of a proxy's answer to CONNECT, so the
            // deadline is kept from another thread. The thread left behind ends with the program.
            let body = body.to_vec();
            within(left, move || request.send(&body[..]))
        } else {
            request.send(body)
        };
        answer.map_err(|e| self.failure(e)).map(Response)
    }

    /// Why reading a body ended early.
    pub(crate) fn body_failure(&self, error: io::Error) -> Failure {
        self.failure(ureq::Error::from(error))
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        let failure = match error {
            ureq::Error::Timeout(_) => {
                Failure::NoAnswer(format!("no answer within {:?}", self.budget).into())
            }
            ureq::Error::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref()) {
                Some(e) => tls_failure(e),
                None => Failure::NoAnswer(io_reason(&e)),
            },
            ureq::Error::Rustls(e) => tls_failure(&e),
            ureq::Error::HostNotFound => Failure::NoAnswer("the host name has no address".into()),
            // ureq's own words and the status of the proxy, nothing else of its answer.
            ureq::Error::ConnectProxyFailed(e) => {
                let reason = e.split('/').next().unwrap_or_default();
                Failure::NoAnswer(format!("no tunnel: {reason}").into())
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
        };
        match &self.tunnel {
            Some(tunnel) if !tunnel.stands() => failure.of_the_proxy(),
            _ => failure,
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
        io::ErrorKind::InvalidData => "the peer does not speak TLS",
        // An error of the resolver has neither a number nor a kind of its own.
        _ if error.to_string().starts_with("failed to lookup") => "the host name does not resolve",
        _ => "the connection failed",
    };
    reason.into()
}

/// Notices that a proxy has opened its tunnel: what fails before is the fault of the proxy.
#[derive(Clone, Debug, Default)]
struct Tunnel(Arc<AtomicBool>);

impl Tunnel {
    fn stands(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<In: Transport> Connector<In> for Tunnel {
    type Out = In;

    /// Behind the link that opens tunnels, only a tunnel is connected already.
    fn connect(
        &self,
        _: &ConnectionDetails,
        connected: Option<In>,
    ) -> Result<Option<In>, ureq::Error> {
        self.0.fetch_or(connected.is_some(), Ordering::Relaxed);
        Ok(connected)
    }
}

/// As many addresses as ureq takes.
const MAX_ADDRESSES: usize = 16;

/// Name to addresses. ureq's own resolver starts a thread for an address too, and panics where
/// there can be none.
#[derive(Debug)]
struct Lookup;

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let default_port = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let found = if let Ok(ip) = host.parse::<IpAddr>() {
            vec![SocketAddr::new(ip, port)]
        } else {
            let name = (host.to_owned(), port);
            within(*timeout.after, move || {
                Ok(name.to_socket_addrs()?.take(MAX_ADDRESSES).collect())
            })?
        };
        let mut addresses = self.empty();
        for address in found {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(addresses)
    }
}

/// The beginning of an answer; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Response(ureq::http::Response<Body>);

impl Response {
    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// The body; more than `limit` bytes are an error. `None` is for a body that is not held.
    pub(crate) fn into_reader(self, limit: Option<u64>) -> impl Read + use<> {
        let body = self.0.into_body().into_with_config();
        body.limit(limit.unwrap_or(u64::MAX)).reader()
    }
}

/// Why a request has no usable answer, in words of this program: nothing that a peer wrote into a
/// certificate, a header or a body is repeated.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection, or it broke or timed out.
    NoAnswer(Cow<'static, str>),
    /// The certificate chains to no trusted root.
    UnknownIssuer(Cow<'static, str>),
    /// The certificate cannot be trusted for another reason.
    Certificate(Cow<'static, str>),
    /// The peer answered, but not as it should: TLS, HTTP or its size is wrong.
    Invalid(Cow<'static, str>),
}

impl Failure {
    pub(crate) fn unknown_issuer() -> Self {
        Self::UnknownIssuer("the certificate is of an unknown authority".into())
    }

    /// The reason, for a log line.
    pub(crate) fn reason(self) -> Cow<'static, str> {
        match self {
            Self::NoAnswer(reason)
            | Self::UnknownIssuer(reason)
            | Self::Certificate(reason)
            | Self::Invalid(reason) => reason,
        }
    }

    fn of_the_proxy(self) -> Self {
        let name = |reason| format!("the proxy: {reason}").into();
        match self {
            Self::NoAnswer(reason) => Self::NoAnswer(name(reason)),
            Self::UnknownIssuer(reason) => Self::UnknownIssuer(name(reason)),
            Self::Certificate(reason) => Self::Certificate(name(reason)),
            Self::Invalid(reason) => Self::Invalid(name(reason)),
        }
    }

    /// As the error of a GET to the API server. A peer that answers without a trusted certificate
    /// is not the API server of this cluster.
    pub(crate) fn at(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            Self::NoAnswer(reason) => Error::Unreachable {
                path,
                reason: reason.into(),
            },
            Self::UnknownIssuer(_) | Self::Certificate(_) | Self::Invalid(_) => {
                Error::answer(&path, self.reason())
            }
        }
    }
}

/// The certificates of a PEM bundle, as roots that *replace* the public ones.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCerts, &'static str> {
    let mut store = RootCertStore::empty();
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|_| "not PEM")?;
        // ureq ignores certificates that it cannot parse; a store reports them.
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
pub(crate) fn public_roots() -> RootCerts {
    RootCerts::WebPki
}

/// A client certificate with its key, both PEM.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<ClientCert, &'static str> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| "the client certificate is not PEM")?;
    let certificates: Vec<_> = chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    let der = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the client key is not PEM")?;
    // Where the two do not belong together, ureq panics at the first request.
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

fn tls_failure(error: &rustls::Error) -> Failure {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};

    Failure::Invalid(match error {
        // An authority that was replaced by another of the same name shows only in the signature.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            return Failure::unknown_issuer();
        }
        InvalidCertificate(e) => return Failure::Certificate(certificate_reason(e).into()),
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

    #[cfg(feature = "fips")]
    #[test]
    fn the_provider_is_that_of_the_fips_module() {
        assert!(provider().fips());
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
