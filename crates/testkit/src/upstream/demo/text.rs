//! The words of the demo model and the numbers it derives from text. All of it is deterministic.

const REPLIES: [&str; 4] = [
    "That is a good question. I am a small stand-in for a real model, so I answer from a short list of \
     sentences, but everything around me is real: your key was checked, your tokens were counted and the \
     cost was booked.",
    "Here is a thought to start with: give every program a key of its own. When one of them leaks you \
     switch off that key, and nothing else stops.",
    "I cannot look anything up, but I can tell you how this answer reached you: your client called the \
     gateway, the gateway checked your key and forwarded the call, and these words came back one by one.",
    "Happy to help. Point the gateway at a real provider and this very call will be answered by a real \
     model, with the same key, the same limits and the same usage report.",
];
const GREETING: &str = "Hello! Your API key works. I am the demo model that comes with this gateway: ask me \
                        anything, and watch the usage appear beside your key.";
const POEM: &str = "A key is cut, a door swings wide,\nthe tokens pass, the costs abide;\nand should it ever \
                    go astray,\none switch, and it is locked away.";
const THANKS: &str = "You are welcome. Take good care of that key.";

/// The reply to a prompt: a fitting one where a word gives it away, else one picked by its hash.
pub(super) fn reply_to(prompt: &str) -> &'static str {
    let lower = prompt.to_lowercase();
    let says = |words: &[&str]| lower.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word));
    if says(&["poem", "haiku", "rhyme"]) {
        return POEM;
    }
    if says(&["thanks", "thank"]) {
        return THANKS;
    }
    if says(&["hello", "hi", "hey", "ping", "test"]) {
        return GREETING;
    }
    let index = usize::try_from(hash(prompt) % 4).unwrap_or_default();
    REPLIES[index]
}

/// A text in pieces that add up to it again: words with the space before them. A piece is a token.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let starts = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let mut cuts: Vec<usize> = std::iter::once(0).chain(starts).chain([text.len()]).collect();
    cuts.dedup();
    cuts.windows(2).map(|cut| text[cut[0]..cut[1]].to_owned()).collect()
}

/// Tokens of an input: about one for four bytes, as common tokenizers give for English.
pub(super) fn tokens(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(4).max(1)
}

/// FNV-1a: stable over runs and machines, which the standard hasher is not.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A vector between -1 and 1 that depends on nothing but the text.
pub(super) fn vector(text: &str, dimensions: u32) -> Vec<f64> {
    let mut state = hash(text) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from(u32::try_from(state >> 32).unwrap_or_default()) / f64::from(u32::MAX) * 2.0 - 1.0
    };
    (0..dimensions).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_text() {
        for text in REPLIES.iter().chain([&GREETING, &POEM, &THANKS, &"", &" a  b "]) {
            assert_eq!(pieces(text).concat(), *text);
        }
    }

    #[test]
    fn the_same_text_gives_the_same_vector() {
        assert_eq!(vector("a", 8), vector("a", 8));
        assert_ne!(vector("a", 8), vector("b", 8));
        assert!(vector("a", 64).iter().all(|x| (-1.0..=1.0).contains(x)));
    }
}
