//! Access from outside a cluster: the current context of a kubeconfig.
//!
//! A key that this client does not support is refused by name, never skipped: somebody configured
//! that proxy or plugin for a reason.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::tls::{ClientCert, RootCerts};

use super::{Access, Token};
use crate::config::endpoint::{is_address, is_loopback};
use crate::config::file::read;
use crate::error::Error;
use crate::{http, yaml};

/// Kubeconfigs of hundreds of clusters are smaller, and so is every file that they name.
const MAX_FILE: u64 = 1 << 20;

/// Reads the file, and the files that it names.
pub(crate) fn access(file: &Path) -> Result<Access, Error> {
    let origin = || file.display().to_string();
    let text = read(file, MAX_FILE).map_err(|e| Error::config(origin(), e))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    from_text(&text, folder).map_err(|reason| Error::config(origin(), reason))
}

/// The same of the text of a kubeconfig. Relative paths in it are relative to `folder`.
pub fn from_text(text: &[u8], folder: &Path) -> Result<Access, String> {
    parse(text)?.current()?.access(folder)
}

fn parse(text: &[u8]) -> Result<Kubeconfig, String> {
    let kubeconfig: Result<Option<_>, _> = yaml::read_first(text);
    kubeconfig.map(Option::unwrap_or_default).map_err(|e| {
        // The text of the error may quote a token: keep only the position.
        let place = e.location().map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        });
        format!("not a kubeconfig{place}")
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    contexts: Option<Vec<NamedContext>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    username: Option<String>,
    password: Option<String>,
    r#as: Option<String>,
    as_uid: Option<String>,
    as_groups: Option<IgnoredAny>,
    as_user_extra: Option<IgnoredAny>,
}

/// The cluster and the user of the current context.
struct Current {
    cluster: ClusterEntry,
    user: User,
}

impl Kubeconfig {
    fn current(self) -> Result<Current, String> {
        let name = self
            .current_context
            .filter(|name| !name.is_empty())
            .ok_or("current-context: not set")?;
        let context = self
            .contexts
            .into_iter()
            .flatten()
            .find(|c| c.name == name)
            .ok_or("current-context: there is no context of that name")?
            .context;
        let cluster = self
            .clusters
            .into_iter()
            .flatten()
            .find(|c| c.name == context.cluster)
            .ok_or("contexts: there is no cluster of the current context's name")?
            .cluster;
        let user = match context.user.filter(|user| !user.is_empty()) {
            None => User::default(),
            Some(name) => {
                let named = self.users.into_iter().flatten().find(|u| u.name == name);
                let named =
                    named.ok_or("contexts: there is no user of the current context's name")?;
                named.user.unwrap_or_default()
            }
        };
        Ok(Current { cluster, user })
    }
}

