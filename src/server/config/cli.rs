//! The command line and the environment variables behind it, as text. `--help` lists them all.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::setting::DEFAULT_KEY_PREFIX;

/// The console of Latchkey: create, limit, watch and revoke API keys.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// Which log lines appear, such as `info` or `latchkey=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", global = true)]
    pub rust_log: String,
    /// Everything else.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program does.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Serves the console.
    Serve,
    /// Brings the database's schema up to date (with `MIGRATION_DATABASE_URL`) and ends.
    Migrate,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A secret's two ways in: by value or by file.
#[derive(Clone, Default)]
pub struct SecretSource {
    /// The value itself.
    pub value: Option<String>,
    /// A file that holds it.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretSource({})", if self.value.is_some() { "value" } else { "file" })
    }
}

/// Declares a secret setting: `--name` / `NAME` and `--name-file` / `NAME_FILE`, neither value ever printed.
macro_rules! secret_args {
    ($type:ident, $value:literal, $file:literal, $long:literal, $long_file:literal, $help:literal) => {
        impl Args for $type {
            fn augment_args(command: clap::Command) -> clap::Command {
                command
                    .arg(clap::Arg::new($value).long($long).env($value).hide_env_values(true).help($help))
                    .arg(
                        clap::Arg::new($file)
                            .long($long_file)
                            .env($file)
                            .value_parser(clap::value_parser!(OsString))
                            .help(concat!("A file that holds ", $value)),
                    )
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $type {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(SecretSource {
                    value: matches.get_one::<String>($value).cloned(),
                    file: matches.get_one::<OsString>($file).map(PathBuf::from),
                }))
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        #[doc = $help]
        #[derive(Clone, Debug, Default)]
        pub struct $type(pub SecretSource);

        impl std::ops::Deref for $type {
            type Target = SecretSource;
            fn deref(&self) -> &SecretSource {
                &self.0
            }
        }
    };
}

secret_args!(
    DatabaseUrlArg,
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "database-url",
    "database-url-file",
    "PostgreSQL as the console's role"
);
secret_args!(
    MigrationDatabaseUrlArg,
    "MIGRATION_DATABASE_URL",
    "MIGRATION_DATABASE_URL_FILE",
    "migration-database-url",
    "migration-database-url-file",
    "PostgreSQL as the owner of the schema (migrate only)"
);
secret_args!(
    SmtpUrlArg,
    "SMTP_URL",
    "SMTP_URL_FILE",
    "smtp-url",
    "smtp-url-file",
    "The mail server: smtp:// (STARTTLS required but on loopback) or smtps://"
);
secret_args!(
    SecretKeyArg,
    "SECRET_KEY",
    "SECRET_KEY_FILE",
    "secret-key",
    "secret-key-file",
    "At least 32 random characters; this console's own keys are derived from it"
);
secret_args!(
    KeyPepperArg,
    "KEY_PEPPER",
    "KEY_PEPPER_FILE",
    "key-pepper",
    "key-pepper-file",
    "At least 32 random characters, the same for the gateway; digests of API keys depend on it"
);

/// Every setting as text; [`super::Config::read`] checks them.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    #[command(flatten)]
    pub(super) database_url: DatabaseUrlArg,
    #[command(flatten)]
    pub(super) migration_database_url: MigrationDatabaseUrlArg,
    #[command(flatten)]
    pub(super) smtp_url: SmtpUrlArg,
    #[command(flatten)]
    pub(super) secret_key: SecretKeyArg,
    #[command(flatten)]
    pub(super) key_pepper: KeyPepperArg,
    /// Where to listen
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    pub(super) listen_addr: String,
    /// What browsers call this console, such as `https://keys.example.com`
    #[arg(long, env = "PUBLIC_URL", default_value = "")]
    pub(super) public_url: String,
    /// What clients call the gateway, such as `https://api.example.com`
    #[arg(long, env = "GATEWAY_PUBLIC_URL", default_value = "")]
    pub(super) gateway_public_url: String,
    /// The sender of mails, such as "Latchkey <keys@example.com>"
    #[arg(long, env = "MAIL_FROM", default_value = "")]
    pub(super) mail_from: String,
    /// What every API key begins with
    #[arg(long, env = "KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX)]
    pub(super) key_prefix: String,
    /// Your name for this service
    #[arg(long, env = "BRAND_NAME", default_value = "Latchkey")]
    pub(super) brand_name: String,
    /// How many credits a dollar is shown as; it must divide 1 000 000 000
    #[arg(long, env = "CREDITS_PER_USD", default_value = "500000")]
    pub(super) credits_per_usd: String,
    /// Whether new accounts may call models at once: none, or invoiced
    #[arg(long, env = "NEW_ACCOUNT_BILLING", default_value = "none")]
    pub(super) new_account_billing: String,
    /// Who may set up models, prices and upstreams, comma-separated email addresses; nobody if empty
    #[arg(long, env = "OPERATOR_EMAILS", default_value = "")]
    pub(super) operator_emails: String,
    /// Networks whose X-Forwarded-For is believed, comma-separated: 10.0.0.0/8, 192.0.2.7/32
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub(super) trusted_proxies: String,
    /// The folder of static files that the build left
    #[arg(long, env = "LEPTOS_SITE_ROOT", default_value = "target/site")]
    pub(super) site_root: PathBuf,
    /// The list of hashed file names that the build left; a relative path starts at this program's folder
    #[arg(long, env = "LEPTOS_HASH_FILE_NAME")]
    pub(super) hash_file: Option<PathBuf>,
    /// Set by the development command when it watches for changes
    #[arg(long, env = "LEPTOS_WATCH", hide = true)]
    pub(super) watch: Option<String>,
}
