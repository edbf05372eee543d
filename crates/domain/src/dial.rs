//! Which addresses the gateway may connect to: judged when a name has been resolved, since only then it is known where
//! a connection goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::rule::canonical_network;

/// What an address is to a program that sends a provider's key there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere on the internet.
    Public,
    /// This machine or its neighbours: only where the operator says so.
    Private,
    /// Nowhere a provider could be, whatever anybody says.
    Never,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), prefix)
}

/// Unspecified, link-local (where clouds keep their metadata and with it the machine's own keys), multicast, reserved
/// and broadcast; metadata of Azure are at a public address, of Alibaba and Oracle at special ones.
const NEVER_V4: [Ipv4Net; 7] = [
    v4(0, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v4(168, 63, 129, 16, 32),
    v4(100, 100, 100, 200, 32),
    v4(192, 0, 0, 192, 32),
];

/// The same; metadata of AWS and Google are at unique local addresses.
const NEVER_V6: [Ipv6Net; 6] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
];

/// Loopback, private, shared (RFC 6598) and special-purpose networks (RFC 6890).
const PRIVATE_V4: [Ipv4Net; 10] = [
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
];

/// Loopback, unique local, site-local, translated in a way only that network knows (RFC 8215), discarded, documentation.
const PRIVATE_V6: [Ipv6Net; 6] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
];

/// Networks whose addresses hold an IPv4 address, and at which byte: translation (RFC 6052), 6to4, and the old
/// compatible form.
const HOLD_V4: [(Ipv6Net, usize); 3] = [
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), 12),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), 2),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), 12),
];

/// What `address` is. An IPv6 address that stands for an IPv4 one is judged as that.
pub fn place(address: IpAddr) -> Place {
    match address.to_canonical() {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let is_in = |networks: &[Ipv4Net]| networks.iter().any(|network| network.contains(&address));
    if is_in(&NEVER_V4) {
        Place::Never
    } else if is_in(&PRIVATE_V4) {
        Place::Private
    } else {
        Place::Public
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let is_in = |networks: &[Ipv6Net]| networks.iter().any(|network| network.contains(&address));
    if is_in(&NEVER_V6) {
        return Place::Never;
    }
    if is_in(&PRIVATE_V6) {
        return Place::Private;
    }
    let held = HOLD_V4.iter().find(|(network, _)| network.contains(&address));
    let octets = address.octets();
    match held.and_then(|(_, at)| octets.get(*at..at + 4)).and_then(|held| <[u8; 4]>::try_from(held).ok()) {
        Some(held) => place_v4(held.into()),
        None => Place::Public,
    }
}

/// The private networks in which an operator has providers. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateNetworks(Vec<IpNet>);

/// An entry of the list is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl FromStr for PrivateNetworks {
    type Err = NotANetwork;

    /// A comma-separated list; a lone address is a network of one.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let networks = entries.map(|entry| {
            let parsed = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            parsed
                .map(|network| canonical_network(network.trunc()))
                .map_err(|_| NotANetwork(entry.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl PrivateNetworks {
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether a connection to `address` may be made, for a provider the operator calls `host`: to public addresses; to
    /// private ones where they are in these networks, where `host` is the address itself, or where it is `localhost`
    /// and the address is this machine's; to no other.
    pub fn allow(&self, host: &str, address: IpAddr) -> bool {
        match place(address) {
            Place::Public => true,
            Place::Never => false,
            Place::Private => {
                let is_loopback = address.to_canonical().is_loopback();
                self.contains(address) || is_itself(host, address) || is_loopback && is_localhost(host)
            }
        }
    }
}

fn is_itself(host: &str, address: IpAddr) -> bool {
    literal(host).is_some_and(|literal| literal.to_canonical() == address.to_canonical())
}

/// The address a URL's host is, if it is one and no name.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Names that mean this machine wherever they are looked up (RFC 6761).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(addresses: &[&str], expected: Place) {
        for address in addresses {
            assert_eq!(place(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn places_of_addresses() {
        all(
            &["1.1.1.1", "8.8.8.8", "104.18.6.192", "172.15.255.255", "172.32.0.0", "2606:4700::6810:6c0"],
            Place::Public,
        );
        all(
            &["169.253.255.255", "169.255.0.0", "100.128.0.0", "64:ff9b::101:101", "2002:101:101::1"],
            Place::Public,
        );
        all(
            &["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"],
            Place::Private,
        );
        all(&["100.64.0.1", "100.100.100.201", "198.18.0.1", "192.0.0.1", "203.0.113.1"], Place::Private);
        all(&["::1", "fc00::1", "fd12:3456::1", "fec0::1", "2001:db8::1", "::ffff:10.0.0.1"], Place::Private);
        all(&["64:ff9b::10.0.0.1", "64:ff9b:1:808:8:800::", "2002:7f00:1::1", "::127.0.0.1"], Place::Private);
        all(
            &["0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.1.1.1"],
            Place::Never,
        );
        all(&["240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "fe80::1", "febf::1"], Place::Never);
        all(&["100.100.100.200", "192.0.0.192", "fd00:ec2::23"], Place::Never);
        all(&["ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254"], Place::Never);
        all(
            &["::ffff:0.0.0.0", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254"],
            Place::Never,
        );
    }

    #[test]
    fn private_addresses_need_the_operators_word() {
        let (none, some): (PrivateNetworks, PrivateNetworks) =
            (PrivateNetworks::default(), "10.1.0.0/16, fd12::/16,192.168.0.9".parse().unwrap());
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (host, address, by_default, listed) in [
            ("api.openai.com", "104.18.6.192", true, true),
            ("vllm", "10.1.2.3", false, true),
            ("vllm", "::ffff:10.1.2.3", false, true),
            ("vllm", "10.2.2.3", false, false),
            ("vllm", "fd12::7", false, true),
            ("vllm", "192.168.0.9", false, true),
            ("vllm", "127.0.0.1", false, false),
            ("10.2.2.3", "10.2.2.3", true, true),
            ("[::1]", "::1", true, true),
            ("10.2.2.3", "10.2.2.4", false, false),
            ("localhost", "127.0.0.1", true, true),
            ("LocalHost.", "::1", true, true),
            ("demo.localhost", "127.0.0.1", true, true),
            ("localhost", "10.2.2.3", false, false),
            ("localhost.example.com", "127.0.0.1", false, false),
            ("notlocalhost", "127.0.0.1", false, false),
            ("2130706433", "127.0.0.1", false, false),
            ("169.254.169.254", "169.254.169.254", false, false),
            ("metadata", "169.254.169.254", false, false),
        ] {
            assert_eq!(none.allow(host, at(address)), by_default, "{host} at {address}, by default");
            assert_eq!(some.allow(host, at(address)), listed, "{host} at {address}, with a list");
        }
        let everything: PrivateNetworks = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(everything.allow("vllm", at("10.9.9.9")) && !everything.allow("vllm", at("169.254.169.254")));
        assert!(
            "10.0.0.0/33".parse::<PrivateNetworks>().is_err() && "home".parse::<PrivateNetworks>().is_err()
        );
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_the_same_in_every_form(address: u32) {
            let address = Ipv4Addr::from(address);
            prop_assert_eq!(place(address.to_ipv6_mapped().into()), place(address.into()));
            let translated = format!("64:ff9b::{address}").parse::<IpAddr>().unwrap();
            prop_assert_eq!(place(translated), place(address.into()));
        }
    }
}
