//! Cuts a byte stream into server-sent events, whatever the pieces it arrives in.
//!
//! A frame runs up to and including the empty line that ends it. Whole frames leave at once and share the received
//! bytes; only the beginning of an unfinished frame is kept back, since no client could use it yet.

use bytes::{Bytes, BytesMut};

/// A frame that grows beyond this passes in parts: it is no usage event, and nothing may pile up here.
const MAX_HELD: usize = 64 * 1024;

/// A part of the stream. All parts together are the stream, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A whole frame.
    Frame(Bytes),
    /// The line feed that completes the carriage return a frame ended with: it shares that frame's fate.
    Remainder(Bytes),
    /// Some of a frame too large to be held.
    Oversized {
        /// The bytes.
        bytes: Bytes,
        /// The frame ends with them.
        is_end: bool,
    },
}

/// The cutter.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the bytes just passed")]
pub struct Splitter {
    held: BytesMut,
    line_is_empty: bool,
    after_return: bool,
    /// The last frame ended with a carriage return that a line feed may still complete.
    owes_feed: bool,
    oversized: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            held: BytesMut::new(),
            line_is_empty: true,
            after_return: false,
            owes_feed: false,
            oversized: false,
        }
    }
}

impl Splitter {
    /// Takes the next bytes and hands over the parts they complete.
    pub fn push(&mut self, mut chunk: Bytes, mut take: impl FnMut(Part)) {
        if std::mem::take(&mut self.owes_feed) && chunk.first() == Some(&b'\n') {
            take(Part::Remainder(chunk.split_to(1)));
            self.after_return = false;
        }
        while let Some(end) = self.find_end(&chunk) {
            let rest = chunk.split_off(end);
            take(self.complete(chunk));
            self.owes_feed = self.after_return && rest.is_empty();
            chunk = rest;
        }
        self.hold(chunk, take);
    }

    /// What has not become a frame when the stream ends.
    pub fn finish(self) -> Bytes {
        self.held.freeze()
    }

    /// Whether the parts handed over so far end between two frames.
    pub fn is_between_frames(&self) -> bool {
        !self.oversized
    }

    /// The place just after the frame that ends in `chunk`.
    fn find_end(&mut self, chunk: &[u8]) -> Option<usize> {
        for (at, byte) in chunk.iter().enumerate() {
            let ends_line = match byte {
                // The second half of a line ending that has been counted.
                b'\n' if self.after_return => {
                    self.after_return = false;
                    continue;
                }
                b'\n' => true,
                b'\r' => {
                    self.after_return = true;
                    true
                }
                _ => {
                    self.after_return = false;
                    false
                }
            };
            if ends_line && self.line_is_empty {
                let feed = *byte == b'\r' && chunk.get(at + 1) == Some(&b'\n');
                self.after_return &= !feed;
                return Some(at + 1 + usize::from(feed));
            }
            self.line_is_empty = ends_line;
        }
        None
    }

    fn complete(&mut self, end: Bytes) -> Part {
        if std::mem::take(&mut self.oversized) {
            return Part::Oversized { bytes: end, is_end: true };
        }
        if self.held.is_empty() {
            return Part::Frame(end);
        }
        self.held.extend_from_slice(&end);
        Part::Frame(self.held.split().freeze())
    }

    fn hold(&mut self, rest: Bytes, mut take: impl FnMut(Part)) {
        if rest.is_empty() {
            return;
        }
        if self.oversized {
            take(Part::Oversized { bytes: rest, is_end: false });
            return;
        }
        self.held.extend_from_slice(&rest);
        if self.held.len() > MAX_HELD {
            self.oversized = true;
            take(Part::Oversized { bytes: self.held.split().freeze(), is_end: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(chunks: &[&[u8]]) -> (Vec<Part>, Bytes) {
        let mut splitter = Splitter::default();
        let mut parts = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk), |part| parts.push(part));
        }
        (parts, splitter.finish())
    }

    /// Frames with their closing line endings cut off, which a split inside a CRLF moves from one part to the next.
    fn frames(parts: &[Part]) -> Vec<String> {
        let frames = parts.iter().filter_map(|part| match part {
            Part::Frame(frame) => {
                Some(String::from_utf8_lossy(frame).trim_end_matches(['\r', '\n']).to_owned())
            }
            Part::Remainder(_) | Part::Oversized { .. } => None,
        });
        frames.collect()
    }

    fn bytes_of(parts: &[Part], rest: &Bytes) -> Vec<u8> {
        let whole = parts.iter().flat_map(|part| match part {
            Part::Frame(bytes) | Part::Remainder(bytes) | Part::Oversized { bytes, .. } => bytes.to_vec(),
        });
        whole.chain(rest.to_vec()).collect()
    }

    #[test]
    fn every_line_ending_ends_a_frame_at_once() {
        for ending in ["\n", "\r\n", "\r"] {
            let text =
                format!("event: x{ending}data: 1{ending}{ending}: note{ending}{ending}data: 2{ending}");
            let (parts, rest) = parts(&[text.as_bytes()]);
            assert_eq!(parts.len(), 2, "{ending:?}: {parts:?}");
            assert_eq!(rest, format!("data: 2{ending}"));
        }
    }

    #[test]
    fn a_split_line_ending_belongs_to_its_frame() {
        let (parts, rest) = parts(&[b"data: 1\r\n\r", b"\ndata: 2\r", b"\n\r\n"]);
        assert_eq!(parts[0], Part::Frame(Bytes::from_static(b"data: 1\r\n\r")));
        assert_eq!(parts[1], Part::Remainder(Bytes::from_static(b"\n")));
        assert_eq!(parts[2], Part::Frame(Bytes::from_static(b"data: 2\r\n\r\n")));
        assert!(rest.is_empty());
    }

    #[test]
    fn an_endless_frame_passes_in_parts_and_the_next_one_is_whole_again() {
        let long = vec![b'x'; MAX_HELD + 1];
        let (parts, _) = parts(&[b"data: ", &long, b"more", b"end\n\n", b"data: 2\n\n"]);
        let ends: Vec<bool> = parts[..3]
            .iter()
            .map(|part| if let Part::Oversized { is_end, .. } = part { *is_end } else { panic!("{part:?}") })
            .collect();
        assert_eq!(ends, [false, false, true]);
        assert_eq!(parts[3], Part::Frame(Bytes::from_static(b"data: 2\n\n")));
    }

    #[test]
    fn a_whole_frame_shares_the_received_bytes() {
        let chunk = Bytes::from_static(b"data: 1\n\n");
        let mut splitter = Splitter::default();
        splitter.push(chunk.clone(), |part| {
            let Part::Frame(frame) = part else { panic!("{part:?}") };
            assert_eq!(frame.as_ptr(), chunk.as_ptr());
        });
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("\n"),
            Just("\r\n"),
            Just("\r"),
            Just("data: {\"a\":1}"),
            Just(": comment"),
            Just("event: e"),
            Just("data:"),
            Just("x"),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            stream in stream(), cuts in proptest::collection::vec(0_usize..300, 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            let (whole, whole_rest) = parts(&[&stream]);
            let (cut, cut_rest) = parts(&chunks);
            prop_assert_eq!(frames(&whole), frames(&cut));
            prop_assert_eq!(bytes_of(&whole, &whole_rest), stream.clone());
            prop_assert_eq!(bytes_of(&cut, &cut_rest), stream);
        }
    }
}
