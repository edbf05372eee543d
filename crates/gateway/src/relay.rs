//! A stream of events on its way from the upstream to the client: passed on frame by frame, read as it passes, ended
//! early when it must be.
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

use crate::metering::estimate;
use crate::metering::journal::{Entry, Outcome, client_closed};
use crate::refusal;
use crate::sse::frame;
use crate::sse::meter::{Fate, Meter};
use crate::sse::splitter::{Part, Splitter};

/// Resolves when the stream's key is refused.
pub type Revocation = Pin<Box<dyn Future<Output = Refusal> + Send>>;

/// A running stream.
pub struct Relay {
    /// Gone once the stream is over; dropping it aborts what the upstream is still sending.
    upstream: Option<Incoming>,
    splitter: Splitter,
    meter: Meter,
    ready: VecDeque<Bytes>,
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
}

/// What a relay needs beside the upstream's body.
pub struct Terms {
    /// The request it belongs to.
    pub entry: Entry,
    /// The gateway, not the client, asked for the usage event.
    pub usage_is_injected: bool,
    /// Ends the stream when its key is refused.
    pub revocation: Revocation,
    /// The longest silence of the upstream.
    pub idle_limit: Duration,
    /// For messages.
    pub prefix: KeyPrefix,
}

impl Relay {
    /// Starts to relay.
    pub fn new(upstream: Incoming, terms: Terms) -> Self {
        Self {
            upstream: Some(upstream),
            splitter: Splitter::default(),
            meter: Meter::new(terms.usage_is_injected),
            ready: VecDeque::new(),
            removed_last: false,
            entry: terms.entry,
            settling: None,
            revocation: terms.revocation,
            idle: Box::pin(sleep(terms.idle_limit)),
            idle_limit: terms.idle_limit,
            heard: Instant::now(),
            prefix: terms.prefix,
        }
    }

    /// The next bytes for the client; `None` at the end.
    pub fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(settling) = &mut self.settling {
                ready!(settling.as_mut().poll(context));
                self.settling = None;
            }
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            if self.upstream.is_none() {
                return Poll::Ready(None);
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
            Part::Oversized(bytes) => {
                meter.count(&bytes);
                ready.push_back(bytes);
            }
        });
        if !self.ready.is_empty() {
            self.entry.first_byte();
        }
        if is_last {
            // Many clients leave at this event, so the books are closed before it goes out.
            self.settle(200, false);
        }
    }

    /// The upstream has sent everything.
    fn finish(&mut self) {
        self.upstream = None;
        let rest = std::mem::take(&mut self.splitter).finish();
        if !rest.is_empty() {
            self.meter.count(&rest);
            self.ready.push_back(rest);
        }
        self.settle(200, false);
    }

    /// Ends the stream with an error event, and the upstream's work with it.
    fn cut(&mut self, refusal: &Refusal) {
        self.upstream = None;
        if !self.splitter.is_between_frames() {
            // Half a frame has gone out: end it, so that the error is an event of its own.
            self.ready.push_back(Bytes::from_static(b"\n\n"));
        }
        let body = refusal::body(refusal, self.entry.request(), &self.prefix);
        self.ready.push_back(frame::event(&body));
        tracing::info!(request_id = %self.entry.request(), code = refusal.code(), "a stream was ended early");
        self.settle(refusal.status(), true);
    }

    fn settle(&mut self, status: u16, interrupted: bool) {
        let (events, bytes) = self.meter.emitted();
        let reported = self.meter.usage();
        let usage = reported.unwrap_or_else(|| {
            estimate::usage(self.entry.estimated_input(), estimate::output(events, bytes))
        });
        self.entry.settle(Outcome { status, usage, estimated: reported.is_none(), interrupted });
        if let Some(settling) = self.entry.to_wait_for() {
            self.settling = Some(Box::pin(settling));
        }
    }
}

impl Drop for Relay {
    /// The client left before the end: charged what was emitted. (Where the stream is over, it is settled already.)
    fn drop(&mut self) {
        self.settle(client_closed(), true);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("request", &self.entry.request()).finish_non_exhaustive()
    }
}
