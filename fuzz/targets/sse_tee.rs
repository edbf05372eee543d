//! Streams on their way back: every byte passes, in whatever pieces it came, and the meter bears anything.
#![no_main]

use bytes::Bytes;
use domain::money::Price;
use gateway::metering::estimate::Sent;
use gateway::router::UsageDialect;
use gateway::sse::meter::{Fate, Meter};
use gateway::sse::splitter::{Part, Splitter};
use libfuzzer_sys::fuzz_target;

const DIALECTS: [UsageDialect; 7] = [
    UsageDialect::Choices,
    UsageDialect::Responses,
    UsageDialect::Messages,
    UsageDialect::InputOnly,
    UsageDialect::Images,
    UsageDialect::Speech,
    UsageDialect::Transcripts,
];

fuzz_target!(|data: &[u8]| {
    let [dialect, sizes @ ..] = data else { return };
    let dialect = DIALECTS[usize::from(*dialect) % DIALECTS.len()];
    let Some((sizes, stream)) = sizes.split_first_chunk::<4>() else { return };
    let whole = split(&[stream]);
    let pieces = split(&cut(stream, sizes));
    for (parts, rest) in [&whole, &pieces] {
        let passed: Vec<u8> =
            parts.iter().flat_map(|part| bytes_of(part).to_vec()).chain(rest.to_vec()).collect();
        assert_eq!(passed, stream, "byte by byte");
    }
    assert_eq!(frames(&whole.0), frames(&pieces.0), "the same events, whatever the pieces");
    let (free, injected) = (meter(&whole.0, dialect, false), meter(&whole.0, dialect, true));
    assert!(free.1.is_empty(), "nothing is kept back that the client asked for");
    if injected.1.iter().any(|frame| !frame.windows(7).any(|word| word == b"\"usage\"")) {
        panic!("only a usage event is ever kept back");
    }
    assert_eq!(free.0, injected.0, "the same bill");
    large(stream, sizes, dialect);
});

fn split(chunks: &[&[u8]]) -> (Vec<Part>, Bytes) {
    let (mut splitter, mut parts) = (Splitter::default(), Vec::new());
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk), |part| parts.push(part));
    }
    (parts, splitter.finish())
}

/// Pieces of these sizes, again and again.
fn cut<'a>(mut stream: &'a [u8], sizes: &[u8; 4]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (chunk, rest) = stream.split_at(stream.len().min(usize::from(*size).max(1)));
        chunks.push(chunk);
        stream = rest;
    }
    chunks
}

fn bytes_of(part: &Part) -> &Bytes {
    let (Part::Frame(bytes) | Part::Remainder(bytes) | Part::Oversized { bytes, .. }) = part;
    bytes
}

/// Frames without their last line ending, half of which may come as a part of its own.
fn frames(parts: &[Part]) -> Vec<&[u8]> {
    let frames = parts.iter().filter_map(|part| match part {
        Part::Frame(bytes) => Some(bytes.strip_suffix(b"\n").unwrap_or(bytes)),
        Part::Remainder(_) | Part::Oversized { .. } => None,
    });
    frames.map(|frame| frame.strip_suffix(b"\r").unwrap_or(frame)).collect()
}

/// What it comes to, and the frames that were kept back.
fn meter(parts: &[Part], dialect: UsageDialect, injected: bool) -> ((u64, bool), Vec<Bytes>) {
    let (mut meter, mut kept) = (Meter::new(dialect, injected), Vec::new());
    for part in parts {
        match part {
            Part::Frame(bytes) if meter.read(bytes) == Fate::Remove => kept.push(bytes.clone()),
            Part::Frame(_) | Part::Remainder(_) => {}
            Part::Oversized { bytes, is_end } => _ = meter.read_large(bytes, *is_end),
        }
    }
    (consumed(&meter), kept)
}

fn consumed(meter: &Meter) -> (u64, bool) {
    let sent = Sent { tokens: 100, audio_ms: Some(100) };
    let consumed = meter.consumed(sent, Price::default().into(), "audio/mpeg");
    assert!(consumed.usage.cached_input <= consumed.usage.input);
    assert!(consumed.usage.input <= 30_000_000 && consumed.usage.output <= 10_000_000, "believable");
    (consumed.usage.total(), consumed.estimated)
}

/// The same stream as one frame that is too large to be held.
fn large(stream: &[u8], sizes: &[u8; 4], dialect: UsageDialect) {
    let mut meter = Meter::new(dialect, false);
    for chunk in cut(stream, sizes) {
        assert_ne!(meter.read_large(chunk, false), Fate::Remove);
    }
    assert_ne!(meter.read_large(b"\n\n", true), Fate::Remove);
    consumed(&meter);
}
