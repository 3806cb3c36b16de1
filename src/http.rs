//! Every decision about TLS, roots, proxies, timeouts and sizes, for the two peers: the API
//! server, which is verified by its cluster's CA and never reached through a proxy, and the
//! endpoint.

mod deadline;
mod failure;
mod lookup;
mod pem;
mod tunnel;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, RustlsConnector, TcpConnector,
};
use ureq::{Agent, Body, Proxy};

pub(crate) use failure::{Failure, Kind};
use lookup::Lookup;
use tunnel::Tunnel;

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
        // ureq's own chain, with `Tunnel` behind the link that opens one.
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
            // ureq restarts its timeout at each byte of a proxy's answer to CONNECT, so the
            // deadline is kept from another thread.
            let body = body.to_vec();
            deadline::within(left, move || request.send(&body[..]))
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
        let failure = Failure::new(error, self.budget);
        match &self.tunnel {
            Some(tunnel) if !tunnel.stands() => failure.of_the_proxy(),
            _ => failure,
        }
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

/// Reads a PEM bundle as roots that *replace* the public ones.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCerts, String> {
    let mut store = RootCertStore::empty();
    let mut certificates = pem::certificates(pem)?;
    // One certificate that rustls does not understand must not spoil a bundle of many. ureq would
    // pass over it too, but also accept a bundle in which no other is left.
    certificates.retain(|der| store.add(der.clone()).is_ok());
    if certificates.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(RootCerts::from(owned(&certificates)))
}

fn owned(certificates: &[CertificateDer]) -> Vec<Certificate<'static>> {
    certificates
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
}

/// The roots that browsers trust, built in.
pub(crate) fn public_roots() -> RootCerts {
    RootCerts::WebPki
}

/// Reads a client certificate and its key, both PEM.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<ClientCert, String> {
    let chain =
        pem::certificates(certificate).map_err(|e| format!("the client certificate: {e}"))?;
    let certificates = owned(&chain);
    let (der, key) = pem::key(key)?;
    // Where the two do not belong together, ureq panics at the first request.
    CertifiedKey::from_der(chain, der, &provider()).map_err(
        |_| "the client certificate and key are of an unknown kind, or do not belong together",
    )?;
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
}
