//! Makes every decision about TLS, trusted roots, proxies, timeouts and sizes, for two peers: the
//! endpoint, and the API server, which is verified with the CA of its cluster and never reached
//! through a proxy.

mod deadline;
mod failure;
mod pem;

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;

use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

pub(crate) use deadline::Deadline;
pub(crate) use failure::{Failure, Kind, not_kubernetes};

/// The `User-Agent` header of every request.
pub(crate) const USER_AGENT: &str = concat!("rke2-metrics-responder/", env!("CARGO_PKG_VERSION"));

/// The name of the cryptographic library of this build.
pub(crate) const CRYPTOGRAPHY: &str = if cfg!(feature = "fips") { "aws-lc-fips" } else { "ring" };

/// The size of the largest TLS record. A larger buffer would waste memory, and a smaller one would
/// need more calls.
const BUFFER: usize = 16 << 10;

/// The largest headers of an answer, which must fit into the buffer. Both peers send a few hundred
/// bytes.
const MAX_HEADERS: usize = 12 << 10;

/// A client for one peer. All its requests share one deadline.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    deadline: Deadline,
    is_proxied: bool,
    /// True if a GET was answered, so that the next one reuses its connection.
    is_reused: Cell<bool>,
    /// True until a GET has been sent a second time.
    can_repeat: Cell<bool>,
}

impl Client {
    /// Makes a client. The one for the API server has no proxy, and trusts the CA of its cluster.
    pub(crate) fn new(
        roots: RootCerts,
        identity: Option<ClientCert>,
        proxy: Option<Proxy>,
        deadline: Deadline,
    ) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(provider())
            .build();
        let is_proxied = proxy.is_some();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Set the proxy even to none: by default ureq takes one from the environment.
            .proxy(proxy)
            // Return a redirect as an answer instead of following it.
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

    /// Sends a GET. A redirect is returned like any other answer.
    ///
    /// Retries once per client on a new connection if the reused one was closed, since a server may
    /// close a kept-alive connection at any moment (RFC 9110, section 9.2.2).
    pub(crate) fn get(
        &self,
        url: &str,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Response, Failure> {
        let send = || {
            let mut request = self.agent.get(url).header("Accept", accept);
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            let left = self.deadline.left();
            let request = request.config().timeout_global(Some(left)).build();
            request.call().map_err(|e| self.failure(e)).map(Response)
        };
        let mut answer = send();
        let is_closed = matches!(&answer, Err(e) if e.kind == Kind::Closed);
        if is_closed && self.is_reused.get() && self.can_repeat.take() {
            answer = send();
        }
        self.is_reused.set(answer.is_ok());
        answer
    }

    /// Sends a POST with a JSON body.
    pub(crate) fn post(&self, url: &str, body: &[u8]) -> Result<Response, Failure> {
        let request = self.agent.post(url).header("Content-Type", "application/json");
        let left = self.deadline.left();
        let request = request.config().timeout_global(Some(left)).build();
        let answer = if self.is_proxied {
            // Enforce the deadline from this thread: ureq restarts its timeout at each byte of a
            // proxy's answer to CONNECT.
            let body = body.to_vec();
            self.deadline.within(move || request.send(&body[..]))
        } else {
            request.send(body)
        };
        answer.map_err(|e| self.failure(e)).map(Response)
    }

    /// Explains why a body could not be read to its end.
    pub(crate) fn body_failure(&self, error: io::Error) -> Failure {
        self.failure(ureq::Error::from(error))
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        Failure::new(error, self.deadline.budget)
    }
}

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub(crate) struct Response(ureq::http::Response<Body>);

impl Response {
    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// Returns a reader of the body, which fails after more than `limit` bytes. `None` is for a
    /// body that is streamed and never in memory as a whole.
    pub(crate) fn into_reader(self, limit: Option<u64>) -> impl Read + use<> {
        let body = self.0.into_body().into_with_config();
        body.limit(limit.unwrap_or(u64::MAX)).reader()
    }
}

/// Reads a PEM bundle as roots that *replace* the public ones.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCerts, String> {
    Ok(RootCerts::from(owned(&pem::certificates(pem)?)))
}

fn owned(certificates: &[CertificateDer]) -> Vec<Certificate<'static>> {
    certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// Returns the built-in roots that browsers trust.
pub(crate) fn public_roots() -> RootCerts {
    RootCerts::WebPki
}

/// Reads a client certificate and its key, both PEM.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<ClientCert, String> {
    let chain =
        pem::certificates(certificate).map_err(|e| format!("the client certificate: {e}"))?;
    let certificates = owned(&chain);
    let (der, key) = pem::key(key)?;
    // Check the pair here: ureq panics at the first request if the two do not belong together.
    CertifiedKey::from_der(chain, der, &provider())
        .map_err(|_| "the client certificate and key do not match, or are of an unknown kind")?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}

/// Chooses the cryptographic library; no other code does.
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
    fn every_certificate_of_a_bundle_is_used() {
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
        let error = roots([garbage, &pem(&["a"])].concat().as_bytes()).unwrap_err();
        assert_eq!(error, "not PEM certificates: 1 of 2 could not be read");
    }

    #[test]
    fn a_timeout_names_the_configured_time() {
        let deadline = Deadline::after(Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(5));
        let client = Client::new(public_roots(), None, None, deadline);
        let failure = client.failure(ureq::Error::Timeout(ureq::Timeout::Global));
        assert_eq!(failure.reason, "no answer within 2s");
    }

    #[cfg(feature = "fips")]
    #[test]
    fn a_fips_build_uses_the_fips_module() {
        assert!(provider().fips());
    }

    #[test]
    fn a_client_certificate_must_match_its_key() {
        let make = || rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (one, other) = (make(), make());
        let key = one.signing_key.serialize_pem();
        assert!(identity(one.cert.pem().as_bytes(), key.as_bytes()).is_ok());
        assert!(identity(other.cert.pem().as_bytes(), key.as_bytes()).is_err());
        assert!(identity(b"", key.as_bytes()).is_err());
        assert!(identity(one.cert.pem().as_bytes(), b"").is_err());
    }
}
