//! Makes certificates for the servers of the tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS12;

/// The authority of [`Authority::p521_server`].
pub const P521_CA: &str = include_str!("p521/ca.pem");

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The content of a certificate. The default is for this machine, by its three names.
pub struct Leaf {
    pub names: Vec<String>,
    pub from: (i32, u8, u8),
    pub until: (i32, u8, u8),
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            names: ["127.0.0.1", "::1", "localhost"].map(Into::into).into(),
            from: (2020, 1, 1),
            until: (2100, 1, 1),
        }
    }
}

impl Authority {
    pub fn new() -> Self {
        Self::named("acme-canary authority")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, leaf: Leaf) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(leaf.names).unwrap();
        params.not_before = date_time_ymd(leaf.from.0, leaf.from.1, leaf.from.2);
        params.not_after = date_time_ymd(leaf.until.0, leaf.until.1, leaf.until.2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), key)
    }

    /// Offers TLS 1.2 and 1.3, with a valid certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_with(Leaf::default())
    }

    pub fn server_with(&self, leaf: Leaf) -> Arc<ServerConfig> {
        Arc::new(config(self.issue(leaf), rustls::ALL_VERSIONS))
    }

    pub fn tls12_server(&self) -> Arc<ServerConfig> {
        Arc::new(config(self.issue(Leaf::default()), &[&TLS12]))
    }

    /// Asks for a client certificate of this authority.
    pub fn mutual_server(&self) -> Arc<ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let (certificate, key) = self.issue(Leaf::default());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate], private(&key))
            .unwrap();
        Arc::new(config)
    }
}

impl Authority {
    /// Has a certificate for 127.0.0.1 that [`P521_CA`] has signed with ECDSA and SHA-512, as Go
    /// does with a key on that curve. ring does not know this algorithm, and rcgen cannot sign with
    /// it.
    pub fn p521_server() -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("p521/certificate.pem"));
        let key = KeyPair::from_pem(include_str!("p521/key.pem")).unwrap();
        Arc::new(config((certificate.unwrap(), key), rustls::ALL_VERSIONS))
    }

    /// Has a self-signed certificate.
    pub fn self_signed() -> Arc<ServerConfig> {
        let params = CertificateParams::new(Leaf::default().names).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Arc::new(config((certificate, key), rustls::ALL_VERSIONS))
    }
}

fn config(
    (certificate, key): (CertificateDer<'static>, KeyPair),
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private(&key))
        .unwrap()
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}
