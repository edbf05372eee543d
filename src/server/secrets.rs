//! Random values and keys. One root secret, one derived key per purpose, so that a value made for one
//! purpose never verifies in another.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What a derived key is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Digests of sign-in codes.
    SignInCode,
    /// The signature of the flash cookie.
    Flash,
    /// The signature of the cookie that remembers which address a code was asked for.
    Pending,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::SignInCode => b"latchkey console: sign-in code v1",
            Self::Flash => b"latchkey console: flash cookie v1",
            Self::Pending => b"latchkey console: pending sign-in v1",
        }
    }
}

/// The operator's `SECRET_KEY`. Wiped when dropped, redacted in `Debug`.
#[derive(Clone)]
pub struct RootSecret(Zeroizing<Vec<u8>>);

impl RootSecret {
    /// Takes the bytes of the setting; the caller has checked that they are strong.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The key for one purpose.
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> PurposeKey {
        PurposeKey(Zeroizing::new(mac(&self.0, &[purpose.label()])))
    }
}

impl std::fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootSecret(…)")
    }
}

/// A key for one purpose.
#[derive(Clone)]
pub struct PurposeKey(Zeroizing<[u8; 32]>);

impl PurposeKey {
    /// The key itself, for code that does its own HMAC.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// `text.signature`: what [`PurposeKey::open`] takes back.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> String {
        let body = URL_SAFE_NO_PAD.encode(bytes);
        let signature = URL_SAFE_NO_PAD.encode(mac(self.expose(), &[body.as_bytes()]));
        format!("{body}.{signature}")
    }

    /// The bytes that [`PurposeKey::seal`] took, if nobody changed them.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (body, signature) = sealed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let right: bool = mac(self.expose(), &[body.as_bytes()]).ct_eq(signature.as_slice()).into();
        if right { URL_SAFE_NO_PAD.decode(body).ok() } else { None }
    }
}

impl std::fmt::Debug for PurposeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PurposeKey(…)")
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length; the error type exists for other MACs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes any key") };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `N` bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A 256-bit value that a browser keeps; the database keeps its hash only.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one.
    pub fn generate() -> Result<Self, NoRandomness> {
        let bytes = Zeroizing::new(random::<32>()?);
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
    }

    /// What a browser sent, if it has a token's form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 43
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        good.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored: its SHA-256. 256 random bits need no slow or keyed hash.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_one_purpose_never_opens_in_another() {
        let root = RootSecret::new(b"0123456789abcdef0123456789abcdef");
        let sealed = root.derive(Purpose::Flash).seal(b"hello");
        assert_eq!(root.derive(Purpose::Flash).open(&sealed).unwrap(), b"hello");
        assert_eq!(root.derive(Purpose::SignInCode).open(&sealed), None);
    }

    #[test]
    fn a_changed_value_does_not_open() {
        let key = RootSecret::new(b"0123456789abcdef0123456789abcdef").derive(Purpose::Flash);
        let sealed = key.seal(b"hello");
        for index in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.open(&String::from_utf8(bytes).unwrap()), None, "at {index}");
        }
        assert_eq!(key.open(""), None);
    }

    #[test]
    fn tokens_have_256_bits_and_are_told_from_junk() {
        let token = Token::generate().unwrap();
        assert_eq!(Token::parse(token.expose()).unwrap().hash(), token.hash());
        assert_ne!(token.hash(), Token::generate().unwrap().hash());
        assert!(Token::parse("short").is_none() && Token::parse(&"=".repeat(43)).is_none());
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
