//! Frames: how records lie in a segment, so that a torn or damaged one can be told from a whole one.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | marker, so that reading can go on behind a damaged frame |
//! | 4 | length of the payload, little-endian |
//! | 4 | CRC32 of all that follows and of the length |
//! | 1 | version of the payload's format |
//! | 1 | kind |
//! | n | payload |
//!
//! The marker begins and ends with bytes that no UTF-8 text has: a name somebody has chosen cannot be taken for a
//! frame, wherever the file is cut.

const MARKER: [u8; 4] = [0xff, b'L', b'K', 0xfe];
const HEADER: usize = 14;
/// Far above any record; a larger length is damage.
const MAX_PAYLOAD: usize = 64 * 1024;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that is about to be forwarded.
    Open,
    /// A request that is over.
    Settle,
    /// Nothing: written to see whether writing works.
    Probe,
    /// Of a later version of this program.
    Other(u8),
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Settle => 2,
            Self::Probe => 3,
            Self::Other(code) => code,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            1 => Self::Open,
            2 => Self::Settle,
            3 => Self::Probe,
            other => Self::Other(other),
        }
    }
}

/// The payload has more than 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is too large for the spool")]
pub struct TooLarge;

/// Makes a frame whose payload `write` appends to the buffer it is given.
pub fn frame<E: From<TooLarge>>(
    kind: Kind,
    version: u8,
    write: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[version, kind.code()]);
    let mut bytes = write(bytes)?;
    let payload = Some(bytes.len() - HEADER).filter(|length| *length <= MAX_PAYLOAD).ok_or(TooLarge)?;
    let length = u32::try_from(payload).map_err(|_| TooLarge)?.to_le_bytes();
    bytes[4..8].copy_from_slice(&length);
    let checksum = checksum(length, &bytes[12..]).to_le_bytes();
    bytes[8..12].copy_from_slice(&checksum);
    Ok(bytes)
}

fn checksum(length: [u8; 4], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(rest);
    hasher.finalize()
}

/// One whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The version of the payload's format.
    pub version: u8,
    /// What it holds.
    pub kind: Kind,
    /// Its record.
    pub payload: &'a [u8],
    /// All of it, as it lies in the file.
    pub bytes: &'a [u8],
}

/// What lies at some place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Bytes that are none. At the end of a segment that is what a crash leaves of the last write.
    Damage {
        /// Where in the segment.
        at: usize,
        /// How many.
        length: usize,
        /// No whole frame follows.
        is_tail: bool,
    },
}

/// The frames of a segment, in order; what is no frame is reported and passed over.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Reads `bytes`, the whole of a segment.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn next_whole(&self) -> Option<(usize, Frame<'a>)> {
        let rest = &self.bytes[self.at..];
        (1..rest.len()).find_map(|skip| whole(&rest[skip..]).map(|frame| (skip, frame)))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.at == self.bytes.len() {
            return None;
        }
        if let Some(frame) = whole(&self.bytes[self.at..]) {
            self.at += frame.bytes.len();
            return Some(Item::Frame(frame));
        }
        let at = self.at;
        let found = self.next_whole();
        self.at = found.map_or(self.bytes.len(), |(skip, _)| at + skip);
        Some(Item::Damage { at, length: self.at - at, is_tail: found.is_none() })
    }
}

/// The frame that begins with the first of `bytes`, if one does and all of it is there.
fn whole(bytes: &[u8]) -> Option<Frame<'_>> {
    if !bytes.starts_with(&MARKER) {
        return None;
    }
    let length: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let payload = usize::try_from(u32::from_le_bytes(length)).ok().filter(|length| *length <= MAX_PAYLOAD)?;
    let stored: [u8; 4] = bytes.get(8..12)?.try_into().ok()?;
    let bytes = bytes.get(..HEADER + payload)?;
    if checksum(length, &bytes[12..]) != u32::from_le_bytes(stored) {
        return None;
    }
    Some(Frame { version: bytes[12], kind: Kind::of(bytes[13]), payload: &bytes[HEADER..], bytes })
}

