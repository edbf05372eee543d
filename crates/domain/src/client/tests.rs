use proptest::prelude::*;

use super::*;

/// The proxies of the table.
const PROXIES: &str = "10.0.0.0/8, 192.0.2.7, 2001:db8:aaaa::/48";

fn seen(peer: &str, lines: &[&str], trusted: &str) -> String {
    let lines = lines.iter().map(|line| line.as_bytes());
    client_address(peer.parse().unwrap(), lines, &trusted.parse().unwrap()).to_string()
}

#[test]
fn the_client_is_the_right_most_address_that_is_no_trusted_proxy() {
    let table: &[(&str, &[&str], &str)] = &[
        // Nobody trusted is between: the peer, whatever it claims.
        ("198.51.100.9", &[], "198.51.100.9"),
        ("198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
        ("198.51.100.9", &["10.0.0.1"], "198.51.100.9"),
        ("198.51.100.9", &["203.0.113.7", "10.0.0.1"], "198.51.100.9"),
        ("2001:db8:bbbb::1", &["203.0.113.7"], "2001:db8:bbbb::1"),
        // One trusted proxy.
        ("10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
        ("192.0.2.7", &["203.0.113.7"], "203.0.113.7"),
        ("192.0.2.8", &["203.0.113.7"], "192.0.2.8"),
        ("10.0.0.1", &["2001:db8:bbbb::1"], "2001:db8:bbbb::1"),
        ("2001:db8:aaaa::1", &["203.0.113.7"], "203.0.113.7"),
        // What the client itself wrote stands further left and is never reached.
        ("10.0.0.1", &["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6,203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7", "6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        // Chains of proxies, over one line and over several.
        ("10.0.0.1", &["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.7, 192.0.2.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7", "192.0.2.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        // Nothing but proxies: the first of them asks for itself.
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // White space.
        ("10.0.0.1", &["  203.0.113.7\t"], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6 ,\t203.0.113.7 , 10.0.0.2"], "203.0.113.7"),
        // IPv4-mapped IPv6 is IPv4, on every side.
        ("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
        ("::ffff:198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
        ("10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7, ::ffff:a00:2"], "203.0.113.7"),
        // Ports and brackets, as some proxies write them.
        ("10.0.0.1", &["203.0.113.7:49152"], "203.0.113.7"),
        ("10.0.0.1", &["[2001:db8:bbbb::1]:443"], "2001:db8:bbbb::1"),
        ("10.0.0.1", &["[2001:db8:bbbb::1]"], "2001:db8:bbbb::1"),
        ("10.0.0.1", &["203.0.113.7, [::ffff:10.0.0.2]:80"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7:99999"], "10.0.0.1"),
        ("10.0.0.1", &["[203.0.113.7]"], "10.0.0.1"),
        ("10.0.0.1", &["[2001:db8:bbbb::1"], "10.0.0.1"),
        // What cannot be read ends the walk at the last proxy that could.
        ("10.0.0.1", &["203.0.113.7, junk"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7, junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7,"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7", ""], "10.0.0.1"),
        ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", &["[fe80::1%1]:80"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.007"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113"], "10.0.0.1"),
        ("10.0.0.1", &["3405803783"], "10.0.0.1"),
        ("10.0.0.1", &["0xcb.0.113.7"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7/32"], "10.0.0.1"),
        ("10.0.0.1", &["for=203.0.113.7"], "10.0.0.1"),
        ("10.0.0.1", &["\"203.0.113.7\""], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7 10.0.0.2"], "10.0.0.1"),
        ("10.0.0.1", &["\u{a0}203.0.113.7"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.7\0"], "10.0.0.1"),
    ];
    assert!(table.len() >= 40);
    for (peer, lines, client) in table {
        assert_eq!(seen(peer, lines, PROXIES), *client, "peer {peer}, lines {lines:?}");
        assert_eq!(seen(peer, lines, ""), canonical(peer), "nobody is trusted: peer {peer}, lines {lines:?}");
    }
}

fn canonical(address: &str) -> String {
    address.parse::<IpAddr>().unwrap().to_canonical().to_string()
}

#[test]
fn a_line_that_is_no_text_ends_the_walk() {
    let lines = [b"203.0.113.7".as_slice(), b"\xff\xfe"];
    let client = client_address("10.0.0.1".parse().unwrap(), lines, &PROXIES.parse().unwrap());
    assert_eq!(client.to_string(), "10.0.0.1");
}

#[test]
fn trusted_networks_are_read_strictly() {
    let trusted = |text: &str| text.parse::<TrustedProxies>();
    assert!(trusted("").unwrap().is_empty() && trusted(" , ").unwrap().is_empty());
    let proxies = trusted("10.0.0.0/8, 192.0.2.7,::ffff:198.51.100.0/120").unwrap();
    for (address, is_trusted) in [
        ("10.255.0.1", true),
        ("::ffff:10.1.1.1", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("198.51.100.9", true),
        ("::ffff:198.51.100.9", true),
        ("198.51.101.9", false),
        ("::1", false),
    ] {
        assert_eq!(proxies.contains(address.parse().unwrap()), is_trusted, "{address}");
    }
    for everybody in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
        assert!(matches!(trusted(everybody), Err(TrustError::Everybody(_))), "{everybody}");
    }
    for vague in ["10.1.2.3/8", "192.0.2.7/24", "2001:db8::1/32", "::ffff:10.0.0.1/104"] {
        assert!(matches!(trusted(vague), Err(TrustError::HostBits(..))), "{vague}");
    }
    assert!(trusted("10.1.2.3/8").unwrap_err().to_string().contains("'10.0.0.0/8'"));
    assert!(matches!(trusted("::ffff:0:0/80"), Err(TrustError::Mixed(_))));
    for junk in
        ["proxy.example", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0", "10.0.0.0/8;192.0.2.7", "fe80::1%eth0"]
    {
        assert!(matches!(trusted(junk), Err(TrustError::NotANetwork(_))), "{junk}");
    }
}

#[test]
fn what_counts_as_encrypted() {
    use Transport::{Accepted, PlainRefused};
    let table: &[(bool, bool, &[&str], Transport)] = &[
        // encrypted, by a trusted proxy, what it says
        (true, false, &[], Accepted),
        (false, false, &[], PlainRefused),
        // A client's own word means nothing, in either direction.
        (false, false, &["https"], PlainRefused),
        (true, false, &["http"], Accepted),
        (false, true, &["https"], Accepted),
        (false, true, &["HTTPS"], Accepted),
        (false, true, &[" https , https"], Accepted),
        (false, true, &["http"], PlainRefused),
        (true, true, &["http"], PlainRefused),
        (true, true, &["https"], Accepted),
        (false, true, &["https, http"], PlainRefused),
        (false, true, &["http, https"], PlainRefused),
        (false, true, &["https", "http"], PlainRefused),
        (false, true, &["wss"], PlainRefused),
        (false, true, &[""], PlainRefused),
        (false, true, &[], PlainRefused),
        (true, true, &[], Accepted),
    ];
    for (encrypted, by_proxy, lines, expected) in table {
        let lines = || lines.iter().map(|line| line.as_bytes());
        assert_eq!(
            transport(true, *encrypted, *by_proxy, lines()),
            *expected,
            "{encrypted} {by_proxy} {:?}",
            lines().collect::<Vec<_>>()
        );
        assert_eq!(transport(false, *encrypted, *by_proxy, lines()), Accepted);
    }
}

proptest! {
    /// Whatever a client writes, in whatever lines: the address its proxy has added is the one that counts.
    #[test]
    fn a_client_cannot_choose_its_address(
        forged in proptest::collection::vec("[ -~]{0,60}", 0..6),
        added: std::net::Ipv4Addr,
        on_own_line: bool,
    ) {
        let trusted: TrustedProxies = PROXIES.parse().unwrap();
        prop_assume!(!trusted.contains(added.into()));
        let mut lines: Vec<String> = forged;
        match lines.last_mut() {
            Some(last) if !on_own_line => last.extend([", ", &added.to_string()]),
            _ => lines.push(added.to_string()),
        }
        let seen = |peer: &str| {
            client_address(peer.parse().unwrap(), lines.iter().map(String::as_bytes), &trusted)
        };
        prop_assert_eq!(seen("10.0.0.1"), IpAddr::from(added));
        prop_assert_eq!(seen("198.51.100.9").to_string(), "198.51.100.9");
    }
}
