//! Limits: how much a request may cost at most, how much of a limit one gateway takes at a time.
//!
//! A limit's figures live in the database, window by window; a gateway holds a **lease** on part of a window and takes
//! each request's **reservation** from it. Both are worst cases: what is charged later is never more, unless the
//! upstream does not keep to its cap.

use crate::tariff::Tariff;
use crate::usage::{TokenUsage, Units};

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(type_name = "text", rename_all = "lowercase"))]
pub enum Measure {
    /// Nano-dollars.
    Cost,
    /// Input and output tokens together.
    Tokens,
}

/// When a limit starts anew, in the account's time zone. Where the windows begin is computed by the statement that
/// takes a lease, so no job has to run in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(type_name = "text", rename_all = "lowercase"))]
pub enum Period {
    /// It does not.
    Never,
    /// At midnight.
    Daily,
    /// On Monday at midnight.
    Weekly,
    /// On the first of the month at midnight.
    Monthly,
}

/// What a key's cost or token limit does to a request whose worst case does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
#[cfg_attr(feature = "sqlx", sqlx(type_name = "text", rename_all = "lowercase"))]
pub enum Fit {
    /// Lowers the output cap to what fits, if [`SMALLEST_CLAMP`] tokens do.
    #[default]
    Clamp,
    /// Refuses.
    Strict,
}

/// A clamp leaves room for at least this many tokens: fewer are no answer.
pub const SMALLEST_CLAMP: u32 = 16;

/// The most a request can consume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorstCase {
    /// Prompt tokens at most.
    pub input: u64,
    /// Generated tokens at most, for one choice.
    pub output: u32,
    /// How many choices are generated (`n`).
    pub choices: u32,
    /// Each choice is a picture.
    pub pictures: bool,
    /// Milliseconds of sound at most; `None` where there is none, or where nobody can say.
    pub audio_ms: Option<u32>,
}

/// Bytes a second of the slowest sound there is: Opus goes down to 6 kbit/s (RFC 6716, section 2.1.1), which is less
/// than the least of MP3 (8 kbit/s) and of everything uncompressed.
const LEAST_BYTES_PER_SECOND: u64 = 750;
/// Providers count begun seconds.
const ROUNDING_MS: u64 = 1_000;

