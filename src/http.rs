//! Every decision about TLS, roots, proxies, timeouts and sizes, for the two peers: the API
//! server, which is verified by its cluster's CA and never reached through a proxy, and the
//! endpoint.

mod deadline;
mod failure;
mod pem;

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

pub(crate) use deadline::Deadline;
pub(crate) use failure::{Failure, Kind, not_kubernetes};

/// Sent to the API server and to the endpoint.
pub(crate) const USER_AGENT: &str = concat!("rke2-metrics-responder/", env!("CARGO_PKG_VERSION"));

/// The cryptography that this build uses, by the name of its library.
pub(crate) const CRYPTOGRAPHY: &str = if cfg!(feature = "fips") {
    "aws-lc-fips"
} else {
    "ring"
};

/// The largest TLS record: a larger buffer would only take memory, a smaller one more calls.
const BUFFER: usize = 16 << 10;

/// Both peers send a few hundred bytes of headers. They must fit into the buffer.
const MAX_HEADERS: usize = 12 << 10;

/// Requests to one peer. All of them share one deadline.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    deadline: Deadline,
    is_proxied: bool,
    /// Whether a GET was answered: the next one then uses its connection.
    is_reused: Cell<bool>,
    /// Whether a GET may still be sent once more.
    can_repeat: Cell<bool>,
}

impl Client {
    /// For the API server: verified by the CA of its cluster, never through a proxy. Only a
    /// kubeconfig can lead to one without TLS.
    pub(crate) fn cluster(
        roots: RootCerts,
        identity: Option<ClientCert>,
        deadline: Deadline,
        https_only: bool,
    ) -> Self {
        Self::new(roots, identity, None, deadline, https_only)
    }

    /// For the endpoint. The configuration has decided whether it may be plain http.
    pub(crate) fn endpoint(roots: RootCerts, proxy: Option<Proxy>, deadline: Deadline) -> Self {
        Self::new(roots, None, proxy, deadline, false)
    }

    fn new(
        roots: RootCerts,
        identity: Option<ClientCert>,
        proxy: Option<Proxy>,
        deadline: Deadline,
        https_only: bool,
    ) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(provider())
            .build();
        let is_proxied = proxy.is_some();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Set it even to none: by default ureq takes a proxy from the environment.
            .proxy(proxy)
            .https_only(https_only)
            // Return a redirect as the answer that it is.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .accept("application/json")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(MAX_HEADERS)
            .build();
        Self {
            agent: config.new_agent(),
            deadline,
            is_proxied,
            is_reused: Cell::new(false),
            can_repeat: Cell::new(true),
        }
    }

    /// One GET. Redirects are answers like any other.
    ///
    /// A server may close a kept-alive connection at any moment. The first GET that finds its
    /// connection closed is sent once more, on a new one (RFC 9110, section 9.2.2).
    pub(crate) fn get<'h>(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)> + Clone,
    ) -> Result<Response, Failure> {
        let mut answer = self.get_once(url, headers.clone());
        let is_closed = matches!(&answer, Err(e) if e.kind == Kind::Closed);
        if is_closed && self.is_reused.get() && self.can_repeat.take() {
            answer = self.get_once(url, headers);
        }
        self.is_reused.set(answer.is_ok());
        answer
    }

    fn get_once<'h>(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Response, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let left = self.deadline.left();
        let request = request.config().timeout_global(Some(left)).build();
        request.call().map_err(|e| self.failure(e)).map(Response)
    }

    /// One POST of JSON.
    pub(crate) fn post(&self, url: &str, body: &[u8]) -> Result<Response, Failure> {
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/json");
        let left = self.deadline.left();
        let request = request.config().timeout_global(Some(left)).build();
        let answer = if self.is_proxied {
            // ureq restarts its timeout at each byte of a proxy's answer to CONNECT, so another
            // thread keeps the deadline.
            let body = body.to_vec();
            self.deadline.within(move || request.send(&body[..]))
        } else {
            request.send(body)
        };
        answer.map_err(|e| self.failure(e)).map(Response)
    }

    /// Tells why reading a body ended early.
    pub(crate) fn body_failure(&self, error: io::Error) -> Failure {
        self.failure(ureq::Error::from(error))
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        Failure::new(error, self.deadline.budget)
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
    use std::time::Duration;

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
    fn a_timeout_names_the_whole_budget() {
        let deadline = Deadline::after(Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(5));
        let client = Client::endpoint(public_roots(), None, deadline);
        let failure = client.failure(ureq::Error::Timeout(ureq::Timeout::Global));
        assert_eq!(failure.reason, "no answer within 2s");
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
