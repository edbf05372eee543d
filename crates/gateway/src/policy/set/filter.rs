//! A Bloom filter of digests: says for certain that a secret is nobody's, in 20 bits of memory a key.
//!
//! Digests are evenly spread and nobody can choose them, so their own bytes are the hashes. What goes is not taken out:
//! it only costs a look at the database.

use domain::secret::Digest;

/// With eight probes, one unknown digest in some two thousand is not recognised as one.
const BITS_A_KEY: usize = 20;
const PROBES: u64 = 8;
const LEAST_BITS: usize = 1 << 16;

/// A set of digests that may say "perhaps".
#[derive(Debug)]
pub(in crate::policy) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// For so many digests; a quarter more do little harm.
    pub(in crate::policy) fn for_keys(keys: usize) -> Self {
        let bits = keys.saturating_mul(BITS_A_KEY).max(LEAST_BITS);
        Self { words: vec![0; bits.div_ceil(64)] }
    }

    /// Adds a digest.
    pub(in crate::policy) fn add(&mut self, digest: &Digest) {
        for (word, bit) in places(digest, self.words.len()) {
            self.words[word] |= bit;
        }
    }

    /// False for what was certainly never added.
    pub(in crate::policy) fn may_have(&self, digest: &Digest) -> bool {
        places(digest, self.words.len()).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

/// Where a digest's bits are, in so many words.
fn places(digest: &Digest, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let part = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| digest.0[at + i]));
    // The map by digest goes by the first eight bytes; these are others.
    let (first, step) = (part(8), part(16) | 1);
    (0..PROBES).map(move |n| {
        let hash = first.wrapping_add(step.wrapping_mul(n));
        // The upper half of a product spreads a hash over any number of words.
        let word = (u128::from(hash) * words as u128) >> 64;
        (usize::try_from(word).unwrap_or(0), 1 << (hash.wrapping_mul(step) >> 58))
    })
}

#[cfg(test)]
mod tests {
    use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};

    use super::*;

    fn digest(n: u32) -> Digest {
        let mut entropy = [0; ENTROPY];
        entropy[..4].copy_from_slice(&n.to_le_bytes());
        let secret = PlainSecret::from_entropy(&KeyPrefix::parse("sk-lk-").unwrap(), &entropy);
        Pepper::new(b"a pepper", 1).digest(&secret)
    }

    #[test]
    fn what_was_added_is_there_and_hardly_anything_else() {
        let mut filter = Filter::for_keys(5_000);
        (0..5_000).for_each(|n| filter.add(&digest(n)));
        assert!((0..5_000).all(|n| filter.may_have(&digest(n))));
        let wrong = (5_000..25_000).filter(|n| filter.may_have(&digest(*n))).count();
        assert!(wrong < 60, "{wrong} of 20000");
    }
}