impl Current {
    fn access(self, folder: &Path) -> Result<Access, String> {
        let Self { cluster, user } = self;
        refuse(&[
            (
                "insecure-skip-tls-verify",
                cluster.insecure_skip_tls_verify == Some(true),
            ),
            (
                "tls-server-name",
                is_set(cluster.tls_server_name.as_deref()),
            ),
            ("proxy-url", is_set(cluster.proxy_url.as_deref())),
            ("exec", user.exec.is_some()),
            ("auth-provider", user.auth_provider.is_some()),
            ("username", is_set(user.username.as_deref())),
            ("password", is_set(user.password.as_deref())),
            ("as", is_set(user.r#as.as_deref())),
            ("as-uid", is_set(user.as_uid.as_deref())),
            ("as-groups", user.as_groups.is_some()),
            ("as-user-extra", user.as_user_extra.is_some()),
        ])?;
        let server = server(cluster.server.as_deref().unwrap_or_default())?;
        Ok(Access {
            server,
            roots: cluster.roots(folder)?,
            token: token(user.token.as_deref(), user.token_file.as_deref(), folder)?,
            identity: user.identity(folder)?,
        })
    }
}

impl ClusterEntry {
    fn roots(self, folder: &Path) -> Result<RootCerts, String> {
        let ca = Pem {
            key: "certificate-authority",
            file: self.certificate_authority,
            data: self.certificate_authority_data,
        };
        match ca.read(folder)? {
            Some(pem) => http::roots(&pem).map_err(|e| format!("certificate-authority: {e}")),
            // As kubectl does, which trusts what its system trusts.
            None => Ok(http::public_roots()),
        }
    }
}

impl User {
    fn identity(self, folder: &Path) -> Result<Option<ClientCert>, String> {
        let certificate = Pem {
            key: "client-certificate",
            file: self.client_certificate,
            data: self.client_certificate_data,
        };
        let key = Pem {
            key: "client-key",
            file: self.client_key,
            data: self.client_key_data,
        };
        match (certificate.read(folder)?, key.read(folder)?) {
            (Some(certificate), Some(key)) => Ok(Some(http::identity(&certificate, &key)?)),
            (None, None) => Ok(None),
            (Some(_), None) => Err("client-key: not set".to_owned()),
            (None, Some(_)) => Err("client-certificate: not set".to_owned()),
        }
    }
}

fn refuse(keys: &[(&str, bool)]) -> Result<(), String> {
    match keys.iter().find(|(_, present)| *present) {
        Some((key, _)) => Err(format!(
            "{key}: not supported here; use a kubeconfig without it"
        )),
        None => Ok(()),
    }
}

fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// Http is for `kubectl proxy`, which listens on loopback and does the authentication itself.
fn server(text: &str) -> Result<String, String> {
    let expected = "server: not an https URL (http is only for loopback)";
    let uri: ureq::http::Uri = text.parse().map_err(|_| expected)?;
    let plain = uri.query().is_none() && uri.authority().is_some_and(is_address);
    let encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_loopback),
        _ => false,
    };
    if encrypted && plain {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(expected.to_owned())
    }
}

/// A token file wins over a token, as in client-go.
fn token(token: Option<&str>, file: Option<&str>, folder: &Path) -> Result<Option<Token>, String> {
    let text = match file.filter(|file| !file.is_empty()) {
        Some(file) => {
            let text = read(&folder.join(file), MAX_FILE).map_err(|e| format!("tokenFile: {e}"))?;
            Some(String::from_utf8(text).map_err(|_| "tokenFile: not UTF-8")?)
        }
        None => token
            .filter(|token| !token.is_empty())
            .map(ToOwned::to_owned),
    };
    let token = text.map(|text| Token::new(&text)).transpose();
    token.map_err(|e| format!("token: {e}"))
}

/// PEM that is embedded or in a file. Embedded wins, as in client-go.
struct Pem {
    key: &'static str,
    file: Option<String>,
    data: Option<String>,
}

impl Pem {
    fn read(self, folder: &Path) -> Result<Option<Vec<u8>>, String> {
        let Self { key, file, data } = self;
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let text = decode(&data).ok_or_else(|| format!("{key}-data: not base64"))?;
            return Ok(Some(text));
        }
        match file.filter(|file| !file.is_empty()) {
            Some(file) => read(&folder.join(file), MAX_FILE)
                .map(Some)
                .map_err(|e| format!("{key}: {e}")),
            None => Ok(None),
        }
    }
}

