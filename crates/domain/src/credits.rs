//! Credits: the unit in which an operator may show money. Stored is always money.

use crate::dollars::{self, PriceError};
use crate::money::NanoUsd;

const NANOS_PER_DOLLAR: i64 = 1_000_000_000;
/// Credits of a dollar where nothing else is set.
pub const DEFAULT_PER_DOLLAR: i64 = 500_000;

/// How many credits a dollar is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditRate {
    nanos_per_credit: i64,
}

/// A rate that would not come out even.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must divide 1 000 000 000, so that a credit is a whole number of nano-dollars")]
pub struct UnevenRate;

/// Why a number of credits was not taken. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreditsError {
    /// Not a whole number.
    #[error("Write a whole number of credits, such as 25000000")]
    Form,
    /// More than a limit holds.
    #[error("That is more than a limit can hold")]
    TooMany,
}

impl CreditRate {
    /// A rate of `credits` for a dollar.
    pub fn per_dollar(credits: i64) -> Result<Self, UnevenRate> {
        if credits > 0 && NANOS_PER_DOLLAR % credits == 0 {
            Ok(Self { nanos_per_credit: NANOS_PER_DOLLAR / credits })
        } else {
            Err(UnevenRate)
        }
    }

    /// Credits of a dollar.
    pub const fn of_dollar(self) -> i64 {
        NANOS_PER_DOLLAR / self.nanos_per_credit
    }

    /// Whole credits in an amount; what is left over is cut.
    pub const fn credits(self, amount: NanoUsd) -> i64 {
        amount.0 / self.nanos_per_credit
    }

    /// What `credits` are worth; `None` where that would not fit.
    pub fn amount(self, credits: i64) -> Option<NanoUsd> {
        credits.checked_mul(self.nanos_per_credit).map(NanoUsd)
    }

    /// Reads a number of credits, thousands apart by spaces, commas or underscores if anyhow, as money: at most
    /// [`dollars::LARGEST_AMOUNT`].
    pub fn parse(self, text: &str) -> Result<NanoUsd, CreditsError> {
        let digits: String =
            text.chars().filter(|c| !matches!(c, ' ' | ',' | '_' | '\u{202f}' | '\u{a0}')).collect();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CreditsError::Form);
        }
        let amount = digits.parse().ok().and_then(|credits| self.amount(credits));
        amount.filter(|amount| amount.0 <= dollars::LARGEST_AMOUNT).ok_or(CreditsError::TooMany)
    }
}

impl Default for CreditRate {
    fn default() -> Self {
        Self { nanos_per_credit: NANOS_PER_DOLLAR / DEFAULT_PER_DOLLAR }
    }
}

/// Reads an amount of dollars such as `100`, `$1,250.50`, as money: at most [`dollars::LARGEST_AMOUNT`].
pub fn parse_dollars(text: &str) -> Result<NanoUsd, PriceError> {
    dollars::parse_amount(text).map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_is_a_whole_number_of_nano_dollars() {
        let rate = CreditRate::default();
        assert_eq!((rate.of_dollar(), rate.credits(NanoUsd(100_000_000_000))), (500_000, 50_000_000));
        assert_eq!(rate.credits(NanoUsd(1_999)), 0);
        assert_eq!(rate.parse("50 000 000"), Ok(NanoUsd(100_000_000_000)));
        assert_eq!(rate.parse("1,000_0"), Ok(NanoUsd(20_000_000)));
        for wrong in ["", " ", "-1", "1.5", "1e3", "x"] {
            assert_eq!(rate.parse(wrong), Err(CreditsError::Form), "{wrong}");
        }
        for huge in ["9223372036854775807", "99999999999999999999"] {
            assert_eq!(rate.parse(huge), Err(CreditsError::TooMany), "{huge}");
        }
        assert_eq!(CreditRate::per_dollar(1_000_000_000).unwrap().amount(7), Some(NanoUsd(7)));
        for uneven in [0, -1, 3, 2_000_000_000] {
            assert_eq!(CreditRate::per_dollar(uneven), Err(UnevenRate), "{uneven}");
        }
    }

    #[test]
    fn dollars_may_be_written_as_they_are_shown() {
        for (text, nanos) in
            [("100", 100_000_000_000), ("$1,250.50", 1_250_500_000_000), (" 0.000000001 ", 1)]
        {
            assert_eq!(parse_dollars(text), Ok(NanoUsd(nanos)), "{text}");
        }
        assert_eq!(parse_dollars("1,25"), Err(PriceError::Separator));
        assert_eq!(parse_dollars("1000000001"), Err(PriceError::TooDear(1_000_000_000)));
    }
}
