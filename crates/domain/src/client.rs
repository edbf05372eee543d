//! Where a request really comes from, and how it travelled: what a proxy says of it counts only if that proxy is
//! trusted.
//!
//! Takes header lines as bytes, as they came; names no HTTP type, so that console and gateway share it. Of all the
//! headers proxies write only `X-Forwarded-For` and `X-Forwarded-Proto` are ever read: any other could be the
//! client's own.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::decision::Transport;
use crate::rule::canonical_network;

/// The networks whose word on a request's origin is believed. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a list of trusted proxies is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not an address or network.
    #[error("'{0}' is not a network such as 10.0.0.0/8")]
    NotANetwork(String),
    /// It says more than its prefix takes in: which network is meant is a guess.
    #[error("'{0}' has bits beyond its prefix; write '{1}' if that is what you mean")]
    HostBits(String, IpNet),
    /// Everybody could then say where he comes from.
    #[error("'{0}' would believe everybody")]
    Everybody(String),
    /// An IPv4-mapped network that is wider than the mapped addresses: it means something else than it says.
    #[error("'{0}' mixes IPv4 and IPv6; write the IPv4 network")]
    Mixed(String),
}

impl FromStr for TrustedProxies {
    type Err = TrustError;

    /// A comma-separated list of networks; a lone address is a network of one, an empty list trusts nobody.
    fn from_str(text: &str) -> Result<Self, TrustError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(trusted_network).collect::<Result<_, _>>().map(Self)
    }
}

fn trusted_network(text: &str) -> Result<IpNet, TrustError> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = parsed.map_err(|_| TrustError::NotANetwork(text.to_owned()))?;
    match network {
        _ if network.prefix_len() == 0 => Err(TrustError::Everybody(text.to_owned())),
        IpNet::V6(v6) if v6.prefix_len() < 96 && v6.addr().to_ipv4_mapped().is_some() => {
            Err(TrustError::Mixed(text.to_owned()))
        }
        _ if network.trunc() != network => Err(TrustError::HostBits(text.to_owned(), network.trunc())),
        _ => match canonical_network(network) {
            // ::ffff:0.0.0.0/96 is all of IPv4.
            network if network.prefix_len() == 0 => Err(TrustError::Everybody(text.to_owned())),
            network => Ok(network),
        },
    }
}

impl TrustedProxies {
    /// Whether `address` is a trusted proxy. IPv4-mapped IPv6 addresses are compared as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The client's address: the connection's `peer`, or, where that is a trusted proxy, the right-most entry of
/// `X-Forwarded-For` that is not one.
///
/// `forwarded_for` are the header's lines in the order they came. The walk goes from the right over all of them and
/// ends at the first entry that is not trusted, which is the client, or that cannot be read: what stands further left
/// was written by whoever it came from. An entry may carry a port, as some proxies write it.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    trusted: &TrustedProxies,
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    let lines = forwarded_for.into_iter().rev();
    for hop in lines.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let Some(address) = read_hop(hop) else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// One entry: an address, or an address with a port. A zone id names an interface of another machine and is refused.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    if text.contains('%') {
        return None;
    }
    let address = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => {
            text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?
        }
    };
    Some(address.to_canonical())
}

/// How a request came in, for step 1 of the decision.
///
/// `encrypted` is whether this connection is TLS, `by_proxy` whether its peer is a trusted proxy; only then
/// `forwarded_proto`, the lines of `X-Forwarded-Proto`, means anything. Each of its entries must say `https`: one
/// that does not is a hop on which everybody could read the key. A trusted proxy that says nothing is judged by its
/// own connection.
pub fn transport<'a>(
    requires_tls: bool,
    encrypted: bool,
    by_proxy: bool,
    forwarded_proto: impl IntoIterator<Item = &'a [u8]>,
) -> Transport {
    if !requires_tls {
        return Transport::Accepted;
    }
    let mut hops = forwarded_proto.into_iter().flat_map(|line| line.split(|byte| *byte == b',')).peekable();
    let is_secure = if by_proxy && hops.peek().is_some() {
        hops.all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https"))
    } else {
        encrypted
    };
    if is_secure { Transport::Accepted } else { Transport::PlainRefused }
}

#[cfg(test)]
mod tests;
