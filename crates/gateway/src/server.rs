//! The running gateway: what it starts, in which order it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use store::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::edge::{self, Stop};
use crate::metering::journal::Journal;
use crate::metering::writer::Writer;
use crate::policy::{Feed, Policy};
use crate::state::State;
use crate::upstream::{SetupError, Upstream};

/// Of the time a stop may take, what is kept for writing the last records.
const FLUSH_SHARE: u32 = 6;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The upstream's settings are unusable.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stop: Stop,
    /// Set when no request will be opened any more.
    closing: CancellationToken,
    drain: Duration,
    feed: Feed,
    edge: JoinHandle<()>,
    writer: JoinHandle<()>,
    feeding: JoinHandle<()>,
}

impl Gateway {
    /// Starts to listen, and to look for the database. Until the policy is loaded every key is answered with a 503.
    pub async fn start(config: Config, pool: PgPool) -> Result<Self, StartError> {
        let limits = config.limits;
        let upstream = Upstream::new(&config.upstream, &limits)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| StartError::Listen { address: config.listen, error })?;
        let address =
            listener.local_addr().map_err(|error| StartError::Listen { address: config.listen, error })?;
        let policy = Arc::new(Policy::new(limits.staleness));
        let feed = Feed::new(policy.clone(), pool.clone(), config.name, limits.poll);
        let (journal, records) = Journal::new(limits.unsettled);
        let (stop, closing) = (Stop::default(), CancellationToken::new());
        let state = Arc::new(State {
            prefix: config.prefix,
            aliases: config.aliases,
            pepper: config.pepper,
            policy,
            journal,
            upstream,
            limits,
        });
        Ok(Self {
            address,
            drain: limits.drain,
            writer: tokio::spawn(Writer::new(pool, records, closing.clone()).run()),
            feeding: tokio::spawn(feed.clone().run()),
            edge: tokio::spawn(edge::run(listener, state, stop.clone())),
            feed,
            stop,
            closing,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: no new connections, running requests end, their usage is written, the database is told.
    pub async fn stop(mut self) {
        let end = Instant::now() + self.drain;
        self.stop.gently.cancel();
        if timeout_at(end - self.drain / FLUSH_SHARE, &mut self.edge).await.is_err() {
            tracing::warn!("requests are still running; they are cut off and charged for what they have got");
            self.stop.now.cancel();
            if timeout_at(end, &mut self.edge).await.is_err() {
                tracing::error!("connections did not end");
            }
        }
        self.closing.cancel();
        if timeout_at(end, &mut self.writer).await.is_err() {
            tracing::error!("the database did not take the last usage records in time; they are lost");
        }
        self.feeding.abort();
        self.feed.sign_off().await;
    }
}
