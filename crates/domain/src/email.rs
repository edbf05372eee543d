//! One rule for email addresses everywhere: what is accepted, and when two are the same.

use std::fmt;

/// A mail address in the one spelling that is stored and compared: trimmed, lower case, ASCII.
///
/// Local parts are folded to lower case although the mail standard would allow otherwise: no provider of note tells
/// them apart, and two accounts that differ in case only are a trap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(transparent))]
pub struct EmailAddress(String);

/// Why a text is not an address we can send to. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmailError {
    /// Nothing was typed.
    #[error("Enter your email address")]
    Empty,
    /// More than 254 bytes, the longest address SMTP can carry.
    #[error("This address is too long: 254 characters at most")]
    TooLong,
    /// Outside ASCII.
    #[error("Use plain letters; write an international domain in its xn-- form")]
    NotAscii,
    /// No `name@domain.tld`.
    #[error("This does not look like an email address: name@example.com")]
    Form,
}

impl EmailAddress {
    /// Reads what a person typed. Accepts dot-atom local parts and host-name domains with at least two labels; no
    /// quoted local parts, comments, address literals or display names, and nothing that could end a header line.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        if text.len() > 254 {
            return Err(EmailError::TooLong);
        }
        if !text.is_ascii() {
            return Err(EmailError::NotAscii);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Form)?;
        if is_local_part(local) && is_domain(domain) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(EmailError::Form)
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`, from which a first account takes its name.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_local_part(local: &str) -> bool {
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    (1..=64).contains(&local.len()) && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    domain.contains('.') && domain.split('.').all(label) && top.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(EmailAddress::parse("  Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        for good in ["a@b.co", "first.last+tag@sub.example.org", "o'neil@xn--bcher-kva.example"] {
            assert!(EmailAddress::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "ada",
            "ada@",
            "@example.com",
            "ada@localhost",
            "ada@example..com",
            "a b@example.com",
            ".a@example.com",
            "a..b@example.com",
            "ada@-example.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@example.com\r\nBcc: x@y.z",
            "\"a\"@example.com",
            "Ada <ada@example.com>",
            "a@b@c.de",
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(EmailAddress::parse(" "), Err(EmailError::Empty));
        assert_eq!(EmailAddress::parse("ädä@example.com"), Err(EmailError::NotAscii));
        assert_eq!(
            EmailAddress::parse(&format!("{}@example.com", "a".repeat(250))),
            Err(EmailError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_cannot_break_a_header(text in "\\PC{0,40}@[a-z\\r\\n.]{0,20}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(address.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(EmailAddress::parse(address.as_str()).unwrap(), address);
            }
        }
    }
}
