//! Finds the proxy for the endpoint in the environment.
//!
//! ureq can read these variables too, but does not support CIDRs, ports and blanks after commas in
//! `NO_PROXY`, although RKE2's documentation recommends them. It also connects directly if it does
//! not support a proxy.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::{Proxy, ProxyProtocol};

use super::endpoint::{is_address, is_loopback};
use super::env::Env;
use crate::error::Error;

/// The variables that name a proxy, in order of precedence. RKE2 and other Go programs read the
/// first two, and curl reads all of them.
const PROXY: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];

/// A proxy, and the variable that names it.
#[derive(Clone, Debug)]
pub(crate) struct ViaProxy {
    pub(crate) proxy: Proxy,
    pub(crate) variable: &'static str,
}

/// Returns the proxy for `endpoint`, if any. An endpoint on loopback is never proxied, as in Go;
/// nor is one without TLS, since these variables are for https. A wrong variable is an error even
/// if `NO_PROXY` exempts the endpoint.
pub(crate) fn for_endpoint(endpoint: &Uri, env: &Env) -> Result<Option<ViaProxy>, Error> {
    let Some((variable, url)) = env.first(PROXY)? else {
        return Ok(None);
    };
    // Check the variable before the exceptions: it would be used as soon as they change.
    let proxy = parse(&url).map_err(|reason| Error::config(variable, reason))?;
    let no_proxy = env.first(NO_PROXY)?.map(|(_, list)| list);
    let host = endpoint.host().unwrap_or_default();
    let port = endpoint.port_u16().unwrap_or(443);
    let direct = endpoint.scheme_str() != Some("https")
        || is_loopback(host)
        || no_proxy.is_some_and(|list| is_excepted(&list, host, port));
    Ok((!direct).then_some(ViaProxy { proxy, variable }))
}

/// Parses the URL, and never quotes it, since it may contain a password. ureq percent-decodes user
/// and password once.
fn parse(url: &str) -> Result<Proxy, &'static str> {
    const EXPECTED: &str = "not a proxy: http://[user:password@]host[:port] is expected; \
         percent-encode special characters of user and password (# as %23), which are decoded here";

    let proxy = Proxy::new(url.trim()).map_err(|_| EXPECTED)?;
    if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Err("only http and https proxies are supported");
    }
    let authority = proxy.uri().authority().ok_or(EXPECTED)?.as_str();
    let address = authority.rsplit('@').next().unwrap_or_default();
    // Reject a URL that is cut at an unencoded `#`: in http://user:1#2@host the host would be
    // `user`.
    let is_whole = url.matches('@').count() == authority.matches('@').count();
    match address.parse::<Authority>() {
        Ok(address) if is_whole && is_address(&address) => Ok(proxy),
        _ => Err(EXPECTED),
    }
}

/// Returns true if `NO_PROXY` matches this host. An entry is a domain, which includes its
/// subdomains; a domain with a leading dot or `*.`, which matches only its subdomains; an address;
/// a CIDR; or `*`. Domains and addresses may include a port, which must match. Any other entry
/// matches nothing.
pub fn is_excepted(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let mut entries = no_proxy.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
    entries.any(|entry| matches(&entry.to_ascii_lowercase(), &host, port))
}

fn matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let (entry, entry_port) = split_port(entry);
    if entry_port.is_some_and(|p| p != port) {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return match entry.split_once('/') {
            Some((network, bits)) => in_network(address, network, bits),
            None => entry.parse() == Ok(address),
        };
    }
    // Treat `*.example` like `.example`.
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let domain = entry.trim_end_matches('.');
    match domain.strip_prefix('.') {
        Some(parent) => is_subdomain(host, parent),
        None => host == domain || is_subdomain(host, domain),
    }
}

