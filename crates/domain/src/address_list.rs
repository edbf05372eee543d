//! Lists of client addresses as people type them: one address or network a line.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::rule::canonical_network;

/// The most entries of a key's list.
pub const MOST: usize = 100;

/// Why a list was not taken. The texts are for the person who typed it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressListError {
    /// A line, counted from 1, that is no address and no network.
    #[error(
        "Line {line}: {text} is no address or network. Write one a line, such as 203.0.113.7 or 2001:db8::/48"
    )]
    Form {
        /// Which line.
        line: usize,
        /// What it says, at most 60 characters of it.
        text: String,
    },
    /// A network with bits behind its prefix, which may be a slip in either half.
    #[error("Line {line}: {given} has address bits behind its prefix. Did you mean {network}?")]
    HostBits {
        /// Which line.
        line: usize,
        /// What it says.
        given: IpNet,
        /// The network it lies in.
        network: IpNet,
    },
    /// More than [`MOST`] entries.
    #[error("A list has at most {MOST} entries")]
    TooMany,
}

/// Reads a list: addresses and networks of either family, one a line (commas and spaces part them too), empty lines
/// and repetitions left out. IPv4-mapped IPv6 counts as IPv4. An empty text is an empty list.
pub fn parse(text: &str) -> Result<Vec<IpNet>, AddressListError> {
    let mut networks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for entry in line.split([',', ';', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            let network = canonical_network(parse_entry(index + 1, entry)?);
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
    }
    if networks.len() > MOST { Err(AddressListError::TooMany) } else { Ok(networks) }
}

fn parse_entry(line: usize, entry: &str) -> Result<IpNet, AddressListError> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let given: IpNet =
        entry.parse().map_err(|_| AddressListError::Form { line, text: entry.chars().take(60).collect() })?;
    let network = given.trunc();
    if given == network { Ok(network) } else { Err(AddressListError::HostBits { line, given, network }) }
}

/// A list as [`parse`] reads it: one entry a line, single addresses without their prefix length.
pub fn write(networks: &[IpNet]) -> String {
    networks.iter().map(|network| write_entry(*network)).collect::<Vec<_>>().join("\n")
}

fn write_entry(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let list =
            parse("203.0.113.7\r\n\n 10.0.0.0/8 , 2001:db8::/48\n::ffff:192.0.2.1\n203.0.113.7").unwrap();
        assert_eq!(write(&list), "203.0.113.7\n10.0.0.0/8\n2001:db8::/48\n192.0.2.1");
        assert_eq!(parse(" \n\n").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert!(told("10.0.0.1\nlocalhost").starts_with("Line 2: localhost is no address"));
        assert!(told("10.0.0.0/33").starts_with("Line 1"));
        assert_eq!(
            told("10.1.2.3/8"),
            "Line 1: 10.1.2.3/8 has address bits behind its prefix. Did you mean 10.0.0.0/8?"
        );
        for wrong in ["010.0.0.1", "1.2.3", "10.0.0.0/", "fe80::1%eth0", "1.2.3.4:80", "١.٢.٣.٤"] {
            assert!(matches!(parse(wrong), Err(AddressListError::Form { line: 1, .. })), "{wrong}");
        }
        let many = |count: u32| {
            let lines: Vec<String> = (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
            lines.join(
                "
",
            )
        };
        assert_eq!(parse(&many(100)).unwrap().len(), 100);
        assert_eq!(parse(&many(101)), Err(AddressListError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(addresses in prop::collection::vec(any::<(IpAddr, u8)>(), 0..20)) {
            let text: Vec<String> = addresses
                .iter()
                .map(|(address, length)| {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    IpNet::new(*address, length % (most + 1)).unwrap().trunc().to_string()
                })
                .collect();
            let list = parse(&text.join("\n")).unwrap();
            prop_assert_eq!(parse(&write(&list)).unwrap(), list);
        }

        #[test]
        fn nothing_typed_panics(text in ".*") {
            let _read = parse(&text);
        }
    }
}
