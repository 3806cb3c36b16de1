//! The way into the cluster that every pod is given: two variables and the mounted ServiceAccount.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use super::{Access, Token};
use crate::env::Env;
use crate::error::Error;
use crate::http;

/// Where the kubelet mounts it.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// Reads address, CA and token. The token's file is read once: the kubelet renews it, but no run lives
/// long enough to need the next one.
pub fn access(env: &Env, service_account: &Path) -> Result<Access, Error> {
    let server = server(env)?;
    let ca = read(&service_account.join("ca.crt"))?;
    let roots = http::roots(&ca).map_err(|e| fault(&service_account.join("ca.crt"), e))?;
    let file = service_account.join("token");
    let token = String::from_utf8(read(&file)?)
        .map_err(|_| "not UTF-8")
        .and_then(|text| Token::new(&text))
        .map_err(|e| fault(&file, e))?;
    Ok(Access {
        server,
        roots,
        token: Some(token),
        identity: None,
    })
}

fn server(env: &Env) -> Result<String, Error> {
    let fault = |subject: &str, reason: &str| Error::Access {
        subject: subject.to_owned(),
        reason: reason.to_owned(),
    };
    let Some(host) = env.get(HOST)? else {
        return Err(fault(
            "no cluster",
            "not in a pod (KUBERNETES_SERVICE_HOST is not set), and neither --kubeconfig nor --recorded is given",
        ));
    };
    let port = env.get(PORT)?.unwrap_or_else(|| "443".to_owned());
    let port: u16 = port.parse().map_err(|_| fault(PORT, "not a port"))?;
    let server = if host.parse::<Ipv6Addr>().is_ok() {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    };
    let uri: Result<ureq::http::Uri, _> = server.parse();
    match uri {
        Ok(uri) if uri.path() == "/" && !server.contains('@') => Ok(server),
        _ => Err(fault(HOST, "not an address")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|e| fault(file, &e.to_string()))
}

fn fault(file: &Path, reason: &str) -> Error {
    Error::Access {
        subject: file.display().to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pairs: &[(&str, &str)]) -> Result<String, String> {
        server(&Env::of(pairs)).map_err(|e| e.to_string())
    }

    #[test]
    fn the_address_is_made_of_two_variables() {
        for (host, port, expected) in [
            ("10.43.0.1", "443", "https://10.43.0.1:443"),
            ("10.43.0.1", "", "https://10.43.0.1:443"),
            ("10.43.0.1", "6443", "https://10.43.0.1:6443"),
            ("fd00::1", "443", "https://[fd00::1]:443"),
            (
                "kubernetes.default",
                "443",
                "https://kubernetes.default:443",
            ),
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
        ] {
            let error = at(&[(HOST, host), (PORT, port)]).unwrap_err();
            assert!(error.starts_with(variable), "{error}");
        }
    }

    #[test]
    fn outside_of_a_pod_the_three_ways_in_are_named() {
        let error = at(&[]).unwrap_err();
        for way in ["in a pod", "--kubeconfig", "--recorded"] {
            assert!(error.contains(way), "{error}");
        }
    }
}
