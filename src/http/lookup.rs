//! Name to addresses.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::deadline::within;

/// As many addresses as ureq takes.
const MAX_ADDRESSES: usize = 16;

/// ureq's own resolver starts a thread for an IP address too, and panics where it cannot.
#[derive(Debug)]
pub(super) struct Lookup;

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = port(uri);
        let found = if let Ok(ip) = host.parse::<IpAddr>() {
            vec![SocketAddr::new(ip, port)]
        } else {
            let name = (host.to_owned(), port);
            within(*timeout.after, move || {
                Ok(name.to_socket_addrs()?.take(MAX_ADDRESSES).collect())
            })?
        };
        let mut addresses = self.empty();
        for address in found {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(addresses)
    }
}

fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    uri.port_u16().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_written_is_that_of_the_scheme() {
        for (url, expected) in [
            ("http://a/", 80),
            ("https://a/", 443),
            ("http://a:443/", 443),
            ("https://[::1]:80/", 80),
        ] {
            assert_eq!(port(&Uri::from_static(url)), expected, "{url}");
        }
    }
}
