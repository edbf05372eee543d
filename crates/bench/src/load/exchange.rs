//! One answer, read to its end with an eye on the clock.

use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem;

use crate::Fault;
use crate::answers::{FRAMES, SENT_MARK, micros_now};

/// What was seen of one answer.
#[derive(Debug)]
pub struct Exchange {
    pub status: StatusCode,
    /// From its beginning to the last byte.
    pub total: Duration,
    /// From its beginning to the first byte of the body.
    pub first_byte: Duration,
    /// Of a stream.
    pub stream: Option<Stream>,
}

/// What was seen of a stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// The longest time between two arrivals.
    pub longest_gap: Duration,
    /// The longest time that a frame was on its way, by the time the upstream wrote into it.
    pub longest_way: Duration,
    /// Frames that arrived together with another.
    pub merged: u32,
    /// Not every frame arrived, or not in order.
    pub is_broken: bool,
    frames: usize,
    last_sent: u64,
}

/// Reads `response`, whose request has begun at `began`.
pub async fn read(response: Response<Incoming>, began: Instant, is_stream: bool) -> Result<Exchange, Fault> {
    let status = response.status();
    let mut body = response.into_body();
    let (mut first_byte, mut last) = (None, began);
    let mut stream = Stream::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = Instant::now();
        if first_byte.is_none() {
            first_byte = Some(now - began);
        } else {
            stream.longest_gap = stream.longest_gap.max(now - last);
        }
        last = now;
        if is_stream {
            stream.take(&data, micros_now());
        }
    }
    stream.is_broken |= stream.frames != FRAMES;
    let total = began.elapsed();
    let stream = (is_stream && status.is_success()).then_some(stream);
    Ok(Exchange { status, total, first_byte: first_byte.unwrap_or(total), stream })
}

impl Stream {
    fn take(&mut self, data: &[u8], now: u64) {
        let ends = memmem::find_iter(data, b"\n\n").count();
        self.frames += ends;
        self.merged += u32::try_from(ends.saturating_sub(1)).unwrap_or(u32::MAX);
        for at in memmem::find_iter(data, SENT_MARK) {
            let digits = data.get(at + SENT_MARK.len()..).unwrap_or_default();
            let sent = digits.iter().take_while(|byte| byte.is_ascii_digit());
            let sent =
                sent.fold(0_u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
            // A frame that is not paced has no time in it.
            if sent > 0 {
                self.is_broken |= sent < self.last_sent;
                self.last_sent = sent;
                self.longest_way = self.longest_way.max(Duration::from_micros(now.saturating_sub(sent)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Answers;

    #[test]
    fn frames_are_counted_and_timed() {
        let answers = Answers::new();
        let mut stream = Stream::default();
        let (first, second) = (answers.timed_frame(0).unwrap(), answers.timed_frame(1).unwrap());
        stream.take(&first, micros_now() + 5_000);
        assert!(
            stream.longest_way >= Duration::from_millis(5) && stream.longest_way < Duration::from_secs(1)
        );
        stream.take(&[second, answers.frame(2).unwrap()].concat(), 0);
        assert_eq!((stream.frames, stream.merged, stream.is_broken), (3, 1, false));
        stream.take(&first, 0);
        assert!(stream.is_broken, "an older frame after a younger one");
    }
}