/// Decodes base64, with the parser of PEM, which is linked already: PEM is base64 between two
/// lines, whatever the bytes are.
fn decode(base64: &str) -> Option<Vec<u8>> {
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let decoded = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(decoded.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "current-context: here\n\
             contexts: [{{name: there, context: {{cluster: x, user: x}}}}, \
             {{name: here, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    fn open(text: &str) -> Result<Access, String> {
        parse(text.as_bytes())?
            .current()?
            .access(Path::new("testdata"))
    }

    #[test]
    fn the_current_context_decides() {
        let access = open(&kubeconfig("server: 'https://a:6443/k8s/'", "token: abc")).unwrap();
        assert_eq!(access.server, "https://a:6443/k8s");
        assert!(access.token.is_some() && access.identity.is_none());
    }

    #[test]
    fn an_empty_value_is_none() {
        let user = "token: '', tokenFile: '', username: '', password: '', as: '', as-groups: null";
        let cluster = "server: 'https://a', proxy-url: '', insecure-skip-tls-verify: false";
        let access = open(&kubeconfig(cluster, user)).unwrap();
        assert!(access.token.is_none() && access.identity.is_none());
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (cluster, user, key) in [
            (
                "insecure-skip-tls-verify: true",
                "",
                "insecure-skip-tls-verify",
            ),
            ("tls-server-name: x", "", "tls-server-name"),
            ("proxy-url: 'http://x'", "", "proxy-url"),
            ("", "exec: {command: x}", "exec"),
            ("", "auth-provider: {name: x}", "auth-provider"),
            ("", "username: x", "username"),
            ("", "password: x", "password"),
            ("", "as: x", "as"),
            ("", "as-uid: x", "as-uid"),
            ("", "as-groups: [x]", "as-groups"),
            ("", "as-user-extra: {x: [y]}", "as-user-extra"),
            (
                "certificate-authority-data: '!'",
                "",
                "certificate-authority-data",
            ),
            (
                "certificate-authority: nowhere",
                "",
                "certificate-authority",
            ),
            (
                "certificate-authority-data: QUJD",
                "",
                "certificate-authority",
            ),
            ("", "client-certificate-data: QUJD", "client-key"),
            ("", "client-key-data: QUJD", "client-certificate"),
            ("", "tokenFile: nowhere", "tokenFile"),
            ("", "tokenFile: /dev/zero", "tokenFile"),
            (
                "certificate-authority: /dev/zero",
                "",
                "certificate-authority",
            ),
            ("", "token: 'a b'", "token"),
        ] {
            let server = if cluster.is_empty() {
                "server: 'https://a'"
            } else {
                "server: 'https://a', "
            };
            let error = open(&kubeconfig(&format!("{server}{cluster}"), user))
                .err()
                .unwrap();
            assert!(error.starts_with(&format!("{key}: ")), "{key}: {error}");
        }
    }

    #[test]
    fn a_server_is_an_https_url_or_http_on_loopback() {
        for server in [
            "http://127.0.0.1:8001",
            "http://localhost:8001",
            "http://[::1]:8001",
        ] {
            assert_eq!(
                open(&kubeconfig(&format!("server: '{server}'"), ""))
                    .unwrap()
                    .server,
                server
            );
        }
        for server in [
            "",
            "a",
            "http://a",
            "http://10.0.0.1:8001",
            "http://localhost.example",
            "http://u:p@localhost",
            "https://",
            "https://u:p@a",
            "https://a:644300",
            "http://127.0.0.1:80010",
            "https://a?b",
            "ftp://a",
        ] {
            let error = open(&kubeconfig(&format!("server: '{server}'"), ""))
                .err()
                .unwrap();
            assert_eq!(
                error, "server: not an https URL (http is only for loopback)",
                "{server}"
            );
        }
    }

    #[test]
    fn a_list_may_be_null() {
        let error = |text: &str| open(text).err().unwrap();
        assert_eq!(
            error("{contexts: null, clusters: null, users: null}"),
            "current-context: not set"
        );
        let named = "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n";
        assert!(
            error(&format!("{named}clusters:\nusers:\n"))
                .starts_with("contexts: there is no cluster")
        );
        let cluster = "clusters: [{name: b, cluster: {server: 'https://a'}}]\n";
        assert!(
            error(&format!("{named}{cluster}users:\n")).starts_with("contexts: there is no user")
        );
    }

    #[test]
    fn an_error_gives_the_place_and_quotes_nothing() {
        let error = open("users: [{name: u, user: {token: [acme-canary]}}]")
            .err()
            .unwrap();
        assert!(
            error.contains("line 1") && !error.contains("acme-canary"),
            "{error}"
        );
        for text in ["", "current-context: x", "current-context: ''", "[]", "\t"] {
            assert!(open(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn base64_is_decoded_whole() {
        assert_eq!(decode("QUJDRA==").as_deref(), Some(&b"ABCD"[..]));
        assert_eq!(decode(&"QUJD".repeat(5000)).map(|d| d.len()), Some(15_000));
        assert_eq!(decode("Q!"), None);
    }
}
