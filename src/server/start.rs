//! From settings to a console that runs, and to an orderly end.

use std::time::Duration;

use anyhow::{Context, anyhow};
use store::connect::{self, NotReady};
use store::tenant::{self, Unbound};
use store::{PgPool, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Config, MigrateConfig};
use super::housekeeping;
use super::mailer::Mailer;
use super::router::router;
use super::serve;
use super::state::AppState;

const CONNECTIONS: u32 = 20;
const STATEMENT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A firewall may swallow every packet, and then nothing ever answers.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// While nothing changes, how many looks pass between two log lines.
const LOOKS_PER_LINE: u32 = 15;
const MAIL_WITHIN: Duration = Duration::from_secs(5);
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// `latchkey serve`: listens at once, answers 503 until the database is there, ends on SIGTERM or Ctrl-C, and by itself
/// where the database would show it every account.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {} (LISTEN_ADDR)", config.listen))?;
    let pool = connect::lazy_pool(config.database_url.expose(), CONNECTIONS, STATEMENT_WITHIN)
        .context("DATABASE_URL cannot be read")?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mailer = Mailer::start(&config.smtp, config.mail_from.clone(), &tasks, stop.clone())?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    tracing::info!(%address, url = config.public.as_str(), "the console listens");
    let database = tasks.spawn(use_database(pool.clone(), stop.clone()));
    tasks.spawn(stop_on_signal(stop.clone()));
    let state = AppState::new(config, pool.clone(), mailer);
    let (receipts, stopped) = (state.receipts.clone(), stop.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(receipts.listen()).await });
    serve::serve(listener, router(state), stop.clone()).await;
    tasks.close();
    // A mail in the middle of its conversation may finish it.
    if timeout(MAIL_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("gave up on work that did not end in time");
    }
    // Connections say goodbye, and a database that hangs does not listen.
    if timeout(GOODBYE_WITHIN, pool.close()).await.is_err() {
        tracing::warn!("gave up on database connections that did not close in time");
    }
    tracing::info!("the console has stopped");
    match database.await {
        Ok(Some(why)) => {
            Err(anyhow!("DATABASE_URL: its role {why}; give the console the role latchkey_console"))
        }
        _ => Ok(()),
    }
}

/// `latchkey migrate`: brings the schema up to date and ends.
pub async fn migrate(config: MigrateConfig) -> anyhow::Result<()> {
    let place = config.database_url.place();
    connect::migrate(config.database_url.expose()).await.with_context(|| format!("the schema at {place}"))?;
    tracing::info!(place, "the schema is up to date");
    Ok(())
}

/// Waits for the database, then looks after it. Stops the console and says why if its role is not held to one account.
async fn use_database(pool: PgPool, stop: CancellationToken) -> Option<Unbound> {
    let place = connect::address(&pool);
    let unbound = stop.run_until_cancelled(wait_for_database(&pool, &place)).await?;
    if let Some(why) = unbound {
        tracing::error!(place, %why, "the database role of DATABASE_URL would see every account; stopping");
        stop.cancel();
        return unbound;
    }
    tracing::info!(place, "the database is ready");
    stop.run_until_cancelled(housekeeping::run(&pool)).await;
    None
}

/// Says what is waited for until it is there: where, and why it cannot be used yet.
async fn wait_for_database(pool: &PgPool, place: &str) -> Option<Unbound> {
    let (mut looks, mut told) = (0_u32, String::new());
    loop {
        let reason = match look(pool).await {
            Ok(unbound) => return unbound,
            Err(why) => reason(&why),
        };
        if reason != told || looks.is_multiple_of(LOOKS_PER_LINE) {
            tracing::warn!(place, reason, "waiting for the database");
        }
        told = reason;
        looks += 1;
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// Whether the database can be used, and whether its role may be.
async fn look(pool: &PgPool) -> Result<Option<Unbound>, NotReady> {
    let looking = async {
        // The role first: whatever the schema is, as another role nothing may be served.
        let unbound = tenant::find_unbound(pool).await.map_err(NotReady::Unreachable)?;
        if unbound.is_none() {
            connect::check(pool).await?;
        }
        Ok(unbound)
    };
    timeout(LOOK_WITHIN, looking).await.unwrap_or(Err(NotReady::Unreachable(StoreError::PoolTimedOut)))
}

fn reason(why: &NotReady) -> String {
    match why {
        NotReady::Unreachable(error) => error.to_string(),
        NotReady::Schema { .. } => why.to_string(),
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate => tracing::info!("asked to stop (SIGTERM)"),
        _ = tokio::signal::ctrl_c() => tracing::info!("asked to stop (Ctrl-C)"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
}
