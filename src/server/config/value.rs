//! Reading one setting: what is accepted, and what a bad one is told.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;
use domain::credits::CreditRate;
use domain::email::EmailAddress;
use domain::setting::{self, SHORTEST_SECRET, Source};
use lettre::message::Mailbox;
use store::accounts::BillingMode;

use super::cli::SecretSource;
use super::{DatabaseUrl, Operators};

/// Everything that is wrong with the settings, each line naming its variable and never a value of a secret.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start with these settings:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Collects values and problems; [`Reader::finish`] gives one or the other.
#[derive(Default)]
pub(super) struct Reader(Problems);

impl Reader {
    fn complain(&mut self, name: &str, what: impl fmt::Display) {
        self.0.0.push(format!("{name}: {what}"));
    }

    /// A secret's text, by value or by file; `None` is recorded as a problem.
    pub(super) fn secret(&mut self, name: &str, source: &SecretSource) -> Option<String> {
        let found = match setting::source(source.value.as_deref(), source.file.as_deref()) {
            Ok(Source::Value(text)) => Ok(text.to_owned()),
            Ok(Source::File(path)) => read_file(path),
            Err(bad) => Err(bad.to_string()),
        };
        found.map_err(|problem| self.complain(name, problem)).ok()
    }

    /// Puts a text that was found through `check`.
    pub(super) fn check<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        check: impl FnOnce(String) -> Result<T, String>,
    ) -> Option<T> {
        check(text?).map_err(|problem| self.complain(name, problem)).ok()
    }

    /// Puts an open setting's text through `check`.
    pub(super) fn check_text<T>(
        &mut self,
        name: &str,
        text: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        check(text.trim()).map_err(|problem| self.complain(name, problem)).ok()
    }

    /// An open setting that parses.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, text: &str) -> Option<T> {
        self.check_text(name, text, |text| text.parse().map_err(|error: T::Err| format!("{text:?}: {error}")))
    }

    /// A value already checked, or its problem.
    pub(super) fn value<T>(&mut self, name: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|problem| self.complain(name, problem)).ok()
    }

    /// The whole, or every problem.
    pub(super) fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Problems> {
        match build() {
            Some(config) if self.0.0.is_empty() => Ok(config),
            _ => Err(self.0),
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    setting::from_file(&text).map(str::to_owned).map_err(|bad| bad.to_string())
}

/// Takes the bytes of a secret that is neither short nor a sample.
pub(super) fn strong(text: &str) -> Result<&[u8], String> {
    setting::require_strong(text, SHORTEST_SECRET).map_err(|bad| bad.to_string())?;
    Ok(text.as_bytes())
}

/// A PostgreSQL connection string.
pub(super) fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        Err("must look like postgres://role:password@host:5432/database".to_owned())
    }
}

/// The list of hashed file names: the one that is named, which must be there, or `hash.txt` beside the program if it is.
pub(super) fn hash_file(named: Option<&Path>) -> Result<Option<PathBuf>, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("this program's folder is unknown: {error}"))?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let named = named.filter(|name| !name.as_os_str().is_empty());
    let file = folder.join(named.unwrap_or(Path::new("hash.txt")));
    match (file.is_file(), named) {
        (true, _) => Ok(Some(file)),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(format!("there is no file {}", file.display())),
    }
}

/// `Name <address>` or `address`.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    if text.is_empty() {
        return Err("is required, such as \"Latchkey <keys@example.com>\"".to_owned());
    }
    text.parse().map_err(|_| format!("{text:?} is not a sender such as \"Latchkey <keys@example.com>\""))
}

/// The operator's name: short, one line.
pub(super) fn brand(text: &str) -> Result<String, String> {
    let good = (1..=40).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("has 1 to 40 characters on one line".to_owned()) }
}

/// Email addresses between commas; none at all is nobody.
pub(super) fn operators(text: &str) -> Result<Operators, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let address = |part| EmailAddress::parse(part).map_err(|_| format!("{part:?} is not an email address"));
    parts.map(address).collect::<Result<_, _>>().map(Operators)
}

/// `none` or `invoiced`.
pub(super) fn billing(text: &str) -> Result<BillingMode, String> {
    match text {
        "none" => Ok(BillingMode::None),
        "invoiced" => Ok(BillingMode::Invoiced),
        other => Err(format!("{other:?} is neither none nor invoiced")),
    }
}

/// Where people open the console: over TLS, or on this machine. Browsers keep its cookies nowhere else, so that nobody
/// could sign in.
pub(super) fn console_origin(text: &str) -> Result<Origin, String> {
    let origin = Origin::parse(text)?;
    if origin.is_https() || origin.is_local() {
        return Ok(origin);
    }
    Err("must be https:// (a proxy that speaks TLS in front will do): over http:// browsers keep a sign-in on \
         localhost only"
        .to_owned())
}

/// How many credits a dollar is.
pub fn credits(text: &str) -> Result<CreditRate, String> {
    let credits = text.trim().parse().map_err(|_| "is no whole number".to_owned())?;
    CreditRate::per_dollar(credits).map_err(|error| error.to_string())
}

/// Scheme, host and port, as browsers write it in `Origin`: lower case, no default port, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads a base address; a path, query or user is refused, a lone slash at the end is dropped.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is required, such as https://keys.example.com".to_owned());
        }
        let bad = || format!("{text:?} is not an address such as https://keys.example.com");
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let scheme = uri.scheme().filter(|s| **s == Scheme::HTTP || **s == Scheme::HTTPS).ok_or_else(bad)?;
        let authority = uri.authority().ok_or_else(bad)?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(format!("{text:?} must hold nothing after the host and port"));
        }
        let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().filter(|port| *port != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self(format!("{scheme}://{host}{port}")))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this machine's own, which browsers trust without TLS.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let host = self.0.split_once("://").map_or("", |(_, host)| host);
        let port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let name = port.map_or(host, |(name, _)| name);
        name == "localhost" || name.ends_with(".localhost") || name == "[::1]" || name.starts_with("127.")
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_reach_the_console_over_tls_or_on_its_own_machine() {
        for good in
            ["https://keys.example.com", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:3000"]
        {
            assert!(console_origin(good).is_ok(), "{good}");
        }
        for bad in ["http://keys.example.com", "http://10.0.0.1:3000", "http://localhost.example.com", ""] {
            assert!(console_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let origin = |text| Origin::parse(text).map(|origin| origin.0);
        assert_eq!(origin("https://Keys.Example.com:443/").unwrap(), "https://keys.example.com");
        assert_eq!(origin("http://localhost:3000").unwrap(), "http://localhost:3000");
        for bad in
            ["", "keys.example.com", "ftp://a.b", "https://a.b/console", "https://a@b.c", "https://a.b/?x=1"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn operators_are_addresses_in_one_spelling() {
        let some = operators(" Ada@Example.com, bob@example.com ,").unwrap();
        assert!(some.include("ada@example.com") && some.include("bob@example.com"));
        assert!(!some.include("eve@example.com"));
        assert!(!operators("").unwrap().include(""));
        assert!(operators("ada@example.com; bob@example.com").is_err());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let mut read = Reader::default();
        assert!(read.secret("SECRET_KEY", &SecretSource::default()).is_none());
        assert!(read.parsed::<u16>("PORT", "x").is_none());
        let problems = read.finish(|| Some(())).unwrap_err().to_string();
        assert!(problems.contains("SECRET_KEY") && problems.contains("PORT"), "{problems}");
    }
}
