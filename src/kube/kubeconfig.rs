//! Finds the API server from outside a cluster, by a context of a kubeconfig.
//!
//! Reads the file as client-go does, and ignores entries that are not used. An unsupported key is
//! an error that names it, and is never ignored: somebody configured that proxy or plugin for a
//! reason.

mod keys;

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{ClientCert, RootCerts};

use super::{Access, Token};
use crate::config::endpoint::{is_address, is_loopback};
use crate::config::file::read;
use crate::{http, yaml};
use keys::{Keys, NO_KEYS, Node};

/// The largest kubeconfig, and the largest file that it names. Those of hundreds of clusters are
/// smaller.
const MAX_FILE: u64 = 1 << 20;

const INSECURE: &str = "insecure-skip-tls-verify";

/// The keys of a cluster and of a user that are not supported.
const UNSUPPORTED: &str = "insecure-skip-tls-verify tls-server-name proxy-url \
     exec auth-provider username password as as-uid as-groups as-user-extra";

/// Reads the file, and the files that it names. `context` overrides the current context of the
/// file.
pub(crate) fn access(file: &Path, context: Option<&str>) -> Result<Access, String> {
    let text = read(file, MAX_FILE).map_err(|e| e.to_string())?;
    from_text(&text, file.parent().unwrap_or(Path::new("")), context)
}

/// Reads the text of a kubeconfig. Relative paths in it are relative to `folder`.
pub fn from_text(text: &[u8], folder: &Path, context: Option<&str>) -> Result<Access, String> {
    let root = parse(text)?;
    let (cluster, user) = root.chosen(context)?;
    cluster.refuse_unsupported()?;
    user.refuse_unsupported()?;
    Ok(Access {
        server: server(&cluster.text("server")?.unwrap_or_default())?,
        roots: cluster.roots(folder)?,
        token: user.token(folder)?,
        identity: user.identity(folder)?,
    })
}

/// Reads the first document. An error keeps only its position: the text may quote a token.
fn parse(text: &[u8]) -> Result<Keys, String> {
    let document: Result<Option<_>, _> = yaml::read_first(text);
    document.map(Option::unwrap_or_default).map_err(|e| {
        let place = e.location().map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        });
        format!("not a kubeconfig{place}")
    })
}

impl Keys {
    /// Finds the cluster and the user of a context.
    fn chosen(&self, context: Option<&str>) -> Result<(&Self, &Self), String> {
        let current = || self.text("current-context");
        let (key, name) = match context {
            Some(name) => ("--context", name.to_owned()),
            None => ("current-context", current()?.ok_or("current-context: not set")?),
        };
        let context = self
            .entry("contexts", "context", &name)?
            .ok_or_else(|| format!("{key}: there is no context with that name"))?;
        let cluster = context.text("cluster")?.unwrap_or_default();
        let cluster = self
            .entry("clusters", "cluster", &cluster)?
            .ok_or("contexts: there is no cluster with the name that the context gives")?;
        let user = match context.text("user")? {
            None => &NO_KEYS,
            Some(name) => self
                .entry("users", "user", &name)?
                .ok_or("contexts: there is no user with the name that the context gives")?,
        };
        Ok((cluster, user))
    }

    fn refuse_unsupported(&self) -> Result<(), String> {
        let Some(key) = UNSUPPORTED.split(' ').find(|key| self.is_set(key)) else {
            return Ok(());
        };
        let remedy = match key {
            INSECURE => "set certificate-authority-data to the cluster's CA, or ",
            "tls-server-name" => "set server to a name that is in its certificate, or ",
            _ => "",
        };
        Err(format!(
            "{key}: not supported here; {remedy}run kubectl proxy and use a kubeconfig with server \
             http://127.0.0.1:8001"
        ))
    }

