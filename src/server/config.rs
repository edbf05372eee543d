//! The console's settings: read once at start from arguments and environment, checked all together.
//!
//! The only place that reads the environment. Secrets come by value (`NAME`) or by file (`NAME_FILE`);
//! an empty, short or sample one refuses to start, named.

mod cli;
mod smtp;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Uri;
use domain::client::TrustedProxies;
use domain::credits::CreditRate;
use domain::email::EmailAddress;
use domain::secret::{KeyPrefix, Pepper};
use domain::setting;
use lettre::message::Mailbox;
use store::accounts::BillingMode;

pub use cli::{Cli, Command, LogFormat, Settings};
pub use smtp::{Smtp, SmtpSecurity};
pub use value::{Origin, Problems};

use crate::server::secrets::RootSecret;
use value::Reader;

/// What `latchkey serve` needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL as the console's role. Holds a password; never logged.
    pub database_url: DatabaseUrl,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What browsers call this console; the only origin whose forms are accepted and the base of every link.
    pub public: Origin,
    /// Where clients send requests, without a trailing slash and without `/v1`.
    pub gateway: Origin,
    /// The mail server.
    pub smtp: Smtp,
    /// The sender of mails.
    pub mail_from: Mailbox,
    /// The root of this console's own keys.
    pub secret_key: RootSecret,
    /// The pepper of API key digests, shared with the gateway.
    pub key_pepper: Pepper,
    /// What every API key begins with.
    pub key_prefix: KeyPrefix,
    /// The operator's name for this service.
    pub brand: String,
    /// How new accounts start.
    pub new_account_billing: BillingMode,
    /// What a credit is worth.
    pub credits: CreditRate,
    /// Who may set up models, prices and upstreams.
    pub operators: Operators,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// The folder of static files that the build left.
    pub site_root: PathBuf,
    /// The list of hashed file names, if the build made any.
    pub hash_file: Option<PathBuf>,
    /// Whether the development command watches: the page may open its reload socket.
    pub development: bool,
}

/// The addresses of those who run this service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators(Vec<EmailAddress>);

impl Operators {
    /// Whether this is the address of one; addresses are compared as they are stored.
    #[must_use]
    pub fn include(&self, address: &str) -> bool {
        self.0.iter().any(|operator| operator.as_str() == address)
    }

    /// All of them.
    #[must_use]
    pub fn addresses(&self) -> &[EmailAddress] {
        &self.0
    }
}

/// A connection string; shows neither user nor password in `Debug`.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole string, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Host and port, for telling what is waited for.
    #[must_use]
    pub fn place(&self) -> String {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty());
        let port = uri.as_ref().and_then(Uri::port_u16).unwrap_or(5432);
        format!("{}:{port}", host.unwrap_or("the local socket"))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({})", self.place())
    }
}

impl Config {
    /// Checks every setting and tells all that is wrong at once.
    pub fn read(settings: &Settings) -> Result<Self, Problems> {
        let mut read = Reader::default();
        let database_url = read.secret("DATABASE_URL", &settings.database_url);
        let database_url = read.check("DATABASE_URL", database_url, |text| value::database_url(&text));
        let listen = read.parsed("LISTEN_ADDR", &settings.listen_addr);
        let public = read.check_text("PUBLIC_URL", &settings.public_url, value::console_origin);
        let gateway = read.check_text("GATEWAY_PUBLIC_URL", &settings.gateway_public_url, Origin::parse);
        let smtp = read.secret("SMTP_URL", &settings.smtp_url);
        let smtp = read.check("SMTP_URL", smtp, |text| Smtp::parse(&text));
        let mail_from = read.check_text("MAIL_FROM", &settings.mail_from, value::mailbox);
        let secret_key = read.secret("SECRET_KEY", &settings.secret_key);
        let secret_key =
            read.check("SECRET_KEY", secret_key, |text| value::strong(&text).map(RootSecret::new));
        let key_pepper = read.secret("KEY_PEPPER", &settings.key_pepper);
        let key_pepper =
            read.check("KEY_PEPPER", key_pepper, |text| value::strong(&text).map(|key| Pepper::new(key, 1)));
        let key_prefix = read.check_text("KEY_PREFIX", &settings.key_prefix, |text| {
            setting::key_prefix(text).map_err(|error| error.to_string())
        });
        let brand = read.check_text("BRAND_NAME", &settings.brand_name, value::brand);
        let billing = read.check_text("NEW_ACCOUNT_BILLING", &settings.new_account_billing, value::billing);
        let credits = read.check_text("CREDITS_PER_USD", &settings.credits_per_usd, value::credits);
        let operators = read.check_text("OPERATOR_EMAILS", &settings.operator_emails, value::operators);
        let trusted_proxies = read.parsed("TRUSTED_PROXIES", &settings.trusted_proxies);
        let hash_file = read.value("LEPTOS_HASH_FILE_NAME", value::hash_file(settings.hash_file.as_deref()));
        read.finish(|| {
            Some(Self {
                database_url: database_url?,
                listen: listen?,
                public: public?,
                gateway: gateway?,
                smtp: smtp?,
                mail_from: mail_from?,
                secret_key: secret_key?,
                key_pepper: key_pepper?,
                key_prefix: key_prefix?,
                brand: brand?,
                new_account_billing: billing?,
                credits: credits?,
                operators: operators?,
                trusted_proxies: trusted_proxies?,
                site_root: settings.site_root.clone(),
                hash_file: hash_file?,
                development: settings.watch.is_some(),
            })
        })
    }

    /// Where clients send requests, as the pages and snippets show it: with `/v1`.
    #[must_use]
    pub fn gateway_base_url(&self) -> String {
        format!("{}/v1", self.gateway.as_str())
    }
}

/// What `latchkey migrate` needs.
#[derive(Clone, Debug)]
pub struct MigrateConfig {
    /// PostgreSQL as the owner of the schema.
    pub database_url: DatabaseUrl,
}

impl MigrateConfig {
    /// Checks the one setting.
    pub fn read(settings: &Settings) -> Result<Self, Problems> {
        let mut read = Reader::default();
        let text = read.secret("MIGRATION_DATABASE_URL", &settings.migration_database_url);
        let url = read.check("MIGRATION_DATABASE_URL", text, |text| value::database_url(&text));
        read.finish(|| Some(Self { database_url: url? }))
    }
}
