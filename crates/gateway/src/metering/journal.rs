//! The journal: each admitted request is opened before it is forwarded and settled when it is over.
//!
//! Opening takes a place in the bounded queue to the database, so that settling cannot fail and work that could not
//! be accounted for is refused instead. An open request that is dropped (its client has left) settles itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::RequestId;
use domain::money::{NanoUsd, Price};
use domain::refusal::Refusal;
use domain::usage::TokenUsage;
use store::models::Model;
use store::usage::UsageRecord;
use time::OffsetDateTime;
use tokio::sync::mpsc::{self, OwnedPermit};

use super::estimate;
use crate::policy::Known;

/// A client that has closed its connection gets no status; this is what logs call it everywhere.
const CLIENT_CLOSED: u16 = 499;

/// Hands out entries.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: mpsc::Sender<UsageRecord>,
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
    /// From where.
    pub client: IpAddr,
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// The same moment on the monotonic clock.
    pub arrived: Instant,
    /// Input tokens to charge where the upstream does not say.
    pub estimated_input: u32,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status the client got.
    pub status: u16,
    /// What it consumed.
    pub usage: TokenUsage,
    /// That is the gateway's own count.
    pub estimated: bool,
    /// It ended before its time.
    pub interrupted: bool,
}

impl Outcome {
    /// Answered without anything consumed: a list of models, or a failure before the upstream did any work.
    pub fn nothing(status: u16) -> Self {
        Self { status, usage: TokenUsage::default(), estimated: false, interrupted: false }
    }
}

impl Journal {
    /// A journal for at most `unsettled` requests that are not in the database yet, and the queue they go to.
    pub fn new(unsettled: usize) -> (Self, mpsc::Receiver<UsageRecord>) {
        let (queue, records) = mpsc::channel(unsettled);
        (Self { queue }, records)
    }

    /// How many requests are in it, open or not yet written, and how many more it takes.
    pub fn fill(&self) -> (usize, usize) {
        let room = self.queue.capacity();
        (self.queue.max_capacity() - room, room)
    }

    /// Opens a request, or refuses it where it could not be accounted for.
    pub fn open(&self, opening: Opening) -> Result<Entry, Refusal> {
        let place = self.queue.clone().try_reserve_owned().map_err(|_| Refusal::Overloaded)?;
        Ok(Entry { opening, place: Some(place), first_byte: None, forwarded: false, streamed: false })
    }
}

/// An open request.
#[derive(Debug)]
pub struct Entry {
    opening: Opening,
    place: Option<OwnedPermit<UsageRecord>>,
    first_byte: Option<Duration>,
    forwarded: bool,
    streamed: bool,
}

impl Entry {
    /// The request goes to the upstream now: from here on it may cost something.
    pub fn forwarding(&mut self) {
        self.forwarded = true;
    }

    /// The answer is a stream of events.
    pub fn streaming(&mut self) {
        self.streamed = true;
    }

    /// The first byte of the answer is about to leave. Only the first call counts.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| self.opening.arrived.elapsed());
    }

    /// Input tokens to charge where the upstream does not say.
    pub fn estimated_input(&self) -> u32 {
        self.opening.estimated_input
    }

    /// The upstream's name of the request's model.
    pub fn upstream_model(&self) -> Option<&str> {
        self.opening.model.as_ref().map(|model| model.upstream_model.as_str())
    }

    /// The request, for messages about it.
    pub fn request(&self) -> RequestId {
        self.opening.request
    }

    /// Settles the request. Later calls do nothing: it is booked once.
    pub fn settle(&mut self, outcome: Outcome) {
        let Some(place) = self.place.take() else { return };
        let record = self.record(outcome);
        tracing::debug!(
            request_id = %record.id, key = %record.public_id, route = %record.route, model = %record.model,
            status = record.status, input = record.usage.input, output = record.usage.output,
            cost_nano = record.cost.0, estimated = record.estimated, interrupted = record.interrupted,
            duration_us = record.duration_us, "served"
        );
        place.send(record);
    }

    fn record(&self, outcome: Outcome) -> UsageRecord {
        let Opening { known, model, .. } = &self.opening;
        let price = model.as_ref().and_then(|model| model.price).unwrap_or_default();
        UsageRecord {
            id: self.opening.request,
            account_id: known.account,
            key_id: known.key,
            public_id: known.public_id.to_string(),
            group_id: known.group,
            environment: known.environment.as_deref().map(str::to_owned),
            created_by: known.created_by,
            model: model.as_ref().map(|model| model.id.clone()).unwrap_or_default(),
            route: self.opening.route.to_owned(),
            status: outcome.status,
            streamed: self.streamed,
            usage: outcome.usage,
            cost: self.cost(price, outcome.usage),
            price,
            estimated: outcome.estimated,
            interrupted: outcome.interrupted,
            client: self.opening.client,
            started_at: self.opening.at,
            first_byte_us: self.first_byte.map(microseconds),
            duration_us: microseconds(self.opening.arrived.elapsed()),
            charges: Vec::new(),
        }
    }

    fn cost(&self, price: Price, usage: TokenUsage) -> NanoUsd {
        price.cost(usage).unwrap_or_else(|_| {
            tracing::error!(request_id = %self.opening.request, ?price, "a price makes no sense; nothing is charged");
            NanoUsd::ZERO
        })
    }
}

impl Drop for Entry {
    /// The client left before the answer began. What the upstream has made of the input is charged, since nobody
    /// will learn the figure.
    fn drop(&mut self) {
        let input = if self.forwarded { self.opening.estimated_input } else { 0 };
        self.settle(Outcome {
            status: CLIENT_CLOSED,
            usage: estimate::usage(input, 0),
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
