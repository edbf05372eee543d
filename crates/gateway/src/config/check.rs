//! Checks variables one by one and collects what is wrong with them.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use domain::dial::PrivateNetworks;
use domain::secret::KeyPrefix;
use domain::setting::{self, Source};
use http::Uri;
use http::header::HeaderValue;
use store::PgConnectOptions;
use tracing_subscriber::EnvFilter;

use super::{LogFormat, Logs, Problems, Redis, Secret};
use crate::router::Aliases;

/// A problem, which the checker has already been told.
#[derive(Debug)]
pub(super) struct Noted;

/// Collects problems.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<String>,
}

impl Checker {
    /// The configuration, or everything that is wrong with it.
    pub(super) fn finish<T>(self, config: Option<T>) -> Result<T, Problems> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(Problems(self.problems)),
        }
    }

    /// Notes what is wrong with a variable.
    pub(super) fn problem<T>(&mut self, name: &str, what: &str) -> Option<T> {
        self.problems.push(format!("  {name}: {what}"));
        None
    }

    /// A secret from its variable or from the file its `_FILE` variable names.
    pub(super) fn secret(
        &mut self,
        name: &str,
        value: Option<String>,
        file: Option<OsString>,
    ) -> Option<Secret> {
        let file = file.map(PathBuf::from);
        let text = match setting::source(value.as_deref(), file.as_deref()) {
            Ok(Source::Value(text)) => Ok(text.to_owned()),
            Ok(Source::File(file)) => match fs::read_to_string(file) {
                Ok(text) => setting::from_file(&text).map(str::to_owned),
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.display());
                    return self.problem(&format!("{name}_FILE"), &what);
                }
            },
            Err(bad) => Err(bad),
        };
        match text {
            Ok(text) => Some(Secret::new(text)),
            Err(bad) => self.problem(name, &bad.to_string()),
        }
    }

    /// A secret of at least `bytes` bytes that is no sample.
    pub(super) fn strong(&mut self, name: &str, secret: Option<Secret>, bytes: usize) -> Option<Secret> {
        let secret = secret?;
        match setting::require_strong(secret.expose(), bytes) {
            Ok(()) => Some(secret),
            Err(bad) => self.problem(name, &bad.to_string()),
        }
    }

    pub(super) fn header_value(&mut self, name: &str, secret: Option<Secret>) -> Option<Secret> {
        let secret = secret?;
        let is_token = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if is_token && HeaderValue::from_str(secret.expose()).is_ok() {
            return Some(secret);
        }
        self.problem(name, "has a character that no API key has (a space or line break, perhaps)")
    }

    pub(super) fn database_url(&mut self, url: Option<Secret>) -> Option<Secret> {
        let url = url?;
        let is_postgres =
            ["postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme));
        // The parser's own message could repeat the password.
        if is_postgres && url.expose().parse::<PgConnectOptions>().is_ok() {
            return Some(url);
        }
        self.problem("DATABASE_URL", "is no URL such as postgres://user:password@host:5432/database")
    }

    /// A Redis, if one is named.
    pub(super) fn redis(
        &mut self,
        name: &str,
        url: Option<String>,
        file: Option<OsString>,
    ) -> Result<Option<Redis>, Noted> {
        let is_given = url.as_deref().and_then(setting::given).is_some();
        if !is_given && file.as_ref().is_none_or(|file| file.is_empty()) {
            return Ok(None);
        }
        let url = self.secret(name, url, file).ok_or(Noted)?;
        let is_redis = ["redis://", "rediss://"].iter().any(|scheme| url.expose().starts_with(scheme));
        // The library's own message could repeat the password.
        match redis::Client::open(url.expose()) {
            Ok(client) if is_redis => Ok(Some(Redis::new(client))),
            _ => {
                let what = "is no URL such as redis://user:password@host:6379/0, or rediss:// for TLS";
                self.problem(name, what).ok_or(Noted)
            }
        }
    }

    pub(super) fn base_url(&mut self, name: &str, url: Option<String>) -> Option<Uri> {
        let Some(url) = url.filter(|url| !url.trim().is_empty()) else {
            return self.problem(name, "is missing (for example https://api.openai.com/v1)");
        };
        let Ok(uri) = url.trim_end_matches('/').parse::<Uri>() else {
            return self.problem(name, "is not a URL");
        };
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
        if is_http && plain {
            return Some(uri);
        }
        self.problem(name, "must be http:// or https:// with a host, without a user, password or query")
    }

    pub(super) fn private_networks(&mut self, name: &str, text: &str) -> Option<PrivateNetworks> {
        match text.parse() {
            Ok(networks) => Some(networks),
            Err(error) => self.problem(name, &format!("{error}")),
        }
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, text: &str, wanted: &str) -> Option<T> {
        text.parse().ok().or_else(|| self.problem(name, &format!("'{text}' is not {wanted}")))
    }

    pub(super) fn folder(&mut self, name: &str, folder: Option<String>) -> Option<PathBuf> {
        match folder {
            Some(folder) if !folder.is_empty() => Some(folder.into()),
            _ => self.problem(
                name,
                "is missing (a folder of this gateway alone, such as /var/lib/latchkey-gateway)",
            ),
        }
    }

    pub(super) fn bytes(&mut self, name: &str, text: &str, least: u64) -> Option<u64> {
        let bytes = self.parsed::<u64>(name, text, "a number of bytes")?;
        if bytes >= least {
            Some(bytes)
        } else {
            self.problem(name, &format!("must be at least {least} bytes"))
        }
    }

    pub(super) fn at_least(&mut self, name: &str, text: &str, least: u64) -> Option<u64> {
        let number = self.parsed::<u64>(name, text, "a number")?;
        if number >= least { Some(number) } else { self.problem(name, &format!("must be at least {least}")) }
    }

    pub(super) fn key_prefix(&mut self, name: &str, text: &str) -> Option<KeyPrefix> {
        match setting::key_prefix(text) {
            Ok(prefix) => Some(prefix),
            Err(error) => self.problem(name, &error.to_string()),
        }
    }

    pub(super) fn aliases(&mut self, name: &str, list: &str) -> Option<Aliases> {
        match Aliases::parse(list) {
            Ok(aliases) => Some(aliases),
            Err(error) => self.problem(name, &error.to_string()),
        }
    }

    pub(super) fn name(&mut self, variable: &str, name: Option<String>) -> Option<String> {
        let name = name.as_deref().and_then(setting::given).map_or_else(host_name, str::to_owned);
        let name = name.trim().to_owned();
        if (1..=100).contains(&name.chars().count()) {
            return Some(name);
        }
        self.problem(variable, "must have 1 to 100 characters")
    }

    pub(super) fn logs(&mut self, format: &str, filter: String) -> Option<Logs> {
        let parsed = LogFormat::from_str(format, true).ok();
        let parsed =
            parsed.or_else(|| self.problem("LOG_FORMAT", &format!("'{format}' is neither text nor json")));
        let valid = EnvFilter::try_new(&filter).is_ok();
        if !valid {
            return self
                .problem("RUST_LOG", &format!("'{filter}' is not a filter such as info or gateway=debug"));
        }
        parsed.map(|format| Logs { format, filter })
    }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "gateway".to_owned())
}
