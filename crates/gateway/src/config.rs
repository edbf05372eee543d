//! The gateway's configuration: read once from the environment, checked as a whole.
//!
//! Every problem is reported at once, by the name of its variable and never with a secret's value.

mod check;
mod edge;
mod secret;
mod traces;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use domain::dial::PrivateNetworks;
use domain::secret::{KeyPrefix, Pepper};
use domain::setting::{DEFAULT_KEY_PREFIX, SHORTEST_SECRET};
use http::Uri;

use self::check::Checker;
pub use self::edge::{Edge, TlsFiles};
pub use self::secret::{Secret, SecretCalled};
pub use self::traces::{Sampler, Traces};
use crate::router::Aliases;

/// A smaller spool would be full before anybody could read the warning.
const MIN_SPOOL_BYTES: u64 = 16 * 1024 * 1024;

/// Fewer would be looked up again and again.
const MIN_KEYS: u64 = 1_000;
const DEFAULT_KEYS: usize = 2_000_000;

/// Authenticates, decides, forwards, streams and meters every request to your model providers.
///
/// Secrets are best given as files: each variable that holds one can be replaced by the same name with _FILE.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "these comments are the text of --help, which knows no Markdown")]
#[command(name = "latchkey-gateway", version)]
pub struct Args {
    /// PostgreSQL, as the gateway's role: postgres://latchkey_gateway:…@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<OsString>,
    /// Where to listen
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen_addr: String,
    #[command(flatten)]
    edge: edge::EdgeArgs,
    /// What the console calls this gateway [default: the host's name]
    #[arg(long, env = "GATEWAY_NAME", value_name = "NAME")]
    gateway_name: Option<String>,
    /// At least 32 bytes, the same as the console's: digests of API keys are made with it
    #[arg(long, env = "KEY_PEPPER", hide_env_values = true, value_name = "SECRET")]
    key_pepper: Option<String>,
    /// File that holds KEY_PEPPER
    #[arg(long, env = "KEY_PEPPER_FILE", value_name = "FILE")]
    key_pepper_file: Option<OsString>,
    /// What the API keys of this service begin with
    #[arg(long, env = "KEY_PREFIX", default_value = DEFAULT_KEY_PREFIX, value_name = "PREFIX")]
    key_prefix: String,
    /// Path prefixes that stand for /v1, separated by commas, for example /api/openai/v1
    #[arg(long, env = "PATH_ALIASES", default_value = "", value_name = "PREFIXES")]
    path_aliases: String,
    /// The provider's OpenAI-compatible base URL, for example https://api.openai.com/v1
    #[arg(long, env = "UPSTREAM_URL", value_name = "URL")]
    upstream_url: Option<String>,
    /// The provider's API key
    #[arg(long, env = "UPSTREAM_API_KEY", hide_env_values = true, value_name = "SECRET")]
    upstream_api_key: Option<String>,
    /// File that holds UPSTREAM_API_KEY
    #[arg(long, env = "UPSTREAM_API_KEY_FILE", value_name = "FILE")]
    upstream_api_key_file: Option<OsString>,
    /// Private networks in which upstreams may be, comma-separated, for example 10.0.0.0/8. Without it a name that leads
    /// to a private address is refused; an address in a base URL, and localhost, are not
    #[arg(
        long,
        env = "PRIVATE_UPSTREAM_NETWORKS",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    private_upstream_networks: String,
    /// This gateway's own folder on a local disk that outlasts restarts: records of usage on their way to the database
    #[arg(long, env = "SPOOL_DIR", value_name = "FOLDER")]
    spool_dir: Option<String>,
    /// The most the spool may hold, in bytes; at 80 % it warns, at 95 % requests are refused
    #[arg(long, env = "SPOOL_MAX_BYTES", default_value = "1073741824", value_name = "BYTES")]
    spool_max_bytes: String,
    /// Redis, the same for all gateways, which counts requests per minute: redis://user:password@host:6379/0, or rediss://
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<String>,
    /// File that holds REDIS_URL
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE")]
    redis_url_file: Option<OsString>,
    /// API keys held in memory, at some 250 bytes each; of more, those in use are, and others are looked up
    #[arg(long, env = "MAX_KEYS_IN_MEMORY", default_value = "2000000", value_name = "NUMBER")]
    max_keys_in_memory: String,
    /// How log lines are written
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: String,
    /// What is logged, for example info or gateway=debug
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    rust_log: String,
    #[command(flatten)]
    traces: traces::TracesArgs,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log and how.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The lines' form.
    pub format: LogFormat,
    /// A `tracing` filter.
    pub filter: String,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Base URL without a slash at its end.
    pub base: Uri,
    /// The provider's key.
    pub key: Secret,
    /// Where names of providers may lead to beside public addresses.
    pub private: PrivateNetworks,
}

/// Where records wait until the database has them.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// A folder of this gateway alone.
    pub folder: PathBuf,
    /// The most it may hold.
    pub max_bytes: u64,
}

/// A Redis that counts for all gateways.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Connects to it.
    pub client: redis::Client,
    /// How long a request may wait for its answer.
    pub answer_time: Duration,
}

impl Redis {
    /// One that is on the same network: a request waits 50 ms for it at most.
    pub fn new(client: redis::Client) -> Self {
        Self { client, answer_time: Duration::from_millis(50) }
    }
}

