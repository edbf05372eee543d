//! Which requests are traced. A client's word on its own trace counts only where the operator wants that.

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator as _, ParentBasedSampler, RandomIdGenerator, Sampler, SamplingResult, ShouldSample,
};

use crate::config;

/// The sampler of these settings. What happens within a request goes with the request.
pub(super) fn sampler(settings: config::Sampler) -> ParentBasedSampler {
    let drawn = Drawn(settings.ratio);
    let sampler = ParentBasedSampler::new(drawn);
    if settings.follows_clients {
        return sampler;
    }
    sampler.with_remote_parent_sampled(drawn).with_remote_parent_not_sampled(drawn)
}

/// Samples this part of the requests. Not by the trace's id, as the library does: whoever sends one could choose one
/// that is sampled.
#[derive(Clone, Copy, Debug)]
struct Drawn(f64);

impl ShouldSample for Drawn {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let lot = RandomIdGenerator::default().new_trace_id();
        Sampler::TraceIdRatioBased(self.0).should_sample(parent, lot, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    /// How many of 1 000 requests are traced whose clients say this.
    fn sampled(settings: config::Sampler, client: Option<bool>) -> usize {
        let sampler = sampler(settings);
        // The lowest of all ids, which a ratio of the id would always sample.
        let id = TraceId::from_bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let context = |is_sampled| {
            let flags = TraceFlags::default().with_sampled(is_sampled);
            let span = SpanContext::new(id, SpanId::from_bytes([1; 8]), flags, true, TraceState::NONE);
            Context::new().with_remote_span_context(span)
        };
        let parent = client.map_or_else(Context::new, context);
        let decide = || sampler.should_sample(Some(&parent), id, "", &SpanKind::Server, &[], &[]).decision;
        (0..1_000).filter(|_| decide() == SamplingDecision::RecordAndSample).count()
    }

    #[test]
    fn a_client_decides_only_where_it_may() {
        let own = |ratio| config::Sampler { ratio, follows_clients: false };
        let theirs = |ratio| config::Sampler { ratio, follows_clients: true };
        for client in [None, Some(false), Some(true)] {
            assert_eq!(sampled(own(1.0), client), 1_000);
            assert_eq!(sampled(own(0.0), client), 0);
            let half = sampled(own(0.5), client);
            assert!((300..700).contains(&half), "{half} of 1000 for {client:?}");
        }
        assert_eq!(sampled(theirs(0.0), Some(true)), 1_000);
        assert_eq!(sampled(theirs(1.0), Some(false)), 0);
        assert_eq!((sampled(theirs(0.0), None), sampled(theirs(1.0), None)), (0, 1_000));
    }
}
