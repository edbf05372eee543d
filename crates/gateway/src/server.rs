//! The running gateway: what it starts, in which order it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::edge::tls::{Certificate, CertificateError};
use crate::edge::{self, Stop};
use crate::limits::Limits;
use crate::limits::rates::Rates;
use crate::metering::journal::Journal;
use crate::metering::refusals::Refusals;
use crate::metering::writer::Writer;
use crate::metrics::{self, Metrics, Sources};
use crate::policy::{Feed, Name, Policy, Vitals};
use crate::spool::Spool;
use crate::spool::folder::FolderError;
use crate::state::State;
use crate::telemetry::traces::{self, Exporting, Instance, Traces};
use crate::upstream::{SetupError, Upstreams};

/// Of the time a stop may take, what is kept for writing the last records.
const FLUSH_SHARE: u32 = 6;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The upstream's settings are unusable.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The collector of traces cannot be spoken to.
    #[error(transparent)]
    Traces(#[from] traces::SetupError),
    /// The certificate is unusable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The spool's folder cannot be used.
    #[error(transparent)]
    Spool(#[from] FolderError),
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
    metrics_address: Option<SocketAddr>,
    stop: Stop,
    /// Set when no request will be opened any more.
    closing: CancellationToken,
    drain: Duration,
    feed: Feed,
    leases: Arc<Limits>,
    spool: Arc<Spool>,
    /// Sends spans away, where somebody wants them.
    exporting: Option<Exporting>,
    /// Set when nothing will be written to the spool any more.
    spool_done: CancellationToken,
    edge: JoinHandle<()>,
    writer: JoinHandle<()>,
    /// Writes refusals down.
    keeping: JoinHandle<()>,
    tending: JoinHandle<()>,
    feeding: JoinHandle<()>,
    /// What ends with the gateway: readers of metrics, followers of the certificate and the shares, givers of leases.
    helpers: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Takes the spool, starts to listen, and to look for the database. Until the policy is loaded and the spool
    /// replayed every key is answered with a 503.
    pub async fn start(config: Config, pool: PgPool) -> Result<Self, StartError> {
        let limits = config.limits;
        let upstreams = Arc::new(Upstreams::new(&config.upstream, config.secrets, &limits)?);
        let certificate = config.edge.tls.clone().map(Certificate::load).transpose()?;
        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let (spool, left) = Spool::open(&config.spool.folder, config.spool.max_bytes)?;
        let spool = Arc::new(spool);
        let (listener, address) = listen(config.listen).await?;
        let readers = match config.edge.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let policy = Policy::new(limits.staleness).holding(limits.keys, pool.clone(), limits.look_ups);
        let policy = Arc::new(policy);
        let rates = Rates::new(pool.clone(), spool.gateway_id(), config.redis);
        let leases = Arc::new(Limits::new(pool.clone(), spool.gateway_id(), rates, limits.idle_lease));
        let name = Name { id: spool.gateway_id(), name: config.name.clone() };
        let vitals = Vitals { address, started: SystemTime::now(), spool: spool.clone() };
        let feed = Feed::new(
            policy.clone(),
            upstreams.clone(),
            leases.clone(),
            pool.clone(),
            name,
            vitals,
            limits.poll,
        );
        let (journal, records) = Journal::new(spool.clone(), limits.unsettled);
        let (stop, closing, spool_done) =
            (Stop::default(), CancellationToken::new(), CancellationToken::new());
        let counts = Arc::new(Metrics::new(config.edge.metrics_per_key));
        let sources = Sources {
            metrics: counts.clone(),
            policy: policy.clone(),
            journal: journal.clone(),
            rates: leases.rates().clone(),
        };
        let metrics_address = readers.as_ref().map(|(_, address)| *address);
        let instance = Instance { id: spool.gateway_id(), name: &config.name, address };
        let (traces, exporting) = Traces::start(config.traces.as_ref(), instance, &counts)?;
        let reading = readers.map(|(listener, _)| tokio::spawn(metrics::serve(listener, sources)));
        let following = certificate.map(|c| tokio::spawn(c.follow(limits.certificate_poll)));
        let keeping_limits = keep_limits(&leases, &policy);
        let refusals = Arc::new(Refusals::new(counts.clone()));
        let state = Arc::new(State {
            prefix: config.prefix,
            aliases: config.aliases,
            pepper: config.pepper,
            policy,
            journal,
            refusals: refusals.clone(),
            upstreams,
            edge: config.edge,
            metrics: counts,
            traces,
            stopping: stop.gently.clone(),
            leases: leases.clone(),
            limits,
        });
        Ok(Self {
            address,
            metrics_address,
            helpers: reading.into_iter().chain(following).chain(keeping_limits).collect(),
            drain: limits.drain,
            keeping: tokio::spawn(refusals.run(pool.clone(), closing.clone())),
            writer: tokio::spawn(
                Writer::new(pool, records, spool.clone(), leases.clone(), closing.clone()).run(left),
            ),
            tending: tokio::spawn(spool.clone().tend(spool_done.clone())),
            feeding: tokio::spawn(feed.clone().run()),
            edge: tokio::spawn(edge::run(listener, state, tls, stop.clone())),
            exporting,
            feed,
            leases,
            spool,
            spool_done,
            stop,
            closing,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are read, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Stops in order: no new connections, running requests end, their usage is written, the database is told. What
    /// the database does not take in time stays in the spool for the next start.
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
        let flushing = self.exporting.map(|exporting| exporting.flush(end));
        if timeout_at(end, &mut self.writer).await.is_err() {
            self.writer.abort();
            let _ = self.writer.await;
            let requests = self.spool.unsettled();
            tracing::warn!(
                requests,
                "the database did not take the last usage records in time; they stay in the spool and are sent at the next start"
            );
        }
        if timeout_at(end, &mut self.keeping).await.is_err() {
            self.keeping.abort();
        }
        // Nobody takes a lease any more while they go back.
        for helper in &mut self.helpers {
            helper.abort();
            let _ = helper.await;
        }
        // What is in use by records the database has not got stays reserved until they are there.
        let giving_back = async {
            if self.spool.unsettled() == 0 {
                self.leases.give_back_all().await
            } else {
                self.leases.give_back_unused().await
            }
        };
        if !matches!(timeout_at(end, giving_back).await, Ok(Ok(()))) {
            tracing::warn!("leases could not be given back; they stay reserved until the next start");
        }
        self.spool_done.cancel();
        let _ = self.tending.await;
        self.spool.close().await;
        self.feeding.abort();
        self.feed.sign_off().await;
        if let Some(flushing) = flushing {
            flushing.ended().await;
        }
    }
}

/// What takes, shares and gives back parts of limits beside the requests.
fn keep_limits(leases: &Arc<Limits>, policy: &Arc<Policy>) -> [JoinHandle<()>; 5] {
    let rates = leases.rates();
    [
        tokio::spawn(leases.clone().fill_up(policy.clone())),
        tokio::spawn(leases.clone().return_idle(policy.clone())),
        tokio::spawn(leases.clone().follow_recalls()),
        tokio::spawn(rates.clone().follow()),
        tokio::spawn(rates.clone().keep_link()),
    ]
}

async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address: at, error };
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
