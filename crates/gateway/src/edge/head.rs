//! Reads along with the HTTP library and finds what it lets pass: whatever two parties could read in two ways.
//!
//! The library is lenient by design: it ends lines at a bare line feed, drops a Content-Length beside a
//! Transfer-Encoding, folds equal lengths into one, and says nothing of it. A request that a proxy in front might
//! have cut elsewhere must not be guessed at, nor anything else its connection still has to be served. So every byte that comes is also looked at here: heads line by line,
//! bodies only for where they end. Nothing is copied but lines that come in pieces.

use domain::refusal::Refusal;
use memchr::memchr;

/// The longest request target.
pub(super) const MAX_TARGET_BYTES: usize = 8 * 1024;
/// Room for the method and the version beside it.
const REST_OF_REQUEST_LINE: usize = 64;

/// What is wrong with a request's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It could be read in two ways, or in none. Says why.
    Ambiguous(&'static str),
    /// Its target is longer than [`MAX_TARGET_BYTES`].
    TargetTooLong,
}

impl Fault {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Ambiguous(why) => Refusal::InvalidRequest {
                message: format!("The request is not well-formed HTTP/1.1: {why}."),
                param: None,
            },
            Self::TargetTooLong => Refusal::UriTooLong,
        }
    }
}

/// Follows one connection's bytes.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: At,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before a request, where empty lines are allowed.
    #[default]
    RequestLine,
    Headers,
    /// This many bytes of a body are still to come.
    Body(u64),
    ChunkSize,
    /// This many bytes of a chunk and the end of its line.
    Chunk(u64),
    Trailers,
    /// A fault was found, or a chunk that makes no sense: the connection will not outlive it.
    Lost,
}

/// What the lines of a head have said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    is_http_10: bool,
    length: Option<u64>,
    is_chunked: bool,
    hosts: u8,
}

impl Scanner {
    /// Takes the next bytes; gives the first fault there is. Once it has given one, it looks at nothing any more.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<Fault> {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return None,
                At::Body(left) => (self.at, bytes) = skip(left, bytes, At::RequestLine, At::Body),
                At::Chunk(left) => (self.at, bytes) = skip(left, bytes, At::ChunkSize, At::Chunk),
                At::RequestLine | At::Headers | At::ChunkSize | At::Trailers => {
                    let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
                    let (line, rest) = bytes.split_at(end + 1);
                    bytes = rest;
                    if let Err(fault) = self.take(line) {
                        self.at = At::Lost;
                        return Some(fault);
                    }
                }
            }
        }
        None
    }

    /// Keeps the beginning of a line. How long one may get is bounded by the size of a head.
    fn keep(&mut self, bytes: &[u8]) -> Option<Fault> {
        self.partial.extend_from_slice(bytes);
        let too_long = self.partial.len() > MAX_TARGET_BYTES + REST_OF_REQUEST_LINE;
        if self.at == At::RequestLine && too_long {
            self.at = At::Lost;
            return Some(Fault::TargetTooLong);
        }
        if self.partial.len() > super::MAX_HEAD_BYTES {
            // The library refuses it, too; nothing more is to be learned here.
            self.at = At::Lost;
            self.partial = Vec::new();
        }
        None
    }

    /// Takes one line, with its end.
    fn take(&mut self, last: &[u8]) -> Result<(), Fault> {
        if self.partial.is_empty() {
            return self.line(last);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(last);
        self.line(&whole)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Fault::Ambiguous("a line ends without a carriage return"));
        };
        match self.at {
            At::RequestLine if line.is_empty() => {}
            At::RequestLine => {
                self.head = Head { is_http_10: request_line(line)?, ..Head::default() };
                self.at = At::Headers;
            }
            At::Headers if line.is_empty() => self.at = self.head.end()?,
            At::Headers => self.head.line(line)?,
            At::ChunkSize => {
                self.at = match chunk_size(line) {
                    Some(0) => At::Trailers,
                    // A chunk is followed by the end of its line.
                    Some(size) => At::Chunk(size.saturating_add(2)),
                    None => return Err(Fault::Ambiguous("a chunk's size is no hexadecimal number")),
                }
            }
            At::Trailers if line.is_empty() => self.at = At::RequestLine,
            At::Trailers | At::Body(_) | At::Chunk(_) | At::Lost => {}
        }
        Ok(())
    }
}

/// Passes over a body; gives where it stands then, and the bytes behind it.
fn skip(left: u64, bytes: &[u8], done: At, more: impl FnOnce(u64) -> At) -> (At, &[u8]) {
    match usize::try_from(left).ok().and_then(|left| bytes.get(left..)) {
        Some(rest) => (done, rest),
        None => (more(left - bytes.len() as u64), &[]),
    }
}

/// Checks a request line; true for HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Fault> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (_method, target, version) = (words.next(), words.next().unwrap_or_default(), words.next());
    if target.len() > MAX_TARGET_BYTES {
        return Err(Fault::TargetTooLong);
    }
    // Other forms name a host, for a proxy to connect to or to route by; this is none.
    if target.first() != Some(&b'/') {
        return Err(Fault::Ambiguous("the target is not a path"));
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::Ambiguous("the target has a character that must be percent-encoded"));
    }
    Ok(version == Some(b"HTTP/1.0"))
}

impl Head {
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Fault::Ambiguous("a header goes on over two lines"));
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(Fault::Ambiguous("a header line has no colon"));
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts = self.hosts.saturating_add(1),
            6 if name.eq_ignore_ascii_case(b"expect") => expect(value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten();
        let length = length.ok_or(Fault::Ambiguous("Content-Length is not one number"))?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Fault::Ambiguous("Content-Length comes twice")),
        }
    }

    fn encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::Ambiguous("Transfer-Encoding is not just 'chunked'"));
        }
        self.is_chunked = true;
        Ok(())
    }

    /// What follows the head.
    fn end(&self) -> Result<At, Fault> {
        if self.is_chunked && self.length.is_some() {
            return Err(Fault::Ambiguous("it has both Content-Length and Transfer-Encoding"));
        }
        if self.is_chunked && self.is_http_10 {
            return Err(Fault::Ambiguous("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.hosts > 1 || (self.hosts == 0 && !self.is_http_10) {
            return Err(Fault::Ambiguous("it must have one Host header"));
        }
        Ok(match self.length {
            _ if self.is_chunked => At::ChunkSize,
            None | Some(0) => At::RequestLine,
            Some(length) => At::Body(length),
        })
    }
}

fn expect(value: &[u8]) -> Result<(), Fault> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Fault::Ambiguous("it expects something other than 100-continue"))
}

/// A chunk's size; extensions, which nobody uses, are passed over.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let is_end = matches!(rest.first(), None | Some(b';' | b' ' | b'\t'));
    (is_end && (1..=15).contains(&digits.len()))
        .then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
}

#[cfg(test)]
mod tests;
