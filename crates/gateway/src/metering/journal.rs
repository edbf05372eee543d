//! The journal: each admitted request is opened before it is forwarded and settled when it is over.
//!
//! Both are written to the spool, so they outlast this process; work the spool cannot answer for is refused. What is
//! settled goes to the database from memory, or from the spool where memory has no room for it. An open request that
//! is dropped (its client has left) settles itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::limit::WorstCase;
use domain::money::NanoUsd;
use domain::refusal::Refusal;
use domain::tariff::Tariff;
use domain::usage::{TokenUsage, Units};
use domain::{LimitId, RequestId};
use store::models::Model;
use store::usage::UsageRecord;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::estimate::{self, Sent};
use crate::limits::Reservation;
use crate::policy::Known;
use crate::spool::record::{Beside, Ended, Opened, Reserved};
use crate::spool::{Intake, Spool};
use crate::telemetry::traces::Trace;

/// A client that has closed its connection gets no status; this is what logs call it everywhere.
const CLIENT_CLOSED: u16 = 499;

/// Hands out entries.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Books>);

#[derive(Debug)]
struct Books {
    queue: mpsc::Sender<UsageRecord>,
    spool: Arc<Spool>,
}

/// What is fixed about a request when it is admitted.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The request.
    pub request: RequestId,
    /// Its secret and key.
    pub known: Arc<Known>,
    /// Its model, where the route has one.
    pub model: Option<Arc<Model>>,
    /// The path template.
    pub route: &'static str,
    /// Nano-dollars for the call, on a route of the operator's own.
    pub call: Option<i64>,
    /// From where.
    pub client: IpAddr,
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// The same moment on the monotonic clock.
    pub arrived: Instant,
    /// What to charge of its input where the upstream does not say.
    pub sent: Sent,
    /// What it can consume at most, if its upstream keeps to the cap.
    pub worst: WorstCase,
    /// What was set aside for it under its limits.
    pub reserved: Vec<Reserved>,
    /// Its spans.
    pub trace: Trace,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status the client got.
    pub status: u16,
    /// What it consumed.
    pub usage: TokenUsage,
    /// Pictures and sound.
    pub units: Units,
    /// That is the gateway's own count.
    pub estimated: bool,
    /// It ended before its time.
    pub interrupted: bool,
}

impl Outcome {
    /// Answered without anything consumed: a list of models, or a failure before the upstream did any work.
    pub fn nothing(status: u16) -> Self {
        let (usage, units) = (TokenUsage::default(), Units::default());
        Self { status, usage, units, estimated: false, interrupted: false }
    }
}

impl Journal {
    /// A journal in `spool`, and the queue of what goes to the database from memory: at most `in_memory` requests.
    pub fn new(spool: Arc<Spool>, in_memory: usize) -> (Self, mpsc::Receiver<UsageRecord>) {
        let (queue, records) = mpsc::channel(in_memory);
        (Self(Arc::new(Books { queue, spool })), records)
    }

    /// How many settled requests wait in memory for the database, and how many more fit.
    pub fn fill(&self) -> (usize, usize) {
        let room = self.0.queue.capacity();
        (self.0.queue.max_capacity() - room, room)
    }

    /// Opens a request, or refuses it where the spool could not answer for it.
    pub fn open(&self, opening: Opening, reservation: Reservation) -> Result<Entry, Refusal> {
        if self.intake() != Intake::Open {
            return Err(Refusal::Overloaded);
        }
        Ok(Entry {
            opening,
            reservation,
            books: self.0.clone(),
            is_settled: false,
            must_wait: false,
            first_byte: None,
            forwarded: false,
            is_taken: None,
            streamed: false,
        })
    }

    /// Whether requests can be opened.
    pub fn intake(&self) -> Intake {
        self.0.spool.intake()
    }

    /// Resolves when every request settled so far outlasts this process. No client learns of the end before.
    pub async fn flushed(&self) {
        self.0.flushed().await;
    }
}

impl Books {
    async fn flushed(&self) {
        // Where the spool fails, its own log says so, and the record is still on its way from memory.
        let _ = self.spool.flushed().await;
    }
}

impl Opening {
    fn opened(&self) -> Opened<'_> {
        let Self { known, model, .. } = self;
        let tariff = self.tariff();
        let price = tariff.tokens.unwrap_or_default();
        Opened {
            request: self.request,
            account: known.account,
            key: known.key,
            public_id: &known.public_id,
            group: known.group,
            environment: known.environment.as_deref(),
            creator: known.created_by,
            model: model.as_ref().map_or("", |model| &model.id),
            price: (price.input, price.cached_input, price.output),
            route: self.route,
            client: self.client,
            started_at: i64::try_from(self.at.unix_timestamp_nanos()).unwrap_or(i64::MAX),
            estimated_input: self.sent.tokens,
            reserved: self.reserved.clone(),
            beside: Beside {
                image: tariff.image,
                second: tariff.second,
                audio_ms: self.sent.audio_ms.filter(|_| tariff.second.is_some()),
            },
            call: self.call,
        }
    }

    /// A guess never comes to more than what was set aside.
    fn bounded(&self, outcome: Outcome) -> Outcome {
        if !outcome.estimated {
            return outcome;
        }
        let (usage, units) = (self.worst.bound(outcome.usage), self.worst.bound_units(outcome.units));
        Outcome { usage, units, ..outcome }
    }

    fn tariff(&self) -> Tariff {
        self.model.as_ref().map(|model| model.tariff()).unwrap_or_default()
    }
}

