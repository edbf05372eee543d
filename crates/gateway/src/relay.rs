//! A stream on its way from the upstream to the client: events passed on frame by frame, sound as it comes, read as it
//! passes, ended early when it must be.
//!
//! Whatever ends it settles its request: the last event, the upstream's death, a revoked key, or the client, whose
//! leaving drops the relay and with it the upstream's connection.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use domain::refusal::Refusal;
use domain::secret::KeyPrefix;
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::answer::CutOff;
use crate::metering::journal::{Entry, Outcome, client_closed};
use crate::refusal;
use crate::router::ErrorDialect;
use crate::sse::meter::{Consumed, Fate, Meter};
use crate::sse::splitter::{Part, Splitter};

/// Resolves when the stream's key is refused.
pub type Revocation = Pin<Box<dyn Future<Output = Refusal> + Send>>;

/// A running stream.
pub struct Relay {
    /// Gone once the stream is over; dropping it aborts what the upstream is still sending.
    upstream: Option<Incoming>,
    /// Cuts events; bytes of other kinds pass as they come.
    splitter: Option<Splitter>,
    status: u16,
    meter: Meter,
    media_type: String,
    ready: VecDeque<Bytes>,
    /// The client must see that its bytes are not all.
    cut_off: bool,
    /// Whether the last frame was kept, and with it the end of its line.
    removed_last: bool,
    entry: Entry,
    /// What must have happened before anything more goes out.
    settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    revocation: Revocation,
    idle: Pin<Box<Sleep>>,
    idle_limit: Duration,
    heard: Instant,
    prefix: KeyPrefix,
    errors: ErrorDialect,
}

/// What streams by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Server-sent events.
    Events,
    /// Anything else, of this media type.
    Bytes(String),
}

/// What a relay needs beside the upstream's body.
pub struct Terms {
    /// The request it belongs to.
    pub entry: Entry,
    /// The status of the answer.
    pub status: u16,
    /// Reads what passes.
    pub meter: Meter,
    /// What passes.
    pub kind: Kind,
    /// Ends the stream when its key is refused.
    pub revocation: Revocation,
    /// The longest silence of the upstream.
    pub idle_limit: Duration,
    /// For messages.
    pub prefix: KeyPrefix,
    /// How the client reads them.
    pub errors: ErrorDialect,
}

impl Relay {
    /// Starts to relay.
    pub fn new(upstream: Incoming, terms: Terms) -> Self {
        let (splitter, media_type) = match terms.kind {
            Kind::Events => (Some(Splitter::default()), String::new()),
            Kind::Bytes(media_type) => (None, media_type),
        };
        Self {
            upstream: Some(upstream),
            splitter,
            status: terms.status,
            meter: terms.meter,
            media_type,
            ready: VecDeque::new(),
            cut_off: false,
            removed_last: false,
            entry: terms.entry,
            settling: None,
            revocation: terms.revocation,
            idle: Box::pin(sleep(terms.idle_limit)),
            idle_limit: terms.idle_limit,
            heard: Instant::now(),
            prefix: terms.prefix,
            errors: terms.errors,
        }
    }

    /// The next bytes for the client; `None` at the end.
    pub fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            if let Some(settling) = &mut self.settling {
                ready!(settling.as_mut().poll(context));
                self.settling = None;
            }
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if self.upstream.is_none() {
                let cut_off = std::mem::take(&mut self.cut_off);
                return Poll::Ready(cut_off.then_some(Err(CutOff)));
            }
            if let Poll::Ready(refusal) = self.revocation.as_mut().poll(context) {
                self.cut(&refusal);
                continue;
            }
            ready!(self.poll_upstream(context));
        }
    }

    fn poll_upstream(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(()) };
        match Pin::new(upstream).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.heard = Instant::now();
                if let Ok(data) = frame.into_data() {
                    self.pass(data);
                }
                Poll::Ready(())
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(request_id = %self.entry.request(), %error, "the upstream's stream broke off");
                self.cut(&Refusal::UpstreamFailed);
                Poll::Ready(())
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(())
            }
            Poll::Pending => self.poll_idle(context),
        }
    }

    /// The timer is only looked at when it fires, so that a busy stream does not move it with each frame.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.idle.as_mut().poll(context).is_ready() {
            let end = self.heard + self.idle_limit;
            if end <= Instant::now() {
                tracing::warn!(request_id = %self.entry.request(), "the upstream's stream fell silent");
                self.cut(&Refusal::UpstreamTimeout);
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(end);
        }
        Poll::Pending
    }

    fn pass(&mut self, data: Bytes) {
        let Self { splitter, meter, ready, removed_last, .. } = self;
        let Some(splitter) = splitter else {
            meter.count_bytes(&data);
            ready.push_back(data);
            return self.entry.first_byte();
        };
        let mut is_last = false;
        splitter.push(data, |part| match part {
            Part::Frame(bytes) => {
                let fate = meter.read(&bytes);
                *removed_last = fate == Fate::Remove;
                is_last |= fate == Fate::Last;
                if fate != Fate::Remove {
                    ready.push_back(bytes);
                }
            }
            Part::Remainder(bytes) => {
                if !*removed_last {
                    ready.push_back(bytes);
                }
            }
            Part::Oversized { bytes, is_end } => {
                is_last |= meter.read_large(&bytes, is_end) == Fate::Last;
                *removed_last = false;
                ready.push_back(bytes);
            }
        });
        if !self.ready.is_empty() {
            self.entry.first_byte();
        }
        if is_last {
            // Many clients leave at this event, so the books are closed before it goes out.
            self.settle(self.status, false);
        }
    }

    /// The upstream has sent everything.
    fn finish(&mut self) {
        self.upstream = None;
        let rest = self.splitter.take().map(Splitter::finish).unwrap_or_default();
        if !rest.is_empty() {
            self.meter.count_bytes(&rest);
            self.ready.push_back(rest);
        }
        self.settle(self.status, false);
    }

    /// Ends the stream, and the upstream's work with it: with an error event, or where there are none abruptly.
    fn cut(&mut self, refusal: &Refusal) {
        self.upstream = None;
        match &self.splitter {
            Some(splitter) => {
                if !splitter.is_between_frames() {
                    // Half a frame has gone out: end it, so that the error is an event of its own.
                    self.ready.push_back(Bytes::from_static(b"\n\n"));
                }
                let event = refusal::event(refusal, self.entry.request(), &self.prefix, self.errors);
                self.ready.push_back(event);
            }
            None => self.cut_off = true,
        }
        tracing::info!(request_id = %self.entry.request(), code = refusal.code(), "a stream was ended early");
        let by_upstream = matches!(refusal, Refusal::UpstreamFailed | Refusal::UpstreamTimeout);
        self.entry.trace().cut(refusal.code(), by_upstream);
        if !by_upstream {
            self.meter.cut_short();
        }
        self.settle(refusal.status(), true);
    }

    fn settle(&mut self, status: u16, interrupted: bool) {
        let (sent, tariff) = (self.entry.sent(), self.entry.tariff());
        let Consumed { usage, units, estimated } = self.meter.consumed(sent, tariff, &self.media_type);
        self.entry.settle(Outcome { status, usage, units, estimated, interrupted });
        if let Some(settling) = self.entry.to_wait_for() {
            self.settling = Some(Box::pin(settling));
        }
    }
}

impl Drop for Relay {
    /// The client left before the end: charged what was emitted. (Where the stream is over, it is settled already.)
    fn drop(&mut self) {
        self.meter.cut_short();
        self.settle(client_closed(), true);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("request", &self.entry.request()).finish_non_exhaustive()
    }
}
