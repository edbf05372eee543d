//! Takes a request's body from the socket: all of it within a bound, or none of it and politely.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::refusal::Refusal;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::config::Limits;

/// Room made before the first byte has come: a length that is only claimed costs nothing.
const FIRST_ROOM: usize = 64 * 1024;

/// How much of an unwanted body is read so that its sender gets to see the answer. A sender that is cut off while
/// it writes reports a broken connection and never looks at what was answered.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Receives a body of at most `most` bytes. After a refusal the rest is still to be [drained](drain).
pub async fn receive(body: &mut Incoming, most: usize, limits: &Limits) -> Result<Bytes, Refusal> {
    match timeout(limits.body, receive_idly(body, most, limits.body_idle)).await {
        Ok(received) => received,
        Err(_) => Err(Refusal::RequestTimeout),
    }
}

async fn receive_idly(body: &mut Incoming, limit: usize, idle: Duration) -> Result<Bytes, Refusal> {
    let claimed = body.size_hint().lower();
    if claimed > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit));
    }
    let Some(first) = next(body, idle).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() {
        return Ok(first);
    }
    let claimed = usize::try_from(claimed).unwrap_or(FIRST_ROOM);
    let mut received = BytesMut::with_capacity(claimed.min(FIRST_ROOM).max(first.len()));
    received.extend_from_slice(&first);
    while let Some(data) = next(body, idle).await? {
        if received.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        received.extend_from_slice(&data);
    }
    Ok(received.freeze())
}

/// The next bytes; trailers are skipped.
async fn next(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = timeout(idle, body.frame()).await.map_err(|_| Refusal::RequestTimeout)?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => {
                let message = "The request body ended early or was malformed.".to_owned();
                return Err(Refusal::InvalidRequest { message, param: None });
            }
        }
    }
}

/// Reads on and throws away, within bounds. True when the body has been read to its end, so that the connection can
/// serve another request.
pub async fn drain(body: &mut Incoming) -> bool {
    let reading = async {
        let mut left = DRAIN_BYTES;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return false };
            left = rest;
        }
        true
    };
    timeout(DRAIN_TIME, reading).await.unwrap_or(false)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::BodyTooLarge { limit: u64::try_from(limit).unwrap_or(u64::MAX) }
}
