//! How a connection ends: with the last word said, and so that the client gets to read it.
//!
//! A socket that is closed while something unread is in it resets the connection, and the client's system then throws
//! away what had already arrived. So our half is closed first, and what still comes is read and forgotten for a moment.

use std::time::Duration;

use domain::RequestId;
use domain::refusal::Refusal;
use domain::secret::KeyPrefix;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::socket::Socket;
use crate::refusal;
use crate::router::ErrorDialect;

/// How much is read and forgotten.
const MOST: u64 = 1024 * 1024;

/// Says `last`, if anything, and ends the connection. Takes at most about `time`.
pub(super) async fn part(mut socket: Socket, last: &[u8], time: Duration) {
    let parting = async {
        socket.write_all(last).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut (&mut socket).take(MOST), &mut tokio::io::sink()).await
    };
    if !matches!(timeout(time, parting).await, Ok(Ok(_))) {
        tracing::trace!("a connection was gone before it had ended");
    }
}

/// A refusal as bytes, for a request that never became one.
pub(super) fn last_word(refusal: &Refusal, id: RequestId, prefix: &KeyPrefix) -> Vec<u8> {
    let (parts, _) = refusal::answer(refusal, id, prefix, ErrorDialect::OpenAi).into_parts();
    let body = refusal::body(refusal, id, prefix);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    write_headers(&mut text, &parts.headers);
    text.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(&body);
    text
}

fn write_headers(text: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers.iter().filter(|(name, _)| *name != http::header::CONNECTION) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
}