/// Keeps those of some whole frames that are not openings: facts, where openings are only intentions.
pub fn without_openings(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for item in Frames::new(bytes) {
        if let Item::Frame(frame) = item
            && frame.kind != Kind::Open
        {
            kept.extend_from_slice(frame.bytes);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let write = |mut bytes: Vec<u8>| {
            bytes.extend_from_slice(payload);
            Ok::<_, TooLarge>(bytes)
        };
        frame(kind, 1, write).unwrap()
    }

    fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
        let frames = Frames::new(bytes).filter_map(|item| match item {
            Item::Frame(frame) => Some(frame.payload.to_vec()),
            Item::Damage { .. } => None,
        });
        frames.collect()
    }

    fn damage(bytes: &[u8]) -> Vec<Item<'_>> {
        Frames::new(bytes).filter(|item| matches!(item, Item::Damage { .. })).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes =
            [made(Kind::Open, b"one"), made(Kind::Settle, b""), made(Kind::Other(9), b"three")].concat();
        let kinds: Vec<_> = Frames::new(&bytes)
            .map(|item| match item {
                Item::Frame(frame) => (frame.kind, frame.version),
                Item::Damage { .. } => panic!("damage in {item:?}"),
            })
            .collect();
        assert_eq!(kinds, [(Kind::Open, 1), (Kind::Settle, 1), (Kind::Other(9), 1)]);
        assert_eq!(payloads(&bytes), [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
    }

    #[test]
    fn a_length_beyond_all_reason_is_refused_and_read_as_damage() {
        let large = |mut bytes: Vec<u8>| {
            bytes.resize(HEADER + MAX_PAYLOAD + 1, 0);
            Ok::<_, TooLarge>(bytes)
        };
        assert_eq!(frame(Kind::Open, 1, large), Err(TooLarge));
        let mut bytes = made(Kind::Open, b"one");
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(damage(&bytes), [Item::Damage { at: 0, length: bytes.len(), is_tail: true }]);
    }

    #[test]
    fn openings_are_left_out_and_facts_stay() {
        let settle = made(Kind::Settle, b"fact");
        let bytes = [made(Kind::Open, b"wish"), settle.clone(), made(Kind::Open, b"wish")].concat();
        assert_eq!(without_openings(&bytes), settle);
    }

    fn some_payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)
    }

    proptest! {
        #[test]
        fn any_cut_gives_back_exactly_the_whole_frames_before_it(all in some_payloads(), cut in any::<prop::sample::Index>()) {
            let frames: Vec<_> = all.iter().map(|payload| made(Kind::Settle, payload)).collect();
            let bytes = frames.concat();
            let cut = cut.index(bytes.len() + 1);
            let mut end = 0;
            let whole = frames.iter().take_while(|frame| { end += frame.len(); end <= cut }).count();
            prop_assert_eq!(payloads(&bytes[..cut]), &all[..whole]);
            let kept: usize = frames[..whole].iter().map(Vec::len).sum();
            let expected = (kept < cut).then_some(Item::Damage { at: kept, length: cut - kept, is_tail: true });
            prop_assert_eq!(damage(&bytes[..cut]), Vec::from_iter(expected));
        }

        #[test]
        fn a_damaged_frame_loses_only_itself(all in some_payloads(), place in any::<prop::sample::Index>(), bits in 1..=255_u8) {
            prop_assume!(!all.is_empty());
            let frames: Vec<_> = all.iter().map(|payload| made(Kind::Open, payload)).collect();
            let mut bytes = frames.concat();
            let place = place.index(bytes.len());
            bytes[place] ^= bits;
            let mut end = 0;
            let hit = frames.iter().take_while(|frame| { end += frame.len(); end <= place }).count();
            let mut others = all.clone();
            others.remove(hit);
            prop_assert_eq!(payloads(&bytes), others);
            prop_assert_eq!(damage(&bytes).len(), 1);
        }

        #[test]
        fn noise_is_never_a_frame_and_never_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(payloads(&noise), Vec::<Vec<u8>>::new());
        }
    }
}
