//! Signing in by a code sent to an email address: the code's form, and when another may be sent.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::Duration;

use crate::email::EmailAddress;

/// How long a code lives.
pub const CODE_LIFE: Duration = Duration::minutes(10);
/// Wrong tries that kill a code in its row.
pub const CODE_TRIES: i16 = 5;
/// Random bytes one new code takes.
pub const CODE_ENTROPY: usize = 16;
const CODE_DIGITS: usize = 8;

/// Eight decimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInCode(String);

/// What was typed is not eight digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Enter the 8 digits from the mail")]
pub struct MalformedCode;

impl SignInCode {
    /// Makes a code from random bytes. 128 bits modulo 10^8 are uneven by less than 10^-30.
    pub fn from_entropy(entropy: [u8; CODE_ENTROPY]) -> Self {
        Self(format!("{:08}", u128::from_be_bytes(entropy) % 100_000_000))
    }

    /// Reads what a person typed or pasted: exactly eight ASCII digits after removing one space or hyphen (mails and
    /// our own page show the code in two groups of four). Anything else is refused before anything is compared.
    pub fn parse(text: &str) -> Result<Self, MalformedCode> {
        let digits = text.trim().replacen([' ', '-'], "", 1);
        let good = digits.len() == CODE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        if good { Ok(Self(digits)) } else { Err(MalformedCode) }
    }

    /// The digits, for the mail.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored: HMAC-SHA-256(key, salt, address, code). The key is the operator's for this purpose alone.
    pub fn digest(&self, key: &[u8], salt: [u8; 16], address: &EmailAddress) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes any key") };
        mac.update(&salt);
        // The salt has a fixed length and an address holds no zero byte, so no two inputs run together.
        mac.update(address.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(self.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SignInCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInCode(…)")
    }
}

/// What has been sent lately, counted by the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct SentLately {
    /// Seconds since the last code went to this address, if one did within the last day.
    pub seconds_since_last: Option<i64>,
    /// Codes sent to this address within the last hour.
    pub address_hour: i64,
    /// Codes sent to this address within the last day.
    pub address_day: i64,
    /// Codes asked for by this client network (IPv4 address or IPv6 /64) within the last hour.
    pub network_hour: i64,
    /// The same for the wider network (IPv4 /24 or IPv6 /48).
    pub wide_network_hour: i64,
}

impl SentLately {
    /// Whether one more code may be sent: at least 60 s after the last, 5 an hour and 10 a day for an address, 20 an
    /// hour for a network, 200 for its wider network.
    pub fn allows_another(&self) -> bool {
        self.seconds_since_last.is_none_or(|seconds| seconds >= 60)
            && self.address_hour < 5
            && self.address_day < 10
            && self.network_hour < 20
            && self.wide_network_hour < 200
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_as_people_type_them() {
        for good in ["12345678", " 12345678 ", "1234 5678", "1234-5678"] {
            assert_eq!(SignInCode::parse(good).unwrap().expose(), "12345678");
        }
        for bad in [
            "",
            "1234567",
            "123456789",
            "1 2 345678",
            "1234 567",
            "１２３４５６７８",
            "12345678,12345678",
            "1234567a",
        ] {
            assert!(SignInCode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_code_is_hidden_in_debug() {
        assert!(!format!("{:?}", SignInCode::parse("12345678").unwrap()).contains("1234"));
    }

    #[test]
    fn the_digest_depends_on_everything() {
        let code = SignInCode::parse("12345678").unwrap();
        let ada = EmailAddress::parse("ada@example.com").unwrap();
        let bob = EmailAddress::parse("bob@example.com").unwrap();
        let base = code.digest(b"k", [1; 16], &ada);
        assert_eq!(base, code.digest(b"k", [1; 16], &ada));
        assert_ne!(base, code.digest(b"K", [1; 16], &ada));
        assert_ne!(base, code.digest(b"k", [2; 16], &ada));
        assert_ne!(base, code.digest(b"k", [1; 16], &bob));
        assert_ne!(base, SignInCode::parse("12345679").unwrap().digest(b"k", [1; 16], &ada));
    }

    #[test]
    fn each_send_limit_holds_alone() {
        let none = SentLately::default();
        assert!(none.allows_another());
        assert!(!SentLately { seconds_since_last: Some(59), ..none }.allows_another());
        assert!(SentLately { seconds_since_last: Some(60), ..none }.allows_another());
        assert!(!SentLately { address_hour: 5, ..none }.allows_another());
        assert!(!SentLately { address_day: 10, ..none }.allows_another());
        assert!(!SentLately { network_hour: 20, ..none }.allows_another());
        assert!(!SentLately { wide_network_hour: 200, ..none }.allows_another());
    }

    proptest! {
        #[test]
        fn every_made_code_parses(entropy in any::<[u8; CODE_ENTROPY]>()) {
            let code = SignInCode::from_entropy(entropy);
            prop_assert_eq!(SignInCode::parse(code.expose()).unwrap(), code);
        }
    }
}