    /// Returns true if an unsupported key is in use. An empty plugin counts, since client-go
    /// rejects it.
    fn is_set(&self, key: &str) -> bool {
        match (key, self.get(key)) {
            (_, None) => false,
            ("exec" | "auth-provider", _) => true,
            (INSECURE, Some(Node::Text(word))) => {
                !["", "false", "no", "off", "n"].contains(&&*word.to_ascii_lowercase())
            }
            (_, Some(Node::Text(text))) => !text.is_empty(),
            (_, Some(Node::List(list))) => !list.is_empty(),
            (_, Some(Node::Keys(keys))) => !keys.is_empty(),
            (_, Some(_)) => true,
        }
    }

    /// Reads the CA. Without one, uses the public roots, as kubectl uses those of its system.
    fn roots(&self, folder: &Path) -> Result<RootCerts, String> {
        match self.pem("certificate-authority", folder)? {
            Some(pem) => http::roots(&pem).map_err(|e| format!("certificate-authority: {e}")),
            None => Ok(http::public_roots()),
        }
    }

    fn identity(&self, folder: &Path) -> Result<Option<ClientCert>, String> {
        let certificate = self.pem("client-certificate", folder)?;
        match (certificate, self.pem("client-key", folder)?) {
            (Some(certificate), Some(key)) => http::identity(&certificate, &key).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err("client-key: not set".to_owned()),
            (None, Some(_)) => Err("client-certificate: not set".to_owned()),
        }
    }

    /// Reads the token from its file or, if that cannot be read, from `token`, as client-go does.
    fn token(&self, folder: &Path) -> Result<Option<Token>, String> {
        let mut token = self.text("token")?;
        if let Some(file) = self.text("tokenFile")? {
            match read(&folder.join(file), MAX_FILE) {
                Ok(text) => {
                    token = Some(String::from_utf8(text).map_err(|_| "tokenFile: not UTF-8")?);
                }
                Err(error) if token.is_none() => return Err(format!("tokenFile: {error}")),
                Err(_) => {}
            }
        }
        let token = token.map(|text| Token::new(&text)).transpose();
        token.map_err(|e| format!("token: {e}"))
    }

    /// Reads PEM that is embedded or in a file. Prefers the embedded text, as client-go does.
    fn pem(&self, key: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
        let data = format!("{key}-data");
        if let Some(base64) = self.text(&data)? {
            let pem = decode(&base64).ok_or_else(|| format!("{data}: not base64"));
            return pem.map(Some);
        }
        let file = self.text(key)?;
        let pem = file.map(|file| read(&folder.join(file), MAX_FILE));
        pem.transpose().map_err(|e| format!("{key}: {e}"))
    }
}

