//! The secret a client sends: `sk-lk-` + public id + 256 random bits + checksum.
//!
//! | part | length | what |
//! |---|---|---|
//! | prefix | operator's | says which service issues it; scanners look for it |
//! | public id | 12 | names the secret in lists and logs; not secret |
//! | secret | 43 | 256 bit from the operating system, base 62 |
//! | checksum | 6 | CRC-32 of everything before it, base 62: a typo needs no database |
//!
//! The text exists when it is made, in the answer that shows it, and in a client's request. What is stored is
//! the [`Digest`].

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::base62;

const PUBLIC_ID: usize = 12;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// Random bytes one new secret takes: 16 for the public id, 32 for the secret.
pub const ENTROPY: usize = 48;

/// The operator's prefix, such as `sk-lk-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPrefix(String);

/// Why a prefix was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key prefix has 2 to 20 characters a-z, 0-9, - or _, begins with a letter and ends with - or _")]
pub struct InvalidPrefix;

impl KeyPrefix {
    /// Takes the operator's text: 2 to 20 characters `a-z 0-9 - _`, beginning with a letter, ending with `-` or `_`
    /// (so that the prefix can be told from what follows).
    pub fn parse(text: &str) -> Result<Self, InvalidPrefix> {
        let good = (2..=20).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(['-', '_']);
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidPrefix) }
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of a secret that is not secret: 12 base-62 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(transparent))]
pub struct PublicId(String);

impl PublicId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a presented text is not a secret of this service. None of these needed a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretError {
    /// It begins with something else than this service's prefix.
    #[error("the key does not begin with this service's prefix")]
    ForeignPrefix,
    /// Its length or characters cannot be a secret's.
    #[error("the key does not have the form of a key")]
    Malformed,
    /// The last six characters do not fit the rest: a typo or a cut copy.
    #[error("the key's checksum does not match")]
    Checksum,
}

/// A whole secret in the clear. Redacted in `Debug`, wiped when dropped, never serialisable.
#[derive(Clone)]
pub struct PlainSecret {
    text: Zeroizing<String>,
    prefix: usize,
}

impl PlainSecret {
    /// Makes a secret from [`ENTROPY`] bytes of the operating system's random source.
    pub fn from_entropy(prefix: &KeyPrefix, entropy: &[u8; ENTROPY]) -> Self {
        let (id, secret) = entropy.split_at(16);
        let mut text = Zeroizing::new(String::with_capacity(prefix.0.len() + PUBLIC_ID + SECRET + CHECKSUM));
        text.push_str(&prefix.0);
        text.push_str(&base62::encode(id, PUBLIC_ID));
        text.push_str(&Zeroizing::new(base62::encode(secret, SECRET)));
        let checksum = checksum(text.as_bytes());
        text.push_str(&checksum);
        Self { text, prefix: prefix.0.len() }
    }

    /// Reads what a client presented.
    pub fn parse(prefix: &KeyPrefix, text: &str) -> Result<Self, SecretError> {
        let rest = text.strip_prefix(prefix.as_str()).ok_or(SecretError::ForeignPrefix)?;
        if rest.len() != PUBLIC_ID + SECRET + CHECKSUM || !rest.bytes().all(base62::is_digit) {
            return Err(SecretError::Malformed);
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM);
        if checksum(body.as_bytes()) != sum {
            return Err(SecretError::Checksum);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), prefix: prefix.0.len() })
    }

    /// The whole text, for the one answer that shows it and for hashing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The part that may be shown and logged.
    pub fn public_id(&self) -> PublicId {
        PublicId(self.text[self.prefix..self.prefix + PUBLIC_ID].to_owned())
    }

    /// The last four characters, which the mask shows.
    pub fn last4(&self) -> &str {
        &self.text[self.text.len() - 4..]
    }

    /// What the console shows instead of the text: prefix, dots, last four.
    pub fn mask(&self) -> String {
        mask(&self.text[..self.prefix], self.last4())
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainSecret({})", self.public_id())
    }
}

/// `sk-lk-••••9f3K`: enough to tell one's own keys apart, of no use to anybody else.
pub fn mask(prefix: &str, last4: &str) -> String {
    format!("{prefix}••••{last4}")
}

fn checksum(body: &[u8]) -> String {
    base62::encode(&crc32fast::hash(body).to_be_bytes(), CHECKSUM)
}

/// The operator's key for digests, kept outside the database: a stolen database alone cannot be searched for a
/// guessed secret, nor can a row be forged.
#[derive(Clone)]
pub struct Pepper {
    /// With the key taken in, which is a third of the work of a digest.
    mac: Hmac<Sha256>,
    version: i16,
}

