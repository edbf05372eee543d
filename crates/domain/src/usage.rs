//! What a request consumed.

use crate::money::{CostOutOfRange, NanoUsd};
use crate::tariff::Tariff;

/// Token counts as the upstream reports them. Cached tokens are part of the input tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenUsage {
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Those of them read from the provider's cache.
    pub cached_input: u32,
    /// Generated tokens.
    pub output: u32,
}

impl TokenUsage {
    /// Input and output together, which is what a token limit counts.
    pub fn total(self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }
}

/// What is counted beside tokens; `None` where a route has nothing of the kind, or nobody has counted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Units {
    /// Generated pictures.
    pub images: Option<u32>,
    /// Sound, heard or spoken, in milliseconds.
    pub audio_ms: Option<u32>,
}

/// What is left of a forwarded request whose end nobody saw, because its gateway died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LastKnown {
    /// What it had consumed when it was last looked at; `None` where nobody looked.
    pub seen: Option<TokenUsage>,
    /// Its input tokens by the gateway's own count.
    pub estimated_input: u32,
    /// The sound it was sent with, in milliseconds by the gateway's own count; `None` where there is none.
    pub estimated_audio_ms: Option<u32>,
    /// Set aside for it under a cost limit; `None` where there is none.
    pub reserved_cost: Option<NanoUsd>,
    /// Set aside for it under a token limit, input and output together; `None` where there is none.
    pub reserved_tokens: Option<u64>,
}

impl LastKnown {
    /// What it is charged: what was seen; where nothing was, what was set aside for it, which is its worst case; where
    /// nothing was set aside, the input it was sent with. A limit can so never be passed by a gateway that dies.
    pub fn charge(self, tariff: Tariff) -> Result<(TokenUsage, NanoUsd), CostOutOfRange> {
        let units = Units { images: None, audio_ms: self.estimated_audio_ms };
        if let Some(seen) = self.seen {
            return Ok((seen, tariff.cost(seen, units)?));
        }
        let reserved_output =
            self.reserved_tokens.map_or(0, |all| all.saturating_sub(self.estimated_input.into()));
        let usage = TokenUsage {
            input: self.estimated_input,
            cached_input: 0,
            output: u32::try_from(reserved_output).unwrap_or(u32::MAX),
        };
        let cost = self.reserved_cost.map_or_else(|| tariff.cost(usage, units), Ok)?;
        Ok((usage, cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Price;

    const PRICE: Price = Price { input: 1_000_000, cached_input: 500_000, output: 2_000_000 };

    fn charge(known: LastKnown) -> (u32, u32, i64) {
        let (usage, cost) = known.charge(PRICE.into()).unwrap();
        (usage.input, usage.output, cost.0)
    }

    #[test]
    fn what_was_seen_counts_before_everything_else() {
        let seen = TokenUsage { input: 10, cached_input: 0, output: 5 };
        let known = LastKnown {
            seen: Some(seen),
            estimated_input: 99,
            estimated_audio_ms: None,
            reserved_cost: Some(NanoUsd(1_000)),
            reserved_tokens: Some(500),
        };
        assert_eq!(charge(known), (10, 5, 20));
    }

    #[test]
    fn what_nobody_saw_costs_what_was_set_aside() {
        let known = LastKnown { estimated_input: 100, ..LastKnown::default() };
        let with_cost = LastKnown { reserved_cost: Some(NanoUsd(1_000)), ..known };
        assert_eq!(charge(with_cost), (100, 0, 1_000));
        let with_tokens = LastKnown { reserved_tokens: Some(500), ..known };
        assert_eq!(charge(with_tokens), (100, 400, 900));
        let with_both = LastKnown { reserved_tokens: Some(500), ..with_cost };
        assert_eq!(charge(with_both), (100, 400, 1_000));
        let with_less_than_its_input = LastKnown { reserved_tokens: Some(7), ..known };
        assert_eq!(charge(with_less_than_its_input), (100, 0, 100));
    }

    #[test]
    fn without_anything_set_aside_its_input_is_charged() {
        assert_eq!(charge(LastKnown { estimated_input: 100, ..LastKnown::default() }), (100, 0, 100));
        assert_eq!(charge(LastKnown::default()), (0, 0, 0));
    }

    #[test]
    fn sound_that_was_sent_is_charged_by_its_length() {
        let tariff = Tariff { second: Some(100_000), ..Tariff::default() };
        let known = LastKnown { estimated_input: 7, estimated_audio_ms: Some(2_500), ..LastKnown::default() };
        assert_eq!(known.charge(tariff).unwrap().1, NanoUsd(250_000));
        let reserved = LastKnown { reserved_cost: Some(NanoUsd(900_000)), ..known };
        assert_eq!(reserved.charge(tariff).unwrap().1, NanoUsd(900_000));
    }
}
