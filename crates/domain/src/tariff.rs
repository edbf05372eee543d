//! Everything a model is charged by: tokens, pictures, seconds of sound.

use crate::money::{CostOutOfRange, NanoUsd, Price};
use crate::usage::{TokenUsage, Units};

/// Costs are summed up in millionths of a nano-dollar, so that a record is rounded once.
const PER_MILLION: i128 = 1_000_000;
const MILLIONTHS_PER_MILLISECOND: i128 = 1_000;

/// What a model costs. `None` is not known, which a cost limit cannot bound; zero is known, and free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tariff {
    /// By tokens.
    pub tokens: Option<Price>,
    /// Nano-dollars for one generated picture.
    pub image: Option<i64>,
    /// Nano-dollars for one second of sound, heard or spoken.
    pub second: Option<i64>,
}

impl From<Price> for Tariff {
    /// By tokens only.
    fn from(price: Price) -> Self {
        Self { tokens: Some(price), ..Self::default() }
    }
}

impl Tariff {
    /// What one record costs, in nano-dollars: products in `i128`, rounded up once for all of it. What has no price
    /// costs nothing. Errors where a price is negative or the sum does not fit.
    pub fn cost(self, usage: TokenUsage, units: Units) -> Result<NanoUsd, CostOutOfRange> {
        let tokens = self.tokens.map_or(Ok(0), |price| price.millionths(usage))?;
        let units = self.units_millionths(units)?;
        let nanos = (tokens + units + PER_MILLION - 1) / PER_MILLION;
        i64::try_from(nanos).map(NanoUsd).map_err(|_| CostOutOfRange)
    }

    /// What pictures and sound cost, in millionths of a nano-dollar.
    pub fn units_millionths(self, units: Units) -> Result<i128, CostOutOfRange> {
        let (image, second) = (self.image.unwrap_or(0), self.second.unwrap_or(0));
        if image < 0 || second < 0 {
            return Err(CostOutOfRange);
        }
        let images = i128::from(units.images.unwrap_or(0)) * i128::from(image) * PER_MILLION;
        let sound = i128::from(units.audio_ms.unwrap_or(0)) * i128::from(second) * MILLIONTHS_PER_MILLISECOND;
        Ok(images + sound)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: TokenUsage = TokenUsage { input: 0, cached_input: 0, output: 0 };

    fn units(images: u32, audio_ms: u32) -> Units {
        Units { images: Some(images), audio_ms: Some(audio_ms) }
    }

    #[test]
    fn pictures_and_seconds_cost_their_price() {
        let tariff = Tariff { image: Some(40_000_000), second: Some(100_000), tokens: None };
        let cost = |images, ms| tariff.cost(NOTHING, units(images, ms)).unwrap().0;
        assert_eq!(cost(3, 0), 120_000_000);
        assert_eq!(cost(0, 61_500), 6_150_000);
        assert_eq!(cost(1, 1), 40_000_100);
        let spoken = TokenUsage { input: 5, cached_input: 0, output: 9 };
        assert_eq!(tariff.cost(spoken, Units::default()), Ok(NanoUsd::ZERO), "tokens have no price here");
    }

    #[test]
    fn tokens_and_units_are_rounded_up_together() {
        let price = Price { input: 1, cached_input: 1, output: 1 };
        let tariff = Tariff { tokens: Some(price), second: Some(1), image: None };
        let one = TokenUsage { input: 1, cached_input: 0, output: 0 };
        assert_eq!(tariff.cost(one, units(9, 1)), Ok(NanoUsd(1)), "two fractions of the same nano-dollar");
        assert_eq!(tariff.cost(one, units(0, 1_000)), Ok(NanoUsd(2)));
    }

    #[test]
    fn an_absurd_price_is_an_error_and_not_a_credit() {
        let most = Tariff { image: Some(i64::MAX), second: Some(i64::MAX), tokens: None };
        assert_eq!(most.cost(NOTHING, units(u32::MAX, u32::MAX)), Err(CostOutOfRange));
        for credit in
            [Tariff { image: Some(-1), ..most }, Tariff { image: None, second: Some(-1), tokens: None }]
        {
            assert_eq!(credit.cost(NOTHING, units(1, 1)), Err(CostOutOfRange));
        }
    }

    proptest! {
        #[test]
        fn more_units_never_cost_less(images in 0_u32..1000, ms in 0_u32..10_000_000, more in 0_u32..1000,
                                      image in 0_i64..1_000_000_000_000, second in 0_i64..1_000_000_000_000) {
            let tariff = Tariff { tokens: None, image: Some(image), second: Some(second) };
            let small = tariff.cost(NOTHING, units(images, ms)).unwrap();
            let large = tariff.cost(NOTHING, units(images + more, ms + more)).unwrap();
            prop_assert!(small <= large);
        }

        #[test]
        fn the_parts_of_a_bill_sum_up_to_the_nano_dollar(input: u32, images in 0_u32..1000, ms in 0_u32..10_000_000,
                                                         price in 0_i64..1_000_000_000_000) {
            let usage = TokenUsage { input, cached_input: 0, output: 0 };
            let tokens = Price { input: price, cached_input: 0, output: 0 };
            let all = Tariff { tokens: Some(tokens), image: Some(price), second: Some(price / 7) };
            let only = Tariff { tokens: None, ..all };
            let parts = tokens.cost(usage).unwrap().0 + only.cost(NOTHING, units(images, ms)).unwrap().0;
            let whole = all.cost(usage, units(images, ms)).unwrap().0;
            prop_assert!((parts - 1..=parts).contains(&whole));
        }
    }
}