impl Pepper {
    /// `key` from the configuration (at least 32 bytes; the caller checks), `version` as stored beside each digest.
    pub fn new(key: &[u8], version: i16) -> Self {
        // HMAC takes a key of any length; the error type exists for other MACs.
        let Ok(mac) = Hmac::new_from_slice(key) else { unreachable!("HMAC takes any key") };
        Self { mac, version }
    }

    /// The number stored beside digests made with this pepper.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The look-up key of a secret: HMAC-SHA-256(pepper, SHA-256(full text)). Two steps, so that keys of another
    /// system can come in as their SHA-256.
    pub fn digest(&self, secret: &PlainSecret) -> Digest {
        self.digest_of_sha256(&Sha256::digest(secret.expose().as_bytes()).into())
    }

    /// The same from the SHA-256 of a text this service has never seen.
    pub fn digest_of_sha256(&self, sha256: &[u8; 32]) -> Digest {
        let mut mac = self.mac.clone();
        mac.update(sha256);
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper(v{})", self.version)
    }
}

/// What is stored of a secret, and the look-up key. Useless without the pepper, but not for logs either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> KeyPrefix {
        KeyPrefix::parse("sk-lk-").unwrap()
    }

    #[test]
    fn a_known_secret_keeps_its_form() {
        let secret = PlainSecret::from_entropy(&prefix(), &[7; ENTROPY]);
        assert_eq!(secret.expose().len(), 6 + 12 + 43 + 6);
        assert_eq!(secret.mask(), format!("sk-lk-••••{}", secret.last4()));
        // Frozen (computed once more in Python with int and zlib.crc32): a change here would make every secret in use
        // invalid.
        assert_eq!(secret.expose(), "sk-lk-6AkSp3WsPxY71fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12PRfhc");
    }

    #[test]
    fn prefixes() {
        for good in ["sk-lk-", "sk-srt-", "acme_", "a-"] {
            assert!(KeyPrefix::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-", "sk", "SK-", "sk lk-", "1k-", "skß-", "a-very-long-prefix-of-all-"] {
            assert!(KeyPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_secret_says_why() {
        let parse = |text: &str| PlainSecret::parse(&prefix(), text).map(|_| ()).unwrap_err();
        assert_eq!(parse(""), SecretError::ForeignPrefix);
        assert_eq!(parse("sk-proj-abc"), SecretError::ForeignPrefix);
        assert_eq!(parse("sk-lk-"), SecretError::Malformed);
        assert_eq!(parse(&format!("sk-lk-{}", "a".repeat(61))), SecretError::Checksum);
        assert_eq!(parse(&format!("sk-lk-{}", "ä".repeat(31))), SecretError::Malformed);
    }

    #[test]
    fn debug_and_digest_hide_the_secret() {
        let secret = PlainSecret::from_entropy(&prefix(), &[9; ENTROPY]);
        let shown =
            format!("{secret:?} {:?} {:?}", Pepper::new(b"p", 1), Pepper::new(b"p", 1).digest(&secret));
        assert!(!shown.contains(&secret.expose()[20..]), "{shown}");
    }

    proptest! {
        #[test]
        fn every_secret_parses_back(entropy in proptest::array::uniform32(any::<u8>()), id in any::<[u8; 16]>()) {
            let mut bytes = [0; ENTROPY];
            bytes[..16].copy_from_slice(&id);
            bytes[16..].copy_from_slice(&entropy);
            let secret = PlainSecret::from_entropy(&prefix(), &bytes);
            let read = PlainSecret::parse(&prefix(), secret.expose()).unwrap();
            prop_assert_eq!(read.public_id(), secret.public_id());
            prop_assert_eq!(Pepper::new(b"x", 1).digest(&read), Pepper::new(b"x", 1).digest(&secret));
        }

        #[test]
        fn one_changed_character_is_noticed(seed in any::<u8>(), at in 6_usize..67, to in any::<u8>()) {
            let secret = PlainSecret::from_entropy(&prefix(), &[seed; ENTROPY]);
            let mut text = secret.expose().as_bytes().to_vec();
            let to = base62::encode(&[to % 62], 1).as_bytes()[0];
            prop_assume!(text[at] != to);
            text[at] = to;
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(PlainSecret::parse(&prefix(), &text).map(|_| ()), Err(SecretError::Checksum));
        }

        #[test]
        fn no_text_panics(text in ".{0,120}") {
            let _ = PlainSecret::parse(&prefix(), &text);
        }

        #[test]
        fn another_pepper_gives_another_digest(seed in any::<u8>()) {
            let secret = PlainSecret::from_entropy(&prefix(), &[seed; ENTROPY]);
            prop_assert_ne!(Pepper::new(b"one", 1).digest(&secret), Pepper::new(b"two", 2).digest(&secret));
        }
    }
}
