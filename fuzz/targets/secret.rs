//! Secrets of API keys: whatever a client presents is read or refused, and what is read is what was presented.
#![no_main]

use domain::secret::{ENTROPY, KeyPrefix, PlainSecret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let prefix = KeyPrefix::parse("sk-lk-").expect("a good prefix");
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(secret) = PlainSecret::parse(&prefix, text) {
            check(&secret, text);
        }
        if let Ok(own) = KeyPrefix::parse(text) {
            assert_eq!(own.as_str(), text);
        }
    }
    // The fuzzer does not guess a checksum, so a good secret is made of its bytes, and then broken by them.
    let Some((entropy, rest)) = data.split_first_chunk::<ENTROPY>() else { return };
    let made = PlainSecret::from_entropy(&prefix, entropy);
    let text = made.expose().to_owned();
    check(&PlainSecret::parse(&prefix, &text).expect("a secret of one's own is read"), &text);
    let [place, other, ..] = *rest else { return };
    let mut broken = text.clone().into_bytes();
    let place = usize::from(place) % broken.len();
    broken[place] = other;
    if let Ok(broken) = std::str::from_utf8(&broken) {
        assert_eq!(PlainSecret::parse(&prefix, broken).is_ok(), broken == text, "one character is noticed");
    }
});

fn check(secret: &PlainSecret, text: &str) {
    assert_eq!(secret.expose(), text);
    assert!(text.contains(secret.public_id().as_str()) && text.ends_with(secret.last4()));
    let hidden = &text["sk-lk-".len() + 12..];
    assert!(!format!("{secret:?}{}", secret.mask()).contains(hidden), "a secret shows");
}
