//! Where a request comes from. The connection's peer, unless that is a proxy the operator trusts.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue};
use domain::client::TrustedProxies;

/// The other end of the connection; put into each request's extensions by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The client's address: see [`domain::client::client_address`].
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let lines = headers.get_all("x-forwarded-for").into_iter().map(HeaderValue::as_bytes);
    domain::client::client_address(peer, lines, trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&'static str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted.parse().unwrap()).to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        assert_eq!(seen("198.51.100.9", &["203.0.113.7"], ""), "198.51.100.9");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7"], "10.0.0.0/8"), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 203.0.113.7"], "10.0.0.0/8"), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, 10.0.0.2"], "10.0.0.0/8"), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "203.0.113.7"], "10.0.0.0/8"), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, junk"], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["203.0.113.7"], "10.0.0.0/8"), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &[], "10.0.0.0/8"), "10.0.0.1");
    }
}
