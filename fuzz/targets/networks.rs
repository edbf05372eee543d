//! Lists of networks: what is taken means what it says, for every form of an address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use domain::client::TrustedProxies;
use domain::dial::{Place, PrivateNetworks, place};
use domain::rule::AddressRule;
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((octets, text)) = data.split_first_chunk::<4>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let v4 = Ipv4Addr::from(*octets);
    let (plain, mapped) = (IpAddr::from(v4), IpAddr::from(v4.to_ipv6_mapped()));
    assert_eq!(place(plain), place(mapped));
    if let Ok(trusted) = text.parse::<TrustedProxies>() {
        assert_eq!(trusted.contains(plain), trusted.contains(mapped));
        let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        assert_eq!(trusted.is_empty(), entries.is_empty());
        for network in entries.iter().filter_map(|entry| entry.parse::<IpNet>().ok()) {
            assert!(ends(network).iter().all(|end| trusted.contains(*end)), "{network}");
            assert!(network.prefix_len() > 0, "nobody believes everybody");
        }
    }
    if let Ok(private) = text.parse::<PrivateNetworks>() {
        assert_eq!(private.allow("name", plain), private.allow("name", mapped));
        match place(plain) {
            Place::Public => assert!(private.allow("name", plain)),
            Place::Private => {}
            Place::Never => assert!(!private.allow("name", plain) && !private.allow(&v4.to_string(), plain)),
        }
    }
    if let Ok(network) = text.parse::<IpNet>() {
        let rule = AddressRule::only([network]);
        assert!(ends(network).iter().all(|end| rule.allows(*end)), "{network}");
        assert_eq!(rule.allows(plain), rule.allows(mapped));
        if let IpNet::V4(network) = network {
            assert_eq!(rule.allows(plain), network.contains(&v4));
        }
    }
});

/// The first and last address of a network. An IPv6 network that is wider than the mapped addresses means none of these:
/// who comes over IPv4 is let in by an IPv4 network.
fn ends(network: IpNet) -> Vec<IpAddr> {
    let is_mapped = network.prefix_len() >= 96;
    let ends = [network.network(), network.broadcast()].into_iter();
    ends.filter(|end| is_mapped || *end == end.to_canonical()).collect()
}
