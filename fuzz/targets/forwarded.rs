//! Forwarded headers: a client cannot choose its address, nor how it came.
#![no_main]

use std::net::IpAddr;

use domain::client::{TrustedProxies, client_address, transport};
use domain::decision::Transport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let trusted: TrustedProxies = "10.0.0.0/8,2001:db8::/32".parse().expect("a good list");
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for peer in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "198.51.100.7", "::1"] {
        let peer: IpAddr = peer.parse().expect("an address");
        let client = client_address(peer, lines.iter().copied(), &trusted);
        assert_eq!(client, client.to_canonical());
        if !trusted.contains(peer) {
            assert_eq!(client, peer.to_canonical(), "a stranger's word counts for nothing");
        } else if !trusted.contains(client) {
            // What stands further left was written by whoever the client is.
            for forged in [b"203.0.113.99".as_slice(), b"10.9.9.9", b"\xff,", b""] {
                let more = std::iter::once(forged).chain(lines.iter().copied()).collect::<Vec<_>>();
                assert_eq!(client_address(peer, more, &trusted), client);
            }
        }
    }
    let came = |by_proxy| transport(true, false, by_proxy, lines.iter().copied());
    assert_eq!(came(false), Transport::PlainRefused, "a stranger's word counts for nothing");
    let hops: Vec<&[u8]> = lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).collect();
    if came(true) == Transport::Accepted {
        assert!(hops.iter().all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https")));
    }
});
