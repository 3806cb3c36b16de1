//! Finds the API server from inside a pod: by two variables and the mounted ServiceAccount.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use super::installation::NAMESPACE;
use super::{Access, Token};
use crate::config::endpoint::is_address;
use crate::config::env::Env;
use crate::error::Error;
use crate::http;

/// The folder in which the kubelet mounts the ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(crate) const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// Reads address, CA and token. The token is read only once: the kubelet renews it, but a run ends
/// before the token expires.
pub(crate) fn access(env: &Env, service_account: &Path) -> Result<Access, Error> {
    let server = server(env)?;
    let file = service_account.join("ca.crt");
    let roots = http::roots(&read(&file)?).map_err(|e| fault(&file, e))?;
    let file = service_account.join("token");
    let token = String::from_utf8(read(&file)?).map_err(|_| fault(&file, "not UTF-8"))?;
    let token = Token::new(&token).map_err(|e| fault(&file, e))?;
    Ok(Access { server, roots, token: Some(token), identity: None })
}

/// Returns the namespace of the pod, for the commands that are shown. If it is unknown, returns
/// that of the manifest.
pub(crate) fn namespace(service_account: &Path) -> String {
    let text = fs::read_to_string(service_account.join("namespace")).unwrap_or_default();
    let is_of_label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = (1..=63).contains(&text.len()) && text.bytes().all(is_of_label);
    if is_label { text } else { NAMESPACE.to_owned() }
}

fn server(env: &Env) -> Result<String, Error> {
    let outside = "not in a pod (KUBERNETES_SERVICE_HOST is not set), and neither --kubeconfig nor --recorded is given";
    let host = env.get(HOST)?.ok_or_else(|| Error::access("no cluster", outside))?;
    let port = env.get(PORT)?.unwrap_or_else(|| "443".to_owned());
    let port: u16 = port.parse().map_err(|_| Error::access(PORT, "not a port"))?;
    let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    let server = if is_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match server.parse() {
        Ok(authority) if is_address(&authority) => Ok(format!("https://{server}")),
        _ => Err(Error::access(HOST, "not an address")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|e| fault(file, e))
}

fn fault(file: &Path, reason: impl std::fmt::Display) -> Error {
    Error::access(file.display(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pairs: &[(&str, &str)]) -> Result<String, String> {
        server(&Env::of(pairs)).map_err(|e| e.to_string())
    }

    #[test]
    fn two_variables_give_the_address() {
        for (host, port, expected) in [
            ("10.43.0.1", "443", "https://10.43.0.1:443"),
            ("10.43.0.1", "", "https://10.43.0.1:443"),
            ("10.43.0.1", "6443", "https://10.43.0.1:6443"),
            ("fd00::1", "443", "https://[fd00::1]:443"),
            ("kubernetes.default", "443", "https://kubernetes.default:443"),
        ] {
            assert_eq!(at(&[(HOST, host), (PORT, port)]).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_wrong_address_names_its_variable() {
        for (host, port, variable) in [
            ("10.43.0.1", "0x1", PORT),
            ("10.43.0.1", "65536", PORT),
            ("not an address", "443", HOST),
            ("evil/path", "443", HOST),
            ("user@evil", "443", HOST),
            ("evil?x", "443", HOST),
            ("[zz]", "443", HOST),
            ("[127.0.0.1]", "443", HOST),
            ("[]", "443", HOST),
        ] {
            let error = at(&[(HOST, host), (PORT, port)]).unwrap_err();
            assert!(error.starts_with(variable), "{error}");
        }
    }

    #[test]
    fn the_error_outside_a_pod_names_all_three_ways_to_read_a_cluster() {
        let error = at(&[]).unwrap_err();
        for way in ["in a pod", "--kubeconfig", "--recorded"] {
            assert!(error.contains(way), "{error}");
        }
    }

    #[test]
    fn the_namespace_is_that_of_the_pod_or_kube_system_by_default() {
        let folder = std::env::temp_dir().join(format!("namespace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (text, expected) in [
            ("telemetry-2", "telemetry-2"),
            ("", "kube-system"),
            ("a b", "kube-system"),
            ("A", "kube-system"),
            (&"a".repeat(63), &"a".repeat(63)),
            (&"a".repeat(64), "kube-system"),
        ] {
            fs::write(folder.join("namespace"), text).unwrap();
            assert_eq!(namespace(&folder), expected);
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(namespace(&folder), "kube-system");
    }
}
