//! Edits that replace a few bytes of a body and share all others with what was received.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Replaces the bytes at `place` (an empty range inserts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where in the received body.
    pub place: Range<usize>,
    /// What stands there afterwards.
    pub with: Bytes,
}

impl Edit {
    /// Replaces `place` by `with`.
    pub fn replace(place: Range<usize>, with: impl Into<Bytes>) -> Self {
        Self { place, with: with.into() }
    }

    /// Inserts `with` before the byte at `at`.
    pub fn insert(at: usize, with: impl Into<Bytes>) -> Self {
        Self { place: at..at, with: with.into() }
    }
}

/// A body in pieces, sent one after the other with their total length.
#[derive(Clone, Debug, Default)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// `body` with `edits` made. Edits must not overlap; the order they come in does not matter. An edit outside the
    /// body is left out, so a caller's mistake can garble nothing.
    pub fn splice(body: &Bytes, mut edits: Vec<Edit>) -> Self {
        edits.sort_by_key(|edit| (edit.place.start, edit.place.end));
        let mut pieces = VecDeque::with_capacity(edits.len() * 2 + 1);
        let mut done = 0;
        for Edit { place, with } in edits {
            if place.start < done || place.end < place.start || place.end > body.len() {
                continue;
            }
            pieces.push_back(body.slice(done..place.start));
            pieces.push_back(with);
            done = place.end;
        }
        pieces.push_back(body.slice(done..));
        pieces.retain(|piece| !piece.is_empty());
        Self(pieces)
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(pieces: &Pieces) -> Vec<u8> {
        pieces.0.iter().flatten().copied().collect()
    }

    #[test]
    fn edits_in_any_order_touch_only_their_bytes() {
        let body = Bytes::from_static(b"0123456789");
        let edits = vec![Edit::replace(8..10, "yz"), Edit::insert(0, "<"), Edit::replace(3..5, "")];
        assert_eq!(joined(&Pieces::splice(&body, edits)), b"<012567yz");
    }

    #[test]
    fn overlapping_or_outside_edits_are_left_out() {
        let body = Bytes::from_static(b"0123456789");
        let edits = vec![Edit::replace(2..6, "a"), Edit::replace(4..8, "b"), Edit::replace(9..11, "c")];
        assert_eq!(joined(&Pieces::splice(&body, edits)), b"01a6789");
    }

    proptest! {
        #[test]
        fn everything_outside_an_edit_stays(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            with in proptest::collection::vec(any::<u8>(), 0..20),
            from in 0_usize..200, length in 0_usize..50,
        ) {
            let start = from.min(body.len());
            let end = (start + length).min(body.len());
            let pieces = Pieces::splice(&Bytes::from(body.clone()), vec![Edit::replace(start..end, with.clone())]);
            let expected = [&body[..start], &with, &body[end..]].concat();
            prop_assert_eq!(pieces.len(), expected.len());
            prop_assert_eq!(joined(&pieces), expected);
        }
    }
}
