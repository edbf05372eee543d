//! One received message, decoded: headers, the text and HTML bodies, the sign-in code in it.

use std::time::SystemTime;

use mail_parser::{Address, MessageParser};
use serde::Serialize;
use time::OffsetDateTime;

/// A message the sink took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// Counts up from 1 in the order of arrival.
    pub id: u64,
    /// The envelope's recipients (the SMTP `RCPT TO`), as given.
    pub to: Vec<String>,
    /// The `From` header's address.
    pub from: String,
    /// The decoded subject, empty if there is none.
    pub subject: String,
    /// The plain-text body, empty if there is none.
    pub text: String,
    /// The HTML body, if the message has one of its own.
    pub html: Option<String>,
    /// The first run of eight digits in the text (a space or hyphen in its middle left out), if any.
    pub code: Option<String>,
    /// When the sink took it.
    #[serde(with = "time::serde::rfc3339")]
    pub received: OffsetDateTime,
}

impl Mail {
    /// Decodes the bytes of a message. None if they are none.
    pub(super) fn parse(raw: &[u8], to: Vec<String>) -> Option<Self> {
        let message = MessageParser::default().parse(raw)?;
        let text = message.body_text(0).unwrap_or_default().into_owned();
        // body_html makes HTML of a text-only message; only a real part counts.
        let html = message.html_bodies().find(|part| part.is_text_html()).map(ToString::to_string);
        Some(Self {
            id: 0,
            to,
            from: message
                .from()
                .and_then(Address::first)
                .and_then(|a| a.address())
                .unwrap_or_default()
                .to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            code: code_in(&text),
            text,
            html,
            received: SystemTime::now().into(),
        })
    }

    /// Whether `address` is among the recipients, in whatever case it was written.
    #[must_use]
    pub fn is_to(&self, address: &str) -> bool {
        self.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }
}

/// Finds eight digits that stand by themselves: `12345678`, `1234 5678` or `1234-5678`.
fn code_in(text: &str) -> Option<String> {
    let mut digits = String::new();
    let mut separated = false;
    for c in text.chars().chain(std::iter::once('\n')) {
        match c {
            '0'..='9' => {
                digits.push(c);
                separated = false;
            }
            ' ' | '-' | '\u{a0}' if !separated && digits.len() == 4 => separated = true,
            _ if digits.len() == 8 => return Some(digits),
            _ => {
                digits.clear();
                separated = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_eight_digits_that_stand_by_themselves() {
        let found = |text| code_in(text).unwrap_or_default();
        assert_eq!(found("Your code is 12345678."), "12345678");
        assert_eq!(found("Your code:\n\n1234 5678\n\nValid for 10 minutes"), "12345678");
        assert_eq!(found("1234-5678"), "12345678");
        assert_eq!(found("valid 10 minutes, 2026-11-21"), "");
        assert_eq!(found("a longer number 123456789 is no code"), "");
    }

    #[test]
    fn both_bodies_and_encoded_headers_are_decoded() {
        let raw = "From: Latchkey <mail@example.com>\r\nTo: a@example.com\r\n\
            Subject: =?utf-8?Q?Dein_Code_f=C3=BCr_Latchkey?=\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nCode: 1234=205678\r\n--b\r\nContent-Type: text/html\r\n\r\n\
            <p>1234 5678</p>\r\n--b--\r\n";
        let mail = Mail::parse(raw.as_bytes(), vec!["A@example.com".to_owned()]).unwrap();
        assert_eq!(mail.subject, "Dein Code für Latchkey");
        assert_eq!(mail.from, "mail@example.com");
        assert_eq!(mail.code.as_deref(), Some("12345678"));
        assert!(mail.html.as_deref().unwrap().contains("<p>1234 5678</p>"));
        assert!(mail.is_to("a@EXAMPLE.com"));
    }
}
