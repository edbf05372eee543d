//! `latchkey-gateway`: reads its configuration, serves until it is told to stop, stops in order.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use gateway::config::{Args, Config};
use gateway::server::Gateway;
use gateway::telemetry;
use store::connect::lazy_pool;
use tokio::signal::unix::{SignalKind, signal};

/// Requests allocate in many small pieces, on one thread and free them on another; glibc's costs twice as much there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two to listen, one for the poll, one for the ledger; the others for leases, shares and figures, which come and go.
const CONNECTIONS: u32 = 10;
/// For threads that still wait for something outside.
const LAST_THREADS: Duration = Duration::from_secs(1);
/// A full load streams its rows, so this bounds the wait for any of them, not the whole.
const STATEMENT_TIME: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let config = match Config::from_args(Args::parse()) {
        Ok(config) => config,
        Err(problems) => return fail(&anyhow::Error::new(problems)),
    };
    match run_to_the_end(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// What still looks up a name when everything else is over is not waited for: that may take as long as it likes.
fn run_to_the_end(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be set up")?;
    let result = runtime.block_on(run(config));
    runtime.shutdown_timeout(LAST_THREADS);
    result
}

async fn run(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.logs).context("the log cannot be set up")?;
    let pool = lazy_pool(config.database_url.expose(), CONNECTIONS, STATEMENT_TIME)
        .map_err(|_| anyhow::anyhow!("DATABASE_URL cannot be used"))?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let upstream = config.upstream.base.to_string();
    let (tls, requires_tls) = (config.edge.tls.is_some(), config.edge.requires_tls);
    let gateway = Gateway::start(config, pool).await?;
    let metrics = gateway.metrics_address().map(tracing::field::display);
    tracing::info!(address = %gateway.address(), %upstream, tls, metrics, "listening");
    if !requires_tls && !gateway.address().ip().is_loopback() {
        tracing::warn!(
            "plain HTTP is accepted (REQUIRE_TLS=false): whoever shares this network can read API keys"
        );
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    gateway.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says why the program ends, on standard error and without a time stamp: the log may not be up.
fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    // Nobody is left to tell if this cannot be written.
    let _ = writeln!(std::io::stderr(), "latchkey-gateway: {error:#}");
    ExitCode::FAILURE
}