/// An open request.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one request")]
#[derive(Debug)]
pub struct Entry {
    opening: Opening,
    /// Given back, or turned into charges, when the request is over.
    reservation: Reservation,
    books: Arc<Books>,
    is_settled: bool,
    /// What this one has settled is not written yet.
    must_wait: bool,
    first_byte: Option<Duration>,
    forwarded: bool,
    /// Whether the upstream has taken a call of the operator's own; `None` is not known.
    is_taken: Option<bool>,
    streamed: bool,
}

impl Entry {
    /// The request goes to the upstream now: from here on it may cost something. Resolves when that is written down
    /// and outlasts this process; where it cannot be, the request must not be forwarded, and is not booked.
    pub async fn forwarding(&mut self) -> Result<(), Refusal> {
        if self.books.spool.write_opening(&self.opening.opened()).await.is_err() {
            self.is_settled = true;
            return Err(Refusal::Overloaded);
        }
        self.forwarded = true;
        Ok(())
    }

    /// The upstream has answered a call of the operator's own. Where it has taken it, its price is due, whatever becomes
    /// of the answer.
    pub fn answered(&mut self, taken: bool) {
        self.is_taken = Some(taken);
    }

    /// The answer is a stream of events.
    pub fn streaming(&mut self) {
        self.streamed = true;
    }

    /// The first byte of the answer is about to leave. Only the first call counts.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| {
            self.opening.trace.first_byte();
            self.opening.arrived.elapsed()
        });
    }

    /// What to charge of its input where the upstream does not say.
    pub fn sent(&self) -> Sent {
        self.opening.sent
    }

    /// What it is charged by.
    pub fn tariff(&self) -> Tariff {
        self.opening.tariff()
    }

    /// The limits that what it consumes comes out of.
    pub fn drawn_on(&self) -> Vec<LimitId> {
        self.opening.reserved.iter().filter(|part| part.amount > 0).map(|part| part.limit).collect()
    }

    /// The request's model, where its route has one.
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.opening.model.as_ref()
    }

    /// The request, for messages about it.
    pub fn request(&self) -> RequestId {
        self.opening.request
    }

    /// Its spans.
    pub fn trace(&self) -> &Trace {
        &self.opening.trace
    }

    /// Settles the request. Later calls do nothing: it is booked once.
    pub fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let opened = self.opening.opened();
        let ended = self.ended(self.opening.bounded(outcome));
        let record = opened.record(&ended);
        std::mem::take(&mut self.reservation).settle(&record.charges);
        tracing::debug!(
            request_id = %record.id, key = %record.public_id, route = %record.route, model = %record.model,
            status = record.status, input = record.usage.input, output = record.usage.output,
            cost_nano = record.cost.0, estimated = record.estimated, interrupted = record.interrupted,
            duration_us = record.duration_us, "served"
        );
        self.opening.trace.settled(&record);
        // A client that has left waits for nothing.
        let is_awaited = ended.status != CLIENT_CLOSED;
        self.must_wait = self.books.spool.write_end(&opened, &ended, is_awaited);
        if self.books.queue.try_send(record).is_err() {
            self.books.spool.spill(self.opening.request);
        }
    }

    /// What the client must wait for before it may learn that the request is over, if that is anything.
    pub fn to_wait_for(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        std::mem::take(&mut self.must_wait).then(|| {
            let books = self.books.clone();
            async move { books.flushed().await }
        })
    }

    fn ended(&self, outcome: Outcome) -> Ended {
        let usage = outcome.usage;
        Ended {
            status: outcome.status,
            streamed: self.streamed,
            usage: (usage.input, usage.cached_input, usage.output),
            units: (outcome.units.images, outcome.units.audio_ms),
            cost: self.cost(outcome).0,
            estimated: outcome.estimated,
            interrupted: outcome.interrupted,
            first_byte_us: self.first_byte.map(microseconds),
            duration_us: microseconds(self.opening.arrived.elapsed()),
        }
    }

    fn cost(&self, outcome: Outcome) -> NanoUsd {
        if let Some(price) = self.opening.call {
            return NanoUsd(if self.is_taken == Some(true) { price } else { 0 });
        }
        let tariff = self.opening.tariff();
        tariff.cost(outcome.usage, outcome.units).unwrap_or_else(|_| {
            tracing::error!(request_id = %self.opening.request, ?tariff, "a price makes no sense; nothing is charged");
            NanoUsd::ZERO
        })
    }
}

impl Drop for Entry {
    /// The client left before the answer began. What the upstream has made of the input is charged, since nobody
    /// will learn the figure.
    fn drop(&mut self) {
        let Opening { sent, worst, .. } = self.opening;
        // Nobody will learn whether the upstream has taken the call.
        self.is_taken.get_or_insert(self.forwarded);
        let input = if self.forwarded { sent.tokens } else { 0 };
        // Under a limit the unknown is charged as what was set aside: who asks for much and leaves must not get it free.
        let is_unknown = self.forwarded && !self.opening.reserved.is_empty();
        let output = if is_unknown { worst.all_output() } else { 0 };
        let heard = sent.audio_ms.filter(|_| self.forwarded && self.tariff().second.is_some());
        let units = if is_unknown { worst.units() } else { Units { images: None, audio_ms: heard } };
        self.settle(Outcome {
            status: CLIENT_CLOSED,
            usage: estimate::usage(input, output),
            units,
            estimated: self.forwarded,
            interrupted: true,
        });
    }
}

/// The status of a request whose client has left.
pub fn client_closed() -> u16 {
    CLIENT_CLOSED
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