/// Checks the URL of the server. Allows http on loopback, for `kubectl proxy`, which authenticates
/// itself.
fn server(text: &str) -> Result<String, String> {
    let expected = "server: not an https URL (http is only for loopback)";
    let uri: ureq::http::Uri = text.parse().map_err(|_| expected)?;
    let plain = !text.contains(['?', '#']) && uri.authority().is_some_and(is_address);
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

/// Decodes base64 with the PEM parser, which the program contains anyway: PEM is base64 between two
/// lines, for any bytes.
pub(super) fn decode(base64: &str) -> Option<Vec<u8>> {
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
        from_text(text.as_bytes(), Path::new("testdata"), None)
    }

    #[test]
    fn the_current_context_decides() {
        let access = open(&kubeconfig("server: 'https://a:6443/k8s/'", "token: abc")).unwrap();
        assert_eq!(access.server, "https://a:6443/k8s");
        assert!(access.token.is_some() && access.identity.is_none());
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let user = "token: '', tokenFile: '', username: '', password: '', as: '', as-groups: null";
        let cluster = "server: 'https://a', proxy-url: '', insecure-skip-tls-verify: false";
        let access = open(&kubeconfig(cluster, user)).unwrap();
        assert!(access.token.is_none() && access.identity.is_none());
    }

    #[test]
    fn an_unsupported_or_wrong_key_is_refused_by_name() {
        for (cluster, user, key) in [
            ("insecure-skip-tls-verify: true", "", "insecure-skip-tls-verify"),
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
            ("certificate-authority-data: '!'", "", "certificate-authority-data"),
            ("certificate-authority: nowhere", "", "certificate-authority"),
            ("certificate-authority-data: QUJD", "", "certificate-authority"),
            ("", "client-certificate-data: QUJD", "client-key"),
            ("", "client-key-data: QUJD", "client-certificate"),
            ("", "tokenFile: nowhere", "tokenFile"),
            ("", "tokenFile: /dev/zero", "tokenFile"),
            ("certificate-authority: /dev/zero", "", "certificate-authority"),
            ("", "token: 'a b'", "token"),
        ] {
            let server =
                if cluster.is_empty() { "server: 'https://a'" } else { "server: 'https://a', " };
            let error = open(&kubeconfig(&format!("{server}{cluster}"), user)).err().unwrap();
            assert!(error.starts_with(&format!("{key}: ")), "{key}: {error}");
        }
    }

    #[test]
    fn a_server_is_an_https_url_or_http_on_loopback() {
        for server in ["http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001"] {
            assert_eq!(
                open(&kubeconfig(&format!("server: '{server}'"), "")).unwrap().server,
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
            "https://a#b",
            "https://[zz]/",
            "https://[]",
            "https://[127.0.0.1]:6443",
            "https://[::1%25eth0]",
            "http://[localhost]:8001",
            "ftp://a",
        ] {
            let error = open(&kubeconfig(&format!("server: '{server}'"), "")).err().unwrap();
            assert_eq!(error, "server: not an https URL (http is only for loopback)", "{server}");
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
    fn an_error_names_the_place_and_quotes_nothing() {
        let named = kubeconfig("server: 'https://a'", "token: acme-canary");
        for text in [
            format!("{named}users: []\n"),
            format!("{named}acme-canary"),
            format!("{named}x: *acme-canary\n"),
            format!("{named}x: [acme-canary\n"),
            format!("{named}x: {{<<: acme-canary}}\n"),
            format!("{named}x: {{<<: [acme-canary]}}\n"),
            format!("{named}x: {{acme-canary: 1, 'acme-canary': 2}}\n"),
        ] {
            let error = open(&text).err().unwrap();
            assert!(error.starts_with("not a kubeconfig"), "{error}");
            assert!(!error.contains("acme-canary"), "{error}");
        }
        let error = open("a: 1\n\tb: 2\n").err().unwrap();
        assert!(error.contains(" at line 2, column 1"), "{error}");
        for text in ["", "current-context: x", "current-context: ''", "[]", "\t"] {
            assert!(open(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_type_names_its_key_and_quotes_nothing() {
        let good = kubeconfig("server: 'https://a'", "token: t");
        for (from, to, key) in [
            ("token: t", "token: [acme-canary]", "token: a string"),
            ("token: t", "token: 1.5", "token: a string"),
            ("{token: t}", "acme-canary", "user: a mapping"),
            ("{token: t}", "[acme-canary]", "user: a mapping"),
            ("'https://a'", "{acme-canary: 1}", "server: a string"),
            ("{server: 'https://a'}", "acme-canary", "cluster: a mapping"),
            ("here\n", "{acme-canary: 1}\n", "current-context: a string"),
            ("{cluster: c, user: u}", "[acme-canary]", "context: a mapping"),
            ("cluster: c, user: u", "cluster: [c], user: u", "cluster: a string"),
            ("cluster: c, user: u", "cluster: c, user: {u: u}", "user: a string"),
            ("users: [", "users: acme-canary\nothers: [", "users: a list"),
            ("clusters: [", "clusters: {}\nothers: [", "clusters: a list"),
            ("contexts: [", "contexts: 5\nothers: [", "contexts: a list"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = open(&good.replace(from, to)).err().unwrap();
            assert!(error.starts_with(key), "{to}: {error}");
            assert!(!error.contains("acme-canary"), "{to}: {error}");
        }
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let list = |of: &str, times| vec![of; times].join(",");
        let (one, many) = (list("1", 800), list("*a", 300));
        let text = format!("a: &a [{one}]\nb: &b [{many}]\nc: [{}]\n", list("*b", 300));
        let error = open(&text).err().unwrap();
        assert!(error.starts_with("not a kubeconfig at line 1, "), "{error}");
    }

    /// kubectl also reads most of these; it refuses the others although the entry is not used.
    #[test]
    fn an_entry_that_is_not_used_may_be_anything() {
        let good = kubeconfig("server: 'https://a'", "token: t");
        let entries = [
            "{name: other}",
            "{name: other, context: {user: u}}",
            "{name: other, context: null, cluster: null, user: null}",
            "{name: other, context: 5, cluster: [x], user: y}",
            "{name: other, cluster: {server: 5, proxy-url: 'http://p'}, user: {exec: {}}}",
            "{context: {cluster: c}, cluster: {server: x}, user: {token: y}}",
            "{name: [other]}",
            "{name: 1.30}",
            "null",
            "5",
            "x",
            "[]",
            "{}",
            "{5: 6, [7]: 8}",
        ];
        for list in ["contexts: [", "clusters: [", "users: ["] {
            for entry in entries {
                let text = good.replace(list, &format!("{list}{entry}, "));
                let access = open(&text).unwrap_or_else(|e| panic!("{text}{e}"));
                assert_eq!(access.server, "https://a");
                assert!(access.token.is_some());
            }
        }
        for other in ["preferences: [1]", "extensions: 5", "5: x", "<<: {users: []}"] {
            assert!(open(&format!("{other}\n{good}")).is_ok(), "{other}");
        }
    }

    #[test]
    fn contexts_without_a_cluster_and_without_a_context_are_read() {
        for other in ["\n  context: {user: u}", ""] {
            let text = format!(
                "apiVersion: v1\n\
                 kind: Config\n\
                 clusters:\n\
                 - name: c\n  cluster:\n    server: http://127.0.0.1:1\n\
                 contexts:\n\
                 - name: x\n  context: {{cluster: c, user: u}}\n\
                 - name: other{other}\n\
                 current-context: x\n\
                 users:\n\
                 - name: u\n  user:\n    token: placeholder\n"
            );
            assert_eq!(open(&text).unwrap().server, "http://127.0.0.1:1");
        }
    }

    #[test]
    fn a_null_counts_as_unset() {
        let nulls = "certificate-authority: null, certificate-authority-data: ~, \
                     insecure-skip-tls-verify: null, tls-server-name: , proxy-url: null";
        let cluster = format!("server: 'https://a', {nulls}");
        let user = "token: null, tokenFile: ~, exec: null, auth-provider: , as-groups: null, \
                    as-user-extra: null, username: null, client-key-data: null";
        let access = open(&kubeconfig(&cluster, user)).unwrap();
        assert!(access.token.is_none() && access.identity.is_none());
        let good = kubeconfig("server: 'https://a'", "token: t");
        assert!(open(&good.replace("{token: t}", "null")).is_ok());
        assert!(open(&good.replace("user: u", "user: null")).is_ok());
        for (from, to, error) in [
            ("{server: 'https://a'}", "null", "server: not an https"),
            ("cluster: c,", "cluster: null,", "contexts: there is no cl"),
            ("{cluster: c, user: u}", "null", "contexts: there is no cl"),
        ] {
            let found = open(&good.replace(from, to)).err().unwrap();
            assert!(found.starts_with(error), "{from}: {found}");
        }
    }

    #[test]
    fn any_value_that_is_not_clearly_false_is_insecure() {
        let open = |word: &str| {
            let cluster = format!("server: 'https://a', insecure-skip-tls-verify: {word}");
            super::from_text(kubeconfig(&cluster, "").as_bytes(), Path::new(""), None)
        };
        for word in [
            "false", "False", "FALSE", "no", "No", "n", "N", "off", "OFF", "'false'", "\"no\"",
            "''", "null", "~",
        ] {
            assert!(open(word).is_ok(), "{word}");
        }
        for word in [
            "true",
            "True",
            "TRUE",
            "yes",
            "Yes",
            "y",
            "Y",
            "on",
            "ON",
            "'true'",
            "\"yes\"",
            "1",
            "0",
            "' '",
            "x",
            "[]",
            "{}",
            "[false]",
            "!!bool true",
        ] {
            let error = open(word).err();
            let refused = error.is_some_and(|e| e.starts_with("insecure-skip-tls-verify: "));
            assert_eq!(refused, !["[]", "{}"].contains(&word), "{word}");
        }
    }

    #[test]
    fn names_that_look_like_numbers_or_booleans_are_strings() {
        for name in ["5", "true", "yes", "2024-01-01", "007", "null-1"] {
            let text = kubeconfig("server: 'https://a'", "token: 12345")
                .replace("here", name)
                .replace("cluster: c,", &format!("cluster: {name},"))
                .replace("name: c,", &format!("name: {name},"));
            let access = open(&text).unwrap();
            assert_eq!(access.token.unwrap().0, "Bearer 12345");
            let quoted = text.replacen(name, &format!("'{name}'"), 1);
            assert!(open(&quoted).is_ok(), "{quoted}");
        }
    }

    #[test]
    fn a_merge_key_adds_the_keys_of_other_mappings() {
        let server = |cluster: &str, top: &str| {
            let text = [top, &kubeconfig(cluster, "token: t")].concat();
            open(&text).map(|access| access.server)
        };
        let (a, b) = ("server: 'https://a'", "server: 'https://b'");
        for (cluster, top, expected) in [
            (format!("<<: {{{a}}}"), "", "https://a"),
            (format!("<<: [{{x: y}}, {{{a}}}]"), "", "https://a"),
            (format!("<<: [{{{a}}}, {{{b}}}]"), "", "https://a"),
            (format!("<<: {{<<: {{{a}}}}}"), "", "https://a"),
            // The later key wins, as in kubectl.
            (format!("<<: {{{b}}}, {a}"), "", "https://a"),
            (format!("{b}, <<: {{{a}}}"), "", "https://a"),
            (format!("{a}, <<: []"), "", "https://a"),
            (
                "<<: *middle".to_owned(),
                "base: &base {server: 'https://a'}\nmiddle: &middle {<<: *base}\n",
                "https://a",
            ),
        ] {
            assert_eq!(server(&cluster, top).as_deref(), Ok(expected), "{cluster}");
        }
        let twice = format!("{a}, <<: {{}}, <<: {{}}");
        assert!(server(&twice, "").unwrap_err().starts_with("not a kubeconfig"));
    }

    #[test]
    fn an_unsupported_key_is_also_refused_in_a_merged_mapping() {
        let anchors =
            "base: &base {proxy-url: 'http://127.0.0.1:2'}\nmiddle: &middle {<<: *base}\n";
        for merged in [
            "{proxy-url: \"http://127.0.0.1:2\"}",
            "[{proxy-url: 'http://127.0.0.1:2'}]",
            "[{<<: {x: y}}, {<<: {proxy-url: 'http://127.0.0.1:2'}}]",
            "*base",
            "*middle",
            "[*middle, {x: y}]",
        ] {
            let cluster = format!("server: 'https://a', <<: {merged}");
            let text = [anchors, &kubeconfig(&cluster, "token: t")].concat();
            let error = open(&text).err().unwrap();
            assert!(error.starts_with("proxy-url: not supported here; "), "{error}");
        }
        let error = open(&kubeconfig("server: 'https://a'", "token: t, <<: {exec: {}}"));
        assert!(error.err().unwrap().starts_with("exec: not supported here; "));
        // Merge a whole entry, and the lists.
        let good = kubeconfig("server: 'https://a'", "token: t");
        let entry = good.replace("{name: u, user: {token: t}}", "{<<: {name: u, user: {as: x}}}");
        assert!(open(&entry).err().unwrap().starts_with("as: "));
        let lists = format!("<<:\n  {}", good.trim_end().replace('\n', "\n  "));
        assert_eq!(open(&lists).unwrap().server, "https://a");
    }

    #[test]
    fn the_error_for_an_unsupported_key_names_a_remedy() {
        let proxy = "run kubectl proxy and use a kubeconfig with server http://127.0.0.1:8001";
        for (cluster, user, other) in [
            ("proxy-url: 'http://p'", "", ""),
            ("tls-server-name: x", "", "set server to a name that is in its certificate, or "),
            (
                "insecure-skip-tls-verify: true",
                "",
                "set certificate-authority-data to the cluster's CA, or ",
            ),
            ("", "exec: {}", ""),
            ("", "exec: []", ""),
            ("", "auth-provider: ''", ""),
        ] {
            let error = open(&kubeconfig(cluster, user)).err().unwrap();
            let remedy = format!("not supported here; {other}{proxy}");
            assert!(error.ends_with(&remedy), "{error}");
        }
    }

    #[test]
    fn another_context_can_be_chosen() {
        let text = kubeconfig("server: 'https://a'", "token: t").replace(
            "{name: there, context: {cluster: x, user: x}}",
            "{name: there, context: {cluster: d}}",
        );
        let text =
            text.replace("clusters: [", "clusters: [{name: d, cluster: {server: 'https://d'}}, ");
        let open = |text: &str, context| from_text(text.as_bytes(), Path::new(""), Some(context));
        for current in ["current-context: here", "current-context: [x]", "x: y"] {
            let text = text.replace("current-context: here", current);
            let access = open(&text, "there").unwrap();
            assert_eq!(access.server, "https://d");
            assert!(access.token.is_none());
            assert_eq!(open(&text, "here").unwrap().server, "https://a");
        }
        for unknown in ["acme-canary", "", "Here"] {
            let error = open(&text, unknown).err().unwrap();
            assert_eq!(error, "--context: there is no context with that name");
        }
    }

    #[test]
    fn a_file_that_is_not_a_kubeconfig_is_an_error() {
        let error = access(Path::new("LICENSE"), None).err().unwrap();
        assert!(error.starts_with("not a kubeconfig"), "{error}");
        let error = access(Path::new("nowhere"), None).err().unwrap();
        assert!(error.starts_with("No such file"), "{error}");
    }

    #[test]
    fn a_token_replaces_a_token_file_that_cannot_be_read() {
        let token = |user: &str| {
            let access = open(&kubeconfig("server: 'https://a'", user)).unwrap();
            access.token.unwrap().0
        };
        assert_eq!(token("token: t, tokenFile: nowhere"), "Bearer t");
        let folder = std::env::temp_dir().join(format!("token-{}", std::process::id()));
        std::fs::write(&folder, "of-the-file\n").unwrap();
        let user = format!("token: t, tokenFile: '{}'", folder.display());
        assert_eq!(token(&user), "Bearer of-the-file");
        std::fs::remove_file(folder).unwrap();
    }

    #[test]
    fn base64_of_any_length_is_decoded() {
        assert_eq!(decode("QUJDRA==").as_deref(), Some(&b"ABCD"[..]));
        assert_eq!(decode(&"QUJD".repeat(5000)).map(|d| d.len()), Some(15_000));
        assert_eq!(decode("QUJD\n  RA==\n").as_deref(), Some(&b"ABCD"[..]));
        assert_eq!(decode("Q!"), None);
    }
}
