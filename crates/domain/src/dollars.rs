//! Dollars as people type them: decimal text to and from nano-dollars, without floats.

/// The dearest price, in nano-dollars per million tokens: a million dollars. Below it no record's cost leaves 64 bits,
/// however many tokens it counts.
pub const DEAREST: i64 = 1_000_000 * NANOS;
/// The dearest price of a picture or a second of sound, in nano-dollars: a hundred dollars. An answer has at most
/// some thirty million pictures, a record at most 2^32 ms of sound: neither takes a record's cost out of 64 bits.
pub const DEAREST_UNIT: i64 = 100 * NANOS;
/// The largest amount of money a person may set a limit to, in nano-dollars: a billion dollars.
pub const LARGEST_AMOUNT: i64 = 1_000_000_000 * NANOS;
const NANOS: i64 = 1_000_000_000;

/// Why a text is no price. The texts are for the person who typed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PriceError {
    /// Not digits with at most one point.
    #[error("Write a number of dollars such as 0.15, with a point and without separators")]
    Form,
    /// Below zero.
    #[error("An amount cannot be negative")]
    Negative,
    /// More than nine digits behind the point.
    #[error("An amount has at most nine digits after the point")]
    TooFine,
    /// Above the dearest one, which is this many dollars.
    #[error("This can be at most {0} dollars")]
    TooDear(i64),
    /// A comma that parts no thousands: it may be meant for the point.
    #[error("Write a point before the cents, and commas between thousands or not at all")]
    Separator,
}

/// Reads a price of a million tokens such as `0.15`, `$2.50` or `10`, in dollars, as nano-dollars: at most [`DEAREST`].
pub fn parse_price(text: &str) -> Result<i64, PriceError> {
    parse(text, DEAREST)
}

/// Reads a price of a picture or a second, in dollars, as nano-dollars: at most [`DEAREST_UNIT`].
pub fn parse_unit_price(text: &str) -> Result<i64, PriceError> {
    parse(text, DEAREST_UNIT)
}

/// Reads an amount of money such as `100` or `$1,250.50`, in dollars, as nano-dollars: at most [`LARGEST_AMOUNT`].
pub fn parse_amount(text: &str) -> Result<i64, PriceError> {
    let text = text.trim();
    if !text.contains(',') {
        return parse(text, LARGEST_AMOUNT);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut thousands = whole.strip_prefix('$').unwrap_or(whole).split(',');
    let is_first = thousands.next().is_some_and(|first| (1..=3).contains(&first.len()));
    if !is_first || fraction.contains(',') || thousands.any(|group| group.len() != 3) {
        return Err(PriceError::Separator);
    }
    parse(&text.replace(',', ""), LARGEST_AMOUNT)
}

fn parse(text: &str, dearest: i64) -> Result<i64, PriceError> {
    let too_dear = PriceError::TooDear(dearest / NANOS);
    let text = text.trim();
    if text.starts_with(['-', '\u{2212}']) {
        return Err(PriceError::Negative);
    }
    let text = text.strip_prefix('$').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return Err(PriceError::Form);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(PriceError::TooFine);
    }
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<i64>() };
    let whole = number(whole.trim_start_matches('0')).map_err(|_| too_dear)?;
    // Nine digits at most, so it fits.
    let nanos = number(&format!("{fraction:0<9}")).map_err(|_| PriceError::TooFine)?;
    let price = whole.checked_mul(NANOS).and_then(|whole| whole.checked_add(nanos));
    price.filter(|price| *price <= dearest).ok_or(too_dear)
}

/// A price without loss, as [`parse_price`] reads it: at least cents, and every digit there is.
pub fn write_price(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let amount = nanos.unsigned_abs();
    let fraction = format!("{:09}", amount % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    format!("{sign}{}.{fraction:0<2}", amount / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Price;
    use crate::tariff::Tariff;
    use crate::usage::{TokenUsage, Units};

    #[test]
    fn prices() {
        for (text, nanos) in [
            ("0.15", 150_000_000),
            (" $2.50 ", 2_500_000_000),
            ("10", 10_000_000_000),
            (".5", 500_000_000),
            ("7.", 7_000_000_000),
            ("0", 0),
            ("000.000000001", 1),
            ("0.1000000000000", 100_000_000),
            ("1000000", DEAREST),
        ] {
            assert_eq!(parse_price(text), Ok(nanos), "{text}");
        }
        for text in ["", ".", "$", "1,5", "1 000", "1e3", "0x1", "1.2.3", "NaN", "٣"] {
            assert_eq!(parse_price(text), Err(PriceError::Form), "{text}");
        }
        assert_eq!(parse_price("-0.15"), Err(PriceError::Negative));
        assert_eq!(parse_price("0.0000000001"), Err(PriceError::TooFine));
        for text in ["1000000.000000001", "9223372037", "99999999999999999999999"] {
            assert_eq!(parse_price(text), Err(PriceError::TooDear(1_000_000)), "{text}");
        }
        assert_eq!(parse_unit_price("0.04"), Ok(40_000_000));
        assert_eq!(parse_unit_price("100"), Ok(DEAREST_UNIT));
        assert_eq!(parse_unit_price("100.000000001"), Err(PriceError::TooDear(100)));
        assert_eq!(parse_unit_price("-1"), Err(PriceError::Negative));
    }

    #[test]
    fn the_dearest_price_cannot_overflow_a_record() {
        let price = Price { input: DEAREST, cached_input: DEAREST, output: DEAREST };
        let most = TokenUsage { input: u32::MAX, cached_input: 0, output: u32::MAX };
        assert!(price.cost(most).is_ok());
        let heard = Tariff { second: Some(DEAREST_UNIT), ..price.into() };
        assert!(heard.cost(most, Units { images: None, audio_ms: Some(u32::MAX) }).is_ok());
        // What the gateway believes of tokens, and the pictures that fit into an answer of 64 MiB.
        let drawn = Tariff { image: Some(DEAREST_UNIT), ..heard };
        let believable = TokenUsage { input: 10_000_000, cached_input: 0, output: 10_000_000 };
        assert!(drawn.cost(believable, Units { images: Some(1 << 25), audio_ms: Some(u32::MAX) }).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..=DEAREST) {
            prop_assert_eq!(parse_price(&write_price(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,30}") {
            let _ = parse_price(&text);
        }
    }
}
