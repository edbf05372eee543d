//! Money: checked `i64` nano-dollars. Never a float, never a silent wrap.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tariff::Tariff;
use crate::usage::{TokenUsage, Units};

/// An amount in nano-dollars (10^-9 USD). Holds up to about 9.2 billion dollars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(transparent))]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` where it would not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// Shows dollars without losing anything that matters: at least cents, at most as many digits as it takes to show
/// two significant ones below a cent, cut (not rounded up) so that a shown figure never exceeds the real one.
/// `$12.50`, `$0.0031`, `$0.00000042`, `$0.00`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = self.0.unsigned_abs();
        let (dollars, nanos) = (amount / 1_000_000_000, amount % 1_000_000_000);
        let digits = format!("{nanos:09}");
        let shown = if dollars > 0 || nanos >= 10_000_000 || nanos == 0 {
            2
        } else {
            (digits.len() - digits.trim_start_matches('0').len() + 2).min(9)
        };
        let fraction = digits[..shown].trim_end_matches('0');
        write!(f, "{sign}${}.{fraction:0<2}", group_thousands(dollars))
    }
}

fn group_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A model's prices in nano-dollars per million tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Price {
    /// Per million input tokens that were not cached.
    pub input: i64,
    /// Per million input tokens read from the provider's cache.
    pub cached_input: i64,
    /// Per million output tokens.
    pub output: i64,
}

/// The cost of one record does not fit into 64 bits (over nine billion dollars) or a count was negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cost is out of range")]
pub struct CostOutOfRange;

impl Price {
    /// The higher of the two input prices: what an input token costs at most, in nano-dollars per million.
    pub const fn dearest_input(self) -> i64 {
        if self.cached_input > self.input { self.cached_input } else { self.input }
    }

    /// What `usage` costs: products in `i128`, rounded up once for the whole record.
    pub fn cost(self, usage: TokenUsage) -> Result<NanoUsd, CostOutOfRange> {
        Tariff::from(self).cost(usage, Units::default())
    }

    /// What `usage` costs in millionths of a nano-dollar, not rounded.
    pub(crate) fn millionths(self, usage: TokenUsage) -> Result<i128, CostOutOfRange> {
        let fresh = u64::from(usage.input.saturating_sub(usage.cached_input));
        let total = i128::from(fresh) * i128::from(self.input)
            + i128::from(usage.cached_input.min(usage.input)) * i128::from(self.cached_input)
            + i128::from(usage.output) * i128::from(self.output);
        if total < 0 { Err(CostOutOfRange) } else { Ok(total) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shown_amounts() {
        for (nanos, text) in [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (420, "$0.00000042"),
            (184_999, "$0.00018"),
            (3_100_000, "$0.0031"),
            (10_000_000, "$0.01"),
            (12_500_000_000, "$12.50"),
            (1_234_567_891_000_000, "$1,234,567.89"),
            (-5_000_000_000, "-$5.00"),
            (i64::MIN, "-$9,223,372,036.85"),
        ] {
            assert_eq!(NanoUsd(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_million_tokens_cost_the_price() {
        let price = Price { input: 150_000_000, cached_input: 75_000_000, output: 600_000_000 };
        let cost =
            |input, cached_input, output| price.cost(TokenUsage { input, cached_input, output }).unwrap().0;
        assert_eq!(cost(1_000_000, 0, 0), 150_000_000);
        assert_eq!(cost(1_000_000, 1_000_000, 0), 75_000_000);
        assert_eq!(cost(0, 0, 1), 600);
        assert_eq!(cost(1, 0, 0), 150);
    }

    #[test]
    fn a_fraction_rounds_up_once() {
        let price = Price { input: 1, cached_input: 1, output: 1 };
        assert_eq!(price.cost(TokenUsage { input: 1, cached_input: 0, output: 1 }), Ok(NanoUsd(1)));
    }

    #[test]
    fn an_absurd_price_is_an_error_and_not_a_credit() {
        let price = Price { input: i64::MAX, cached_input: 0, output: i64::MAX };
        assert_eq!(
            price.cost(TokenUsage { input: u32::MAX, cached_input: 0, output: u32::MAX }),
            Err(CostOutOfRange)
        );
        let negative = Price { input: -5, cached_input: 0, output: 0 };
        assert_eq!(negative.cost(TokenUsage { input: 9, cached_input: 0, output: 0 }), Err(CostOutOfRange));
    }

    proptest! {
        #[test]
        fn more_tokens_never_cost_less(input in 0_u32..1_000_000, output in 0_u32..1_000_000, more in 0_u32..1000,
                                       price in 0_i64..1_000_000_000_000) {
            let price = Price { input: price, cached_input: price / 2, output: price * 2 };
            let small = price.cost(TokenUsage { input, cached_input: 0, output }).unwrap();
            let large = price.cost(TokenUsage { input: input + more, cached_input: 0, output: output + more }).unwrap();
            prop_assert!(small <= large);
        }
    }
}
