//! Which TCP ports to listen on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// How far past the wanted port to look.
const ATTEMPTS: u16 = 50;

/// The wanted port, or the next one that is free and not in `taken`.
pub fn free_from(wanted: u16, taken: &[u16]) -> Result<u16> {
    next(wanted, |port| !taken.contains(&port) && is_free(port))
        .with_context(|| format!("no free port between {wanted} and {}", wanted.saturating_add(ATTEMPTS)))
}

/// A port the operating system says nobody uses.
pub fn any_free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Whether nobody listens there, on either loopback family: a browser tries `localhost` as IPv6 first.
pub fn is_free(port: u16) -> bool {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let somebody_on_v6 = std::net::TcpStream::connect_timeout(
        &(std::net::Ipv6Addr::LOCALHOST, port).into(),
        std::time::Duration::from_millis(100),
    )
    .is_ok();
    v4 && !somebody_on_v6
}

fn next(wanted: u16, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    (wanted..=wanted.saturating_add(ATTEMPTS)).find(|port| is_free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_port_is_taken_if_it_is_free_else_the_next() {
        assert_eq!(next(3000, |_| true), Some(3000));
        assert_eq!(next(3000, |port| port > 3001), Some(3002));
        assert_eq!(next(3000, |_| false), None);
        assert_eq!(next(65_530, |port| port == u16::MAX), Some(u16::MAX));
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