/// Bounds of time and number. But for `keys` no settings: an operator has no better figures, but tests have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once.
    pub connections: usize,
    /// Connections of one client (an IPv4 address or an IPv6 /64) served at once; behind a trusted proxy, its requests.
    pub per_client: usize,
    /// Requests served at once.
    pub requests: usize,
    /// A TLS handshake, from its first byte.
    pub handshake: Duration,
    /// Between two looks at the certificate's files.
    pub certificate_poll: Duration,
    /// How long the end of a connection may take to reach a client that has been told why.
    pub farewell: Duration,
    /// From the first byte of a request to the end of its headers; also until a new connection's first byte.
    pub head: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// A request's whole body.
    pub body: Duration,
    /// A whole exchange, streams included.
    pub exchange: Duration,
    /// Until a connection to the upstream stands.
    pub connect: Duration,
    /// Until the upstream's response headers; and then once more for a body that is no stream.
    pub answer: Duration,
    /// Between two events of a stream.
    pub stream_idle: Duration,
    /// Secrets held in memory; of more, those in use are, and the others are looked up.
    pub keys: usize,
    /// Such look-ups in a second.
    pub look_ups: u32,
    /// How old the policy may get while the database is away.
    pub staleness: Duration,
    /// Between two looks at the policy version.
    pub poll: Duration,
    /// Requests in memory whose usage is not in the database yet; more of them wait in the spool.
    pub unsettled: usize,
    /// How long a part of a limit that no request has needed is held here. A key that is used again within this time asks
    /// nobody; another gateway that needs it is given it at once.
    pub idle_lease: Duration,
    /// How long a stop may take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_client: 256,
            requests: 2_048,
            handshake: Duration::from_secs(10),
            certificate_poll: Duration::from_secs(5),
            farewell: Duration::from_secs(2),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(30),
            body: Duration::from_mins(5),
            exchange: Duration::from_mins(15),
            connect: Duration::from_secs(5),
            answer: Duration::from_mins(5),
            stream_idle: Duration::from_mins(2),
            keys: DEFAULT_KEYS,
            look_ups: 500,
            staleness: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            unsettled: 65_536,
            idle_lease: Duration::from_mins(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL's URL, with its password.
    pub database_url: Secret,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What the console calls this gateway.
    pub name: String,
    /// Makes digests.
    pub pepper: Pepper,
    /// What keys begin with.
    pub prefix: KeyPrefix,
    /// What stands for `/v1` beside it.
    pub aliases: Aliases,
    /// Where requests go.
    pub upstream: Upstream,
    /// Where records wait.
    pub spool: SpoolSettings,
    /// Counts requests per minute for all gateways.
    pub redis: Option<Redis>,
    /// Finds the keys of the providers that operators list.
    pub secrets: SecretCalled,
    /// What to log and how.
    pub logs: Logs,
    /// Where spans of requests go.
    pub traces: Option<Traces>,
    /// What stands between it and its clients.
    pub edge: Edge,
    /// Bounds of time and number.
    pub limits: Limits,
}

/// Everything wrong with a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problem(s):\n{}", .0.len(), .0.join("\n"))]
pub struct Problems(pub Vec<String>);

impl Config {
    /// Checks the arguments and reads the files they name.
    pub fn from_args(args: Args) -> Result<Self, Problems> {
        let mut check = Checker::default();
        let database_url = check.secret("DATABASE_URL", args.database_url, args.database_url_file);
        let database_url = check.database_url(database_url);
        let pepper = check.secret("KEY_PEPPER", args.key_pepper, args.key_pepper_file);
        let pepper = check.strong("KEY_PEPPER", pepper, SHORTEST_SECRET);
        let key = check.secret("UPSTREAM_API_KEY", args.upstream_api_key, args.upstream_api_key_file);
        let key = check.strong("UPSTREAM_API_KEY", key, 8);
        let key = check.header_value("UPSTREAM_API_KEY", key);
        let base = check.base_url("UPSTREAM_URL", args.upstream_url);
        let private = check.private_networks("PRIVATE_UPSTREAM_NETWORKS", &args.private_upstream_networks);
        let listen =
            check.parsed("LISTEN_ADDR", &args.listen_addr, "an address and port such as 127.0.0.1:8080");
        let edge = Edge::read(&mut check, args.edge, listen);
        let prefix = check.key_prefix("KEY_PREFIX", &args.key_prefix);
        let aliases = check.aliases("PATH_ALIASES", &args.path_aliases);
        let name = check.name("GATEWAY_NAME", args.gateway_name);
        let folder = check.folder("SPOOL_DIR", args.spool_dir);
        let max_bytes = check.bytes("SPOOL_MAX_BYTES", &args.spool_max_bytes, MIN_SPOOL_BYTES);
        let redis = check.redis("REDIS_URL", args.redis_url, args.redis_url_file);
        let keys = check.at_least("MAX_KEYS_IN_MEMORY", &args.max_keys_in_memory, MIN_KEYS);
        let logs = check.logs(&args.log_format, args.rust_log);
        let traces = Traces::read(&mut check, args.traces);
        let config = (|| {
            Some(Self {
                database_url: database_url?,
                listen: listen?,
                name: name?,
                pepper: Pepper::new(pepper?.expose().as_bytes(), 1),
                prefix: prefix?,
                aliases: aliases?,
                upstream: Upstream { base: base?, key: key?, private: private? },
                spool: SpoolSettings { folder: folder?, max_bytes: max_bytes? },
                redis: redis.ok()?,
                secrets: secret::secret_called,
                logs: logs?,
                traces: traces.ok()?,
                edge: edge?,
                limits: Limits { keys: usize::try_from(keys?).unwrap_or(usize::MAX), ..Limits::default() },
            })
        })();
        check.finish(config)
    }
}

#[cfg(test)]
mod tests;