impl WorstCase {
    /// A bound on the tokens of a prompt of `bytes` bytes: tokenisers of the models in use make at most one token of
    /// a byte, and what a chat template adds to a message is shorter than the JSON around it. A model reads no more
    /// than its context window.
    pub fn input_bound(bytes: usize, context_window: Option<u32>) -> u64 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        context_window.map_or(bytes, |window| bytes.min(u64::from(window)))
    }

    /// A bound on the length, in milliseconds, of a file of sound that has `bytes` bytes.
    pub fn audio_bound(bytes: usize) -> u32 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let ms = bytes.saturating_mul(1_000).div_ceil(LEAST_BYTES_PER_SECOND).saturating_add(ROUNDING_MS);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    /// Pictures and sound at most.
    pub fn units(self) -> Units {
        Units { images: self.pictures.then_some(self.choices), audio_ms: self.audio_ms }
    }

    /// What is to be reserved of a limit: nano-dollars (rounded up) or tokens; `i64::MAX` where it is beyond counting,
    /// which fits no limit.
    pub fn of(self, measure: Measure, tariff: Tariff) -> i64 {
        let output = u128::from(self.output) * u128::from(self.choices);
        let total = match measure {
            Measure::Tokens => u128::from(self.input) + output,
            Measure::Cost => {
                let per_output = nanos(tariff.tokens.unwrap_or_default().output);
                let sum = self.but_output(tariff).saturating_add(output * per_output);
                sum.div_ceil(PER_MILLION)
            }
        };
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    /// What the request costs beside its output tokens, in millionths of a nano-dollar.
    fn but_output(self, tariff: Tariff) -> u128 {
        let input = u128::from(self.input) * nanos(tariff.tokens.unwrap_or_default().dearest_input());
        // A negative price counts as beyond measure, not as a credit.
        let units = tariff.units_millionths(self.units()).ok().and_then(|sum| u128::try_from(sum).ok());
        input.saturating_add(units.unwrap_or(u128::MAX))
    }

    /// A guess of what such a request has consumed, which is never more than its worst case: only what an upstream
    /// reports can be.
    pub fn bound(self, guess: TokenUsage) -> TokenUsage {
        let input = u32::try_from(self.input).unwrap_or(u32::MAX);
        TokenUsage { input: guess.input.min(input), output: guess.output.min(self.all_output()), ..guess }
    }

    /// The same for pictures and sound; of what is not bounded here, the guess itself.
    pub fn bound_units(self, guess: Units) -> Units {
        let least = |guess: Option<u32>, most: Option<u32>| match (guess, most) {
            (Some(guess), Some(most)) => Some(guess.min(most)),
            (guess, _) => guess,
        };
        let most = self.units();
        Units { images: least(guess.images, most.images), audio_ms: least(guess.audio_ms, most.audio_ms) }
    }

    /// Generated tokens at most, of all choices together.
    pub fn all_output(self) -> u32 {
        self.output.saturating_mul(self.choices.max(1))
    }

    /// The largest output cap, at most the present one, whose worst case is at most `free`; `None` if that is fewer
    /// than [`SMALLEST_CLAMP`] tokens.
    pub fn clamp(self, measure: Measure, tariff: Tariff, free: i64) -> Option<u32> {
        let free = u128::try_from(free).ok()?;
        let choices = u128::from(self.choices.max(1));
        let (budget, per_token) = match measure {
            Measure::Tokens => (free.checked_sub(u128::from(self.input))?, choices),
            Measure::Cost => {
                let per_output = nanos(tariff.tokens.unwrap_or_default().output);
                ((free * PER_MILLION).checked_sub(self.but_output(tariff))?, per_output * choices)
            }
        };
        // What costs nothing is not bounded by money.
        let most = budget.checked_div(per_token).unwrap_or(u128::MAX);
        let output = u32::try_from(most).unwrap_or(u32::MAX).min(self.output);
        (output >= SMALLEST_CLAMP.min(self.output)).then_some(output)
    }

    /// The largest number of choices, at most the present one, whose worst case is at most `free`; `None` if not even
    /// one is.
    pub fn clamp_choices(self, measure: Measure, tariff: Tariff, free: i64) -> Option<u32> {
        // Pictures come by the ten at most.
        (1..=self.choices)
            .rev()
            .find(|choices| Self { choices: *choices, ..self }.of(measure, tariff) <= free)
    }
}

const PER_MILLION: u128 = 1_000_000;

/// A price is never negative (the table checks it); one that is counts as beyond measure, not as a credit.
fn nanos(price: i64) -> u128 {
    u128::try_from(price).unwrap_or(u128::from(u64::MAX))
}

/// How much a lease should hold beyond what the present request needs: about this many seconds of the key's spend.
const LEASE_SECONDS: i64 = 2;
/// A lease holds the worst case of this many requests like the present one, if there is enough: a key that is seldom
/// used would lease anew for each request, and its worst case is often ten times what it consumes.
pub const LEASE_REQUESTS: i64 = 8;
/// Of what is left, one lease takes at most this part, so that leases shrink towards one request near the limit and
/// other gateways still find something.
const LEASE_PART: i64 = 8;

