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

/// Input tokens of a request body of `length` bytes.
pub fn input(length: usize, embedded: Embedded) -> u32 {
    let text = length.saturating_sub(embedded.bytes).div_ceil(INPUT_BYTES_PER_TOKEN);
    let files = embedded.count.saturating_mul(TOKENS_PER_FILE);
    u32::try_from(text.saturating_add(files)).unwrap_or(u32::MAX).min(10_000_000)
}

/// Output tokens of `bytes` of text that came in `events` pieces (each has at least one token).
pub fn output(events: u32, bytes: u64) -> u32 {
    let tokens = u32::try_from(bytes.div_ceil(OUTPUT_BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
    tokens.max(events).min(10_000_000)
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
        assert_eq!(input(1_000_300, Embedded { count: 1, bytes: 1_000_000 }), 1_600);
    }

    #[test]
    fn every_piece_is_at_least_a_token() {
        assert_eq!(output(7, 3), 7);
        assert_eq!(output(1, 9), 5);
        assert_eq!(output(0, 0), 0);
        assert_eq!(output(0, u64::MAX), 10_000_000);
    }
}
