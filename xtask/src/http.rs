//! Just enough HTTP to ask a service of ours on loopback whether it is there.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(50);

/// The status of `GET path`, or None if nobody answers.
pub fn status(port: u16, path: &str) -> Option<u16> {
    let mut stream = get(port, path)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    status_in(&head)
}

/// The body of `GET path` where that gives 200, sent in one piece of known length.
pub fn body(port: u16, path: &str) -> Option<String> {
    let mut answer = String::new();
    get(port, path)?.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (status_in(head.as_bytes().get(..12)?) == Some(200)).then(|| body.to_owned())
}

fn get(port: u16, path: &str) -> Option<TcpStream> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").ok()?;
    Some(stream)
}

fn status_in(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head).ok()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Waits until `GET path` gives 200; `alive` may end the wait early with the reason.
pub fn wait_until_ready(
    name: &str,
    port: u16,
    path: &str,
    limit: Duration,
    mut alive: impl FnMut() -> Result<()>,
) -> Result<()> {
    let started = Instant::now();
    let mut last = None;
    while started.elapsed() < limit {
        alive()?;
        last = status(port, path);
        if last == Some(200) {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    match last {
        Some(status) => {
            bail!("{name} answers {status} to {path}, not 200, {} s after its start", limit.as_secs())
        }
        None => bail!("{name} does not answer on port {port}, {} s after its start", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status_in(b"HTTP/1.1 200"), Some(200));
        assert_eq!(status_in(b"SSH-2.0-OpenS"), None);
    }
}