/// How much to lease: at least what the request at hand `needed`, else [`LEASE_SECONDS`] of the spend `per_second` or
/// [`LEASE_REQUESTS`] like this one, but no more than a part of what is `left` in the window. All in the limit's unit.
pub fn lease_size(needed: i64, per_second: i64, left: i64) -> i64 {
    let wished = per_second.saturating_mul(LEASE_SECONDS).max(needed.saturating_mul(LEASE_REQUESTS));
    wished.min(left / LEASE_PART).max(needed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Price;

    const PRICE: Price = Price { input: 150_000_000, cached_input: 75_000_000, output: 600_000_000 };

    fn worst(input: u64, output: u32) -> WorstCase {
        WorstCase { input, output, choices: 1, ..WorstCase::default() }
    }

    #[test]
    fn the_worst_case_is_the_dearest_reading_of_the_request() {
        assert_eq!(worst(1_000_000, 0).of(Measure::Cost, PRICE.into()), 150_000_000);
        assert_eq!(worst(1, 1).of(Measure::Cost, PRICE.into()), 750);
        assert_eq!(WorstCase { choices: 3, ..worst(10, 100) }.of(Measure::Tokens, PRICE.into()), 310);
        let dear_cache = Price { cached_input: 300_000_000, ..PRICE };
        assert_eq!(worst(1_000_000, 0).of(Measure::Cost, dear_cache.into()), 300_000_000);
        assert_eq!(worst(0, 1).of(Measure::Cost, Price { output: 1, ..PRICE }.into()), 1, "rounded up");
        assert_eq!(worst(u64::MAX, u32::MAX).of(Measure::Cost, PRICE.into()), i64::MAX);
    }

    #[test]
    fn the_context_window_bounds_the_input() {
        assert_eq!(WorstCase::input_bound(400, None), 400);
        assert_eq!(WorstCase::input_bound(400, Some(128_000)), 400);
        assert_eq!(WorstCase::input_bound(400_000, Some(128_000)), 128_000);
    }

    #[test]
    fn a_clamp_leaves_an_answer_or_refuses() {
        let request = worst(100, 1_000);
        assert_eq!(request.clamp(Measure::Tokens, PRICE.into(), 5_000), Some(1_000), "never raised");
        assert_eq!(request.clamp(Measure::Tokens, PRICE.into(), 600), Some(500));
        assert_eq!(request.clamp(Measure::Tokens, PRICE.into(), 116), Some(16));
        assert_eq!(request.clamp(Measure::Tokens, PRICE.into(), 115), None);
        assert_eq!(request.clamp(Measure::Tokens, PRICE.into(), 0), None);
        assert_eq!(request.clamp(Measure::Cost, PRICE.into(), -1), None);
        let short = worst(100, 5);
        assert_eq!(short.clamp(Measure::Tokens, PRICE.into(), 105), Some(5), "a short wish is fulfilled");
        assert_eq!(short.clamp(Measure::Tokens, PRICE.into(), 104), None);
        let free_output = Price { output: 0, ..PRICE };
        assert_eq!(request.clamp(Measure::Cost, free_output.into(), 1_000_000), Some(1_000));
    }

    #[test]
    fn pictures_and_sound_are_part_of_the_worst_case() {
        let tariff = Tariff { image: Some(40_000_000), second: Some(100_000), tokens: Some(PRICE) };
        let pictures = WorstCase { choices: 3, pictures: true, ..worst(1_000_000, 0) };
        assert_eq!(pictures.of(Measure::Cost, tariff), 270_000_000);
        assert_eq!(WorstCase { pictures: false, ..pictures }.of(Measure::Cost, tariff), 150_000_000);
        let sound = WorstCase { audio_ms: Some(WorstCase::audio_bound(1_500)), ..worst(0, 0) };
        assert_eq!(sound.of(Measure::Cost, tariff), 300_000, "two seconds, and one that is begun");
        assert_eq!(sound.of(Measure::Cost, Tariff { second: Some(0), ..tariff }), 0);
        assert_eq!(sound.of(Measure::Cost, Tariff { second: Some(-1), ..tariff }), i64::MAX);
        assert_eq!(WorstCase::audio_bound(usize::MAX), u32::MAX);
        let guess = Units { images: Some(9), audio_ms: Some(1_000_000) };
        assert_eq!(pictures.bound_units(guess), Units { images: Some(3), audio_ms: Some(1_000_000) });
        assert_eq!(sound.bound_units(guess), Units { images: Some(9), audio_ms: Some(3_000) });
    }

    #[test]
    fn fewer_pictures_may_fit() {
        let tariff = Tariff { image: Some(40), ..Tariff::default() };
        let request = WorstCase { choices: 4, pictures: true, ..worst(9, 9) };
        let fit = |free| request.clamp_choices(Measure::Cost, tariff, free);
        assert_eq!(
            [fit(1_000), fit(160), fit(159), fit(40), fit(39)],
            [Some(4), Some(4), Some(3), Some(1), None]
        );
        assert_eq!(request.clamp_choices(Measure::Tokens, tariff, 9 + 2 * 9), Some(2));
    }

    #[test]
    fn leases_shrink_towards_the_limit() {
        assert_eq!(lease_size(10, 1_000, 1_000_000), 2_000);
        assert_eq!(lease_size(10, 1_000, 8_000), 1_000);
        assert_eq!(lease_size(10, 0, 1_000_000), 80, "as many requests as this one are likely");
        assert_eq!(lease_size(10, 1_000, 40), 10);
        assert_eq!(lease_size(500, 0, 100), 500, "whether that fits is for the database to say");
        assert_eq!(lease_size(1, i64::MAX, i64::MAX), i64::MAX / 8);
    }

    proptest! {
        #[test]
        fn what_is_clamped_fits(input in 0_u64..1_000_000, output in 1_u32..200_000, choices in 1_u32..10,
                                free in 0_i64..1_000_000_000, price in 0_i64..100_000_000_000, tokens: bool) {
            let measure = if tokens { Measure::Tokens } else { Measure::Cost };
            let price = Price { input: price / 4, cached_input: price / 8, output: price };
            let request = WorstCase { input, output, choices, ..WorstCase::default() };
            if let Some(cap) = request.clamp(measure, price.into(), free) {
                prop_assert!(cap <= output);
                let (fits, more) = (WorstCase { output: cap, ..request }, WorstCase { output: cap + 1, ..request });
                let (fits, more) = (fits.of(measure, price.into()), more.of(measure, price.into()));
                prop_assert!(fits <= free);
                prop_assert!(cap == output || more > free);
            } else {
                let least = WorstCase { output: SMALLEST_CLAMP.min(output), ..request }.of(measure, price.into());
                prop_assert!(least > free);
            }
        }

        #[test]
        fn no_usage_within_the_bounds_costs_more(input in 0_u32..100_000, cached in 0_u32..100_000,
                                                 output in 0_u32..100_000, price in 0_i64..100_000_000_000) {
            use crate::usage::TokenUsage;
            let price = Price { input: price, cached_input: price / 2, output: price * 2 };
            let usage = TokenUsage { input, cached_input: cached.min(input), output };
            let bound = WorstCase { input: u64::from(input), output, choices: 1, ..WorstCase::default() };
            prop_assert!(price.cost(usage).unwrap().0 <= bound.of(Measure::Cost, price.into()));
        }

        #[test]
        fn no_units_within_the_bounds_cost_more(images in 0_u32..10, audio_ms in 0_u32..10_000_000, fewer in 0_u32..1000,
                                                output in 0_u32..100_000, price in 0_i64..100_000_000_000) {
            let tokens = Price { input: price, cached_input: price / 2, output: price * 2 };
            let tariff = Tariff { tokens: Some(tokens), image: Some(price / 3), second: Some(price / 5) };
            let bound = WorstCase { output, choices: images, pictures: true, audio_ms: Some(audio_ms), input: 7 };
            let units = Units { images: Some(images), audio_ms: Some(audio_ms.saturating_sub(fewer)) };
            let usage = TokenUsage { input: 7, cached_input: 0, output: bound.all_output() };
            // Nothing is generated where no picture is.
            prop_assume!(images > 0);
            prop_assert!(tariff.cost(usage, units).unwrap().0 <= bound.of(Measure::Cost, tariff));
        }

        #[test]
        fn the_pictures_that_fit_are_the_most_that_do(choices in 1_u32..10, price in 1_i64..1_000_000, free in 0_i64..10_000_000) {
            let tariff = Tariff { image: Some(price), ..Tariff::default() };
            let request = WorstCase { choices, pictures: true, ..worst(0, 0) };
            let expected = u32::try_from(free / price).unwrap_or(u32::MAX).min(choices);
            prop_assert_eq!(request.clamp_choices(Measure::Cost, tariff, free), (expected > 0).then_some(expected));
        }
    }
}