/// Splits `host:port` and `[address]:port`. A CIDR or a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if entry.contains('/') {
        return (entry, None);
    }
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|e| e.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) if !host.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn is_subdomain(host: &str, parent: &str) -> bool {
    !parent.is_empty() && host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    // `checked_shr` returns `None` for a shift by the whole width: that network has every address.
    bits <= width
        && (address ^ network).checked_shr(width - bits).is_none_or(|differing| differing == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(endpoint: &str, env: &[(&str, &str)]) -> Result<bool, String> {
        let proxy = for_endpoint(&endpoint.parse().unwrap(), &Env::of(env));
        proxy.map(|p| p.is_some()).map_err(|e| e.to_string())
    }

    #[test]
    fn no_proxy_has_the_syntax_that_rke2_documents() {
        for (list, host, port, excepted) in [
            ("*", "a.example", 443, true),
            ("", "a.example", 443, false),
            ("a.example", "a.example", 443, true),
            ("A.Example", "a.EXAMPLE.", 443, true),
            ("a.example", "b.a.example", 443, true),
            ("a.example", "ba.example", 443, false),
            (".example", "a.example", 443, true),
            (".example", "example", 443, false),
            ("*.example", "b.a.example", 443, true),
            ("*.example", "example", 443, false),
            (".", "a.example", 443, false),
            ("x, a.example", "a.example", 443, true),
            ("x a.example", "a.example", 443, true),
            ("a.example:443", "a.example", 443, true),
            ("a.example:8443", "a.example", 443, false),
            (".svc,.cluster.local,10.42.0.0/16,10.43.0.0/16", "r.ns.svc", 443, true),
            ("127.0.0.0/8,10.0.0.0/8", "10.43.0.1", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("10.0.0.0/8", "10.example", 443, false),
            ("0.0.0.0/0", "11.0.0.1", 443, true),
            ("::/0", "[fd00::1]", 443, true),
            ("::/0", "10.0.0.1", 443, false),
            ("10.43.0.1/32", "10.43.0.1", 443, true),
            ("10.43.0.1/32", "10.43.0.2", 443, false),
            ("10.43.0.1/33", "10.43.0.1", 443, false),
            ("10.43.0.1", "10.43.0.1", 443, true),
            ("10.43.0.1:80", "10.43.0.1", 443, false),
            ("10.43.0.1:443", "10.43.0.1", 443, true),
            ("fd00::/8", "[fd00::1]", 443, true),
            ("fd00::/8", "[2001:db8::1]", 443, false),
            ("fd00::1", "[fd00::1]", 443, true),
            ("[fd00::1]:443", "[fd00::1]", 443, true),
            ("[fd00::1]:80", "[fd00::1]", 443, false),
            ("10.0.0.0/x,/8,,:", "10.0.0.1", 443, false),
            ("10.0.0.0/8:443", "10.0.0.1", 443, false),
            ("*example,**.example", "a.example", 443, false),
        ] {
            assert_eq!(is_excepted(list, host, port), excepted, "{list:?} {host} {port}");
        }
    }

    #[test]
    fn only_an_endpoint_with_tls_is_proxied() {
        let p = "http://p:3128";
        for (endpoint, env, proxied) in [
            ("https://a", &[][..], false),
            ("https://a", &[("HTTPS_PROXY", p)], true),
            ("https://10.0.0.1:1", &[("https_proxy", p)], true),
            ("https://127.0.0.1:1", &[("https_proxy", p)], false),
            ("https://[::1]:1", &[("https_proxy", p)], false),
            ("https://localhost", &[("https_proxy", p)], false),
            ("https://localhost.example", &[("https_proxy", p)], true),
            ("https://a", &[("HTTPS_PROXY", ""), ("ALL_PROXY", "p:3128")], true),
            ("https://a", &[("HTTP_PROXY", p)], false),
            ("http://a", &[("HTTPS_PROXY", p)], false),
            ("https://a", &[("HTTPS_PROXY", p), ("NO_PROXY", "a")], false),
            ("https://a:8443", &[("HTTPS_PROXY", p), ("no_proxy", "a:8443")], false),
        ] {
            assert_eq!(proxy(endpoint, env), Ok(proxied), "{endpoint} {env:?}");
        }
    }

    #[test]
    fn user_and_password_are_decoded_once() {
        for (written, password) in [
            ("p%23w", "p#w"),
            ("%40%2F%3f%20", "@/? "),
            ("100%25", "100%"),
            ("%2523", "%23"),
            ("a+b", "a+b"),
            ("a@b", "a@b"),
            ("p%C3%A4", "p\u{e4}"),
        ] {
            let proxy = parse(&format!("http://us%3Aer:{written}@p:3128")).unwrap();
            assert_eq!(proxy.username(), Some("us:er"));
            assert_eq!(proxy.password(), Some(password));
        }
    }

    #[test]
    fn an_unencoded_password_is_an_error_that_says_how_to_encode_it() {
        for url in [
            "http://u:sec#ret@p:3128",
            "http://u:1#secret@p:3128",
            "http://1#secret@p:3128",
            "http://u:1?secret@p:3128",
            "http://u:1/secret@p:3128",
            "http://u:x@1#secret@p:3128",
            "u:1#secret@p:3128",
            "http://u:sec ret@p:3128",
            "http://u:secr\u{e4}t@p:3128",
            "http://u:%ffsecret@p:3128",
            "http://[zz]:3128",
            "http://[127.0.0.1]:3128",
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains("percent-encode") && error.contains("%23"), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_never_quoted() {
        for url in [
            "socks5://u:secret@p:1080",
            "socks4://p",
            "ftp://secret",
            "http://",
            "http://secret:99999",
            "http://u:secret@:3128",
            "://secret",
            "secret secret",
        ] {
            for no_proxy in ["", "*"] {
                let error = proxy("https://a", &[("HTTPS_PROXY", url), ("NO_PROXY", no_proxy)]);
                let error = error.unwrap_err();
                assert!(error.starts_with("HTTPS_PROXY: "), "{url}: {error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
    }
}
