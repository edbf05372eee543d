//! The spool's reader: it bears any file, gives back whole frames only, and every byte is either of a frame or reported.
#![no_main]

use gateway::spool::frame::{Frame, Frames, Item, Kind, TooLarge, frame};
use gateway::spool::record::{Record, VERSION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    read(data);
    // The fuzzer does not guess a checksum, so frames are made of its bytes, and then broken by them.
    let [kind, place, bits, payload @ ..] = data else { return };
    let kind = if kind % 2 == 0 { Kind::Open } else { Kind::Settle };
    let version = 1 + kind_version(*place);
    let mut file =
        [framed(kind, version, payload), framed(Kind::Probe, VERSION, &[]), framed(kind, VERSION, payload)];
    assert_eq!(read(&file.concat()), 3);
    let place = usize::from(*place) % file[1].len();
    file[1][place] ^= bits;
    let whole = read(&file.concat());
    assert!(if *bits == 0 { whole == 3 } else { whole == 2 }, "damage costs the frame it is in: {whole}");
});

fn kind_version(byte: u8) -> u8 {
    byte % VERSION
}

fn framed(kind: Kind, version: u8, payload: &[u8]) -> Vec<u8> {
    let write = |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(payload);
        Ok::<_, TooLarge>(bytes)
    };
    frame(kind, version, write).expect("not too large")
}

/// Reads a segment; how many frames it has.
fn read(bytes: &[u8]) -> usize {
    let (mut at, mut whole) = (0, 0);
    for item in Frames::new(bytes) {
        match item {
            Item::Frame(found) => {
                assert_eq!(found.bytes, &bytes[at..at + found.bytes.len()], "frames follow each other");
                assert_eq!(
                    found.bytes,
                    framed(found.kind, found.version, found.payload),
                    "whole, to its checksum"
                );
                at += found.bytes.len();
                whole += 1;
                record(&found);
            }
            Item::Damage { at: from, length, .. } => {
                assert!(from == at && length > 0, "no byte is passed over in silence");
                at += length;
            }
        }
    }
    assert_eq!(at, bytes.len());
    whole
}

/// Whatever a record says, it becomes a row, and the same record when it is written again.
fn record(found: &Frame<'_>) {
    let Ok(Some(record)) = Record::read(found) else { return };
    let written = match &record {
        Record::Open(opened) => {
            opened.interrupted();
            opened.frame()
        }
        Record::Settle(opened, ended) => {
            opened.record(ended);
            opened.settled_frame(ended)
        }
    };
    let written = written.expect("what was read can be written");
    match Frames::new(&written).next() {
        Some(Item::Frame(again)) => {
            assert_eq!(Record::read(&again).expect("what was written is read"), Some(record));
        }
        other => panic!("no frame: {other:?}"),
    }
}
