//! The mail server's address. Plain text only to this machine.

use std::fmt;
use std::net::IpAddr;

use axum::http::Uri;

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Not at all; accepted for loopback addresses only.
    Plain,
    /// STARTTLS, required: no mail leaves if the server does not offer it.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// Where and how mail is handed over.
#[derive(Clone)]
pub struct Smtp {
    /// The mail server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User and password, if the server wants them.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}:{}, {:?})", self.host, self.port, self.security)
    }
}

impl Smtp {
    /// Reads `smtp://[user:password@]host[:port]` or `smtps://…`. Errors never repeat the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || "must look like smtp://user:password@mail.example.com:587".to_owned();
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (security, default_port) = match uri.scheme_str() {
            Some("smtps") => (SmtpSecurity::Tls, 465),
            Some("smtp") if is_loopback(&host) => (SmtpSecurity::Plain, 25),
            Some("smtp") => (SmtpSecurity::StartTls, 587),
            _ => return Err(bad()),
        };
        if host.is_empty() || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad());
        }
        let login = authority.as_str().rsplit_once('@').map(|(login, _)| login);
        let login = login.map(|login| login.split_once(':').ok_or_else(bad)).transpose()?;
        let login = login.map(|(user, password)| Some((unescape(user)?, unescape(password)?)));
        let login = login.map(|login| login.ok_or_else(bad)).transpose()?;
        Ok(Self { host, port: authority.port_u16().unwrap_or(default_port), security, login })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Decodes `%40` and the like, so that a password may hold any character.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = tail else { return None };
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high)? * 16 + digit(low)?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_this_machine_only() {
        assert_eq!(Smtp::parse("smtp://127.0.0.1:1025").unwrap().security, SmtpSecurity::Plain);
        assert_eq!(Smtp::parse("smtp://[::1]:1025").unwrap().security, SmtpSecurity::Plain);
        assert_eq!(Smtp::parse("smtp://localhost").unwrap().port, 25);
        let remote = Smtp::parse("smtp://mail.example.com").unwrap();
        assert_eq!((remote.security, remote.port), (SmtpSecurity::StartTls, 587));
        assert_eq!(Smtp::parse("smtps://mail.example.com").unwrap().port, 465);
    }

    #[test]
    fn a_login_is_read_and_never_shown() {
        let smtp = Smtp::parse("smtp://me%40here:p%3Aw@mail.example.com").unwrap();
        assert_eq!(smtp.login.as_ref().unwrap(), &("me@here".to_owned(), "p:w".to_owned()));
        assert!(!format!("{smtp:?}").contains("p:w"));
        for bad in ["", "http://a.b", "smtp://user@host", "smtp://a.b/path", "smtp://%zz:x@a.b"] {
            assert!(Smtp::parse(bad).is_err(), "{bad}");
        }
    }
}
