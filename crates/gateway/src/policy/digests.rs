//! A map whose keys are digests. They are evenly spread and nobody can choose them, so they need no further hashing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use domain::secret::Digest;

/// Values by digest.
pub(super) type ByDigest<T> = HashMap<Digest, T, BuildHasherDefault<FirstBytes>>;

/// Takes eight bytes of a digest as its hash.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        // An array's length is written first; only the digest itself has 32 bytes.
        if let (32, Some(first)) = (bytes.len(), bytes.first_chunk()) {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn different_digests_have_different_hashes() {
        let map = ByDigest::<u8>::default();
        let hash = |seed: u8| map.hasher().hash_one(Digest([seed; 32]));
        assert_eq!(hash(1), 0x0101_0101_0101_0101);
        assert_ne!(hash(1), hash(2));
    }
}
