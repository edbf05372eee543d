//! The gateway's own count, for requests whose upstream did not say what they consumed.
//!
//! Conservative: rather a little too much than less than was emitted. Such records are flagged.

use domain::usage::TokenUsage;

use crate::body::scan::Embedded;

/// Common tokenizers give four bytes a token for English and three for the densest common scripts.
const INPUT_BYTES_PER_TOKEN: usize = 3;
/// Output is counted more strictly, since it is the part a client could try to get for nothing.
const OUTPUT_BYTES_PER_TOKEN: u64 = 2;
/// A large picture.
const TOKENS_PER_FILE: usize = 1_500;
/// Speech of the lowest bit rate in use (16 kbit/s) has 2 000 bytes a second, and models count ten tokens a second.
const SPEECH_BYTES_PER_TOKEN: usize = 200;
/// The same speech, by its length.
const SPEECH_BYTES_PER_MS: usize = 2;
/// A generated picture: what OpenAI's models count for one of high quality, 1024 by 1024.
const TOKENS_PER_IMAGE: u32 = 4_160;
/// No request may be charged more by a guess.
const MOST: u32 = 10_000_000;

/// What a request brings along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Input tokens.
    pub tokens: u32,
    /// Sound, in milliseconds; `None` where there is none.
    pub audio_ms: Option<u32>,
}

/// Input tokens of a request body of `length` bytes.
pub fn input(length: usize, embedded: Embedded) -> u32 {
    let text = length.saturating_sub(embedded.bytes).div_ceil(INPUT_BYTES_PER_TOKEN);
    let files = embedded.count.saturating_mul(TOKENS_PER_FILE);
    u32::try_from(text.saturating_add(files)).unwrap_or(u32::MAX).min(MOST)
}

/// Input tokens of a form of `length` bytes whose files are speech.
pub fn speech_input(length: usize, embedded: Embedded) -> u32 {
    let text = length.saturating_sub(embedded.bytes).div_ceil(INPUT_BYTES_PER_TOKEN);
    let speech = embedded.bytes.div_ceil(SPEECH_BYTES_PER_TOKEN);
    u32::try_from(text.saturating_add(speech)).unwrap_or(u32::MAX).min(MOST)
}

/// Milliseconds of files that are speech, of the lowest bit rate in use.
pub fn speech_ms(embedded: Embedded) -> u32 {
    u32::try_from(embedded.bytes.div_ceil(SPEECH_BYTES_PER_MS)).unwrap_or(u32::MAX)
}

/// Output tokens of `count` pictures.
pub fn images(count: u32) -> u32 {
    count.saturating_mul(TOKENS_PER_IMAGE).min(MOST)
}

/// Output tokens of `bytes` of generated sound. Models count about 21 tokens a second; how many bytes that is depends
/// on the format: 48 000 where it is not compressed (16 bit, 24 kHz), about 16 000 of MP3, about 4 000 of the rest.
pub fn sound(bytes: u64, media_type: &str) -> u32 {
    let bytes_per_token = match media_type {
        "audio/wav" | "audio/x-wav" | "audio/pcm" | "audio/l16" => 2_200,
        "audio/mpeg" | "audio/mp3" => 700,
        _ => 200,
    };
    u32::try_from(bytes.div_ceil(bytes_per_token)).unwrap_or(u32::MAX).min(MOST)
}

/// Milliseconds of `bytes` of generated sound, at the rates [`sound`] knows.
pub fn sound_ms(bytes: u64, media_type: &str) -> u32 {
    let bytes_per_ms = match media_type {
        "audio/wav" | "audio/x-wav" | "audio/pcm" | "audio/l16" => 48,
        "audio/mpeg" | "audio/mp3" => 16,
        _ => 4,
    };
    u32::try_from(bytes.div_ceil(bytes_per_ms)).unwrap_or(u32::MAX)
}

/// Output tokens of `bytes` of text that came in `events` pieces (each has at least one token).
pub fn output(events: u32, bytes: u64) -> u32 {
    let tokens = u32::try_from(bytes.div_ceil(OUTPUT_BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
    tokens.max(events).min(MOST)
}

/// Both together.
pub fn usage(input: u32, output: u32) -> TokenUsage {
    TokenUsage { input, cached_input: 0, output }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_do_not_count_as_text() {
        assert_eq!(input(300, Embedded::default()), 100);
        assert_eq!(input(1_000_300, Embedded { count: 1, bytes: 1_000_000, remote: 0 }), 1_600);
    }

    #[test]
    fn speech_and_pictures_have_measures_of_their_own() {
        assert_eq!(speech_input(1_000_300, Embedded { count: 1, bytes: 1_000_000, remote: 0 }), 5_100);
        assert_eq!(images(2), 8_320);
        assert_eq!(images(u32::MAX), 10_000_000);
        assert_eq!(
            (sound(48_000, "audio/pcm"), sound(16_000, "audio/mpeg"), sound(4_000, "audio/opus")),
            (22, 23, 20)
        );
        assert_eq!(sound(0, ""), 0);
        assert_eq!(
            (sound_ms(48_000, "audio/wav"), sound_ms(16_001, "audio/mpeg"), sound_ms(4_000, "")),
            (1_000, 1_001, 1_000)
        );
        assert_eq!(speech_ms(Embedded { count: 1, bytes: 2_001, remote: 0 }), 1_001);
    }

    #[test]
    fn every_piece_is_at_least_a_token() {
        assert_eq!(output(7, 3), 7);
        assert_eq!(output(1, 9), 5);
        assert_eq!(output(0, 0), 0);
        assert_eq!(output(0, u64::MAX), 10_000_000);
    }
}
