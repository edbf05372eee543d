//! What stands between the gateway and its clients: TLS, trusted proxies, and who may read the metrics.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use domain::client::TrustedProxies;

use super::check::{Checker, Noted};

/// The edge's arguments. An empty one counts as not given, as a service manager's file has them.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the text of --help, which knows no Markdown")]
pub(super) struct EdgeArgs {
    /// Networks of the proxies in front, comma-separated, for example 10.0.0.0/8; their X-Forwarded-For and
    /// X-Forwarded-Proto are believed, nobody else's
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    trusted_proxies: String,
    /// Certificate chain as PEM: with it the gateway speaks TLS itself. A changed file is taken up within seconds
    #[arg(long, env = "TLS_CERT", default_value = "", hide_default_value = true, value_name = "FILE")]
    tls_cert: String,
    /// The certificate's private key as PEM
    #[arg(long, env = "TLS_KEY", default_value = "", hide_default_value = true, value_name = "FILE")]
    tls_key: String,
    /// Whether plain HTTP is refused: true or false [default: true; false where it listens on loopback without TLS_CERT]
    #[arg(long, env = "REQUIRE_TLS", default_value = "", value_name = "BOOL", hide_default_value = true)]
    require_tls: String,
    /// Where Prometheus reads metrics, at /metrics; an address that clients cannot reach. None if empty
    #[arg(
        long,
        env = "METRICS_ADDR",
        default_value = "",
        hide_default_value = true,
        value_name = "ADDRESS:PORT"
    )]
    metrics_addr: String,
    /// Whether metrics also count requests per key, by its public id: true or false
    #[arg(long, env = "METRICS_PER_KEY", default_value = "false", value_name = "BOOL")]
    metrics_per_key: String,
}

/// The certificate's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain as PEM, the gateway's own certificate first.
    pub cert: PathBuf,
    /// Its private key as PEM.
    pub key: PathBuf,
}

/// What stands between the gateway and its clients. By default nothing: no proxy, no TLS, no metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub proxies: TrustedProxies,
    /// Speaks TLS with these.
    pub tls: Option<TlsFiles>,
    /// Refuses what came over plain HTTP.
    pub requires_tls: bool,
    /// Where metrics are read.
    pub metrics: Option<SocketAddr>,
    /// Counts requests per key, too.
    pub metrics_per_key: bool,
}

impl Edge {
    pub(super) fn read(check: &mut Checker, args: EdgeArgs, listen: Option<SocketAddr>) -> Option<Self> {
        let proxies = proxies(check, &args.trusted_proxies);
        let tls = tls_files(check, &args.tls_cert, &args.tls_key);
        let per_key = boolean(check, "METRICS_PER_KEY", &args.metrics_per_key);
        let metrics = metrics_address(check, &args.metrics_addr, listen);
        let requires_tls = match args.require_tls.trim() {
            "" => Some(
                tls.as_ref().is_ok_and(Option::is_some) || listen.is_some_and(|at| !at.ip().is_loopback()),
            ),
            text => boolean(check, "REQUIRE_TLS", text),
        };
        let edge = Self {
            proxies: proxies?,
            tls: tls.ok()?,
            requires_tls: requires_tls?,
            metrics: metrics.ok()?,
            metrics_per_key: per_key?,
        };
        if edge.requires_tls && edge.tls.is_none() && edge.proxies.is_empty() {
            return check.problem(
                "REQUIRE_TLS",
                "is on, but nobody could meet it: set TLS_CERT and TLS_KEY, or TRUSTED_PROXIES to the proxy that speaks \
                 TLS for this gateway, or REQUIRE_TLS=false if this network may read your keys",
            );
        }
        Some(edge)
    }
}

fn proxies(check: &mut Checker, text: &str) -> Option<TrustedProxies> {
    match text.parse() {
        Ok(proxies) => Some(proxies),
        Err(error) => check.problem("TRUSTED_PROXIES", &format!("{error}")),
    }
}

fn tls_files(check: &mut Checker, cert: &str, key: &str) -> Result<Option<TlsFiles>, Noted> {
    match (cert.trim(), key.trim()) {
        ("", "") => Ok(None),
        (_, "") => check.problem("TLS_KEY", "is missing, though TLS_CERT is set").ok_or(Noted),
        ("", _) => check.problem("TLS_CERT", "is missing, though TLS_KEY is set").ok_or(Noted),
        (cert, key) => Ok(Some(TlsFiles { cert: cert.into(), key: key.into() })),
    }
}

fn metrics_address(
    check: &mut Checker,
    text: &str,
    listen: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, Noted> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wanted = "an address and port such as 127.0.0.1:9090";
    let address: SocketAddr = check.parsed("METRICS_ADDR", text.trim(), wanted).ok_or(Noted)?;
    if address.port() != 0 && listen.is_some_and(|listen| listen.port() == address.port()) {
        let what = "has the port of LISTEN_ADDR; metrics need one of their own";
        return check.problem("METRICS_ADDR", what).ok_or(Noted);
    }
    Ok(Some(address))
}

fn boolean(check: &mut Checker, name: &str, text: &str) -> Option<bool> {
    match text.trim() {
        "true" => Some(true),
        "" | "false" => Some(false),
        other => check.problem(name, &format!("'{other}' is neither true nor false")),
    }
}
