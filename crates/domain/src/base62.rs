//! Base 62 with the digits in ASCII order (0-9, A-Z, a-z), for fixed-width texts.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether `byte` is one of the 62 digits.
pub fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Writes the number `bytes` (big endian) with exactly `width` digits, most significant first. Digits beyond
/// `width` are dropped, so choose `width` with `62^width >= 256^len` where every value must stay distinct.
///
/// Long division by 62, one digit a pass: quadratic, which for 32 bytes is nothing.
pub fn encode(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let value = (remainder << 8) | u16::from(*byte);
            // Both fit: the remainder stays below 62, so the quotient is below 256.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = DIGITS[usize::from(remainder)];
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        assert_eq!(encode(&[0], 3), "000");
        assert_eq!(encode(&[61], 1), "z");
        assert_eq!(encode(&[62], 3), "010");
        assert_eq!(encode(&[0xff, 0xff, 0xff, 0xff], 6), "4gfFC3");
    }

    #[test]
    fn forty_three_digits_hold_every_256_bit_number() {
        let largest = encode(&[0xff; 32], 44);
        assert!(largest.starts_with('0'), "62^43 exceeds 2^256: {largest}");
    }
}
