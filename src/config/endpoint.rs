//! Checks the URL that reports are posted to.

use std::net::{IpAddr, Ipv6Addr};

use rustls::pki_types::ServerName;
use ureq::http::Uri;
use ureq::http::uri::Authority;

use crate::error::but_not;

/// Reads an absolute URL. It must not contain a user, a password or a fragment, and may be plain
/// http only to this machine or with `allowHttp`.
pub(crate) fn parse(url: &str, allow_http: bool) -> Result<Uri, String> {
    let expected = || format!("an https URL is expected{}", but_not(url));
    if url.contains('#') {
        return Err(expected());
    }
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?;
    if authority.as_str().contains('@') {
        return Err("the URL must not contain a user name or password".to_owned());
    }
    let host = authority.host().trim_matches(['[', ']']);
    if !is_address(authority) || ServerName::try_from(host).is_err() {
        return Err(expected());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if allow_http || is_loopback(host) => Ok(uri),
        Some("http") => {
            Err("http is only for this machine, or with allowHttp; https is expected".to_owned())
        }
        _ => Err(expected()),
    }
}

/// Returns true if the host is `localhost` or a loopback address, with or without brackets.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Returns true if the authority is a host with an optional port. It must have no user, and
/// brackets only around an IPv6 address.
pub(crate) fn is_address(authority: &Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host);
    let has_port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty(),
    };
    is_host && rest.is_some_and(has_port)
}

/// Returns true for a port number. Allows only digits, since Rust would also accept a sign.
fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_or_on_this_machine_or_allowed() {
        for (url, allow_http, good) in [
            ("https://a", false, true),
            ("HTTPS://a:8443/v1?x=y", false, true),
            ("https://[fd00::1]:8443/v1", false, true),
            ("http://a", false, false),
            ("http://a", true, true),
            ("http://localhost:8314/v1", false, true),
            ("http://127.0.0.2", false, true),
            ("http://[::1]:1", false, true),
            ("http://[::ffff:127.0.0.1]:1", false, true),
            ("http://localhost.evil", false, false),
            ("", true, false),
            ("a", true, false),
            ("/v1", true, false),
            ("//a/v1", true, false),
            ("ftp://a", true, false),
            ("https://", true, false),
            ("https:///v1", true, false),
            ("https://:443", true, false),
            ("https://a:99999", true, false),
            ("https://a:0", true, false),
            ("https://a:a", true, false),
            ("https://a:", true, false),
            ("https://a:+443", true, false),
            ("https://u:p@a", true, false),
            ("https://a b", true, false),
            ("https://a\n", true, false),
            ("https://a/#b", true, false),
            ("https://ä", true, false),
            ("https://a..b", true, false),
            ("https://[fd00::1", true, false),
            ("https://[::ffff:10.0.0.1]", false, true),
            ("https://[zz]/", true, false),
            ("https://[a.example]/", true, false),
            ("https://[127.0.0.1]/", true, false),
            ("https://[]/", true, false),
            ("https://[]:443/", true, false),
            ("https://[[::1]]/", true, false),
            ("https://[::1%25eth0]/", true, false),
            ("https://[::1]a/", true, false),
            ("https://a[::1]/", true, false),
            ("https://a]/", true, false),
        ] {
            assert_eq!(parse(url, allow_http).is_ok(), good, "{url:?}");
        }
    }

    #[test]
    fn a_refused_url_is_quoted_without_its_secrets() {
        for url in [
            "htps://host/p?key=acme-canary",
            "https://host:99999/p?acme-canary",
            "https://host/#acme-canary",
        ] {
            let error = parse(url, false).unwrap_err();
            assert!(error.contains("not \"ht") && !error.contains("acme-canary"), "{error}");
        }
        let error = parse("ftp://user:acme-canary@host/path", false).unwrap_err();
        assert_eq!(error, "the URL must not contain a user name or password");
        for url in
            ["acme-canary:acme canary@host name", "https://user:acme-canary", "a:acme-canary"]
        {
            assert_eq!(parse(url, false).unwrap_err(), "an https URL is expected");
        }
        let error = parse("ftp://host", false).unwrap_err();
        assert_eq!(error, "an https URL is expected, not \"ftp://host\"");
    }
}
