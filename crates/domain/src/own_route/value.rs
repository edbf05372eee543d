//! What a request may bring in the place of a value, and as its query: raw, and read in one way by everybody.

/// The longest value, in bytes.
const MAX_VALUE: usize = 256;
/// The longest query, in bytes.
const MAX_QUERY: usize = 4096;

/// Whether a raw segment of a path can be a value. What some server behind the gateway could take for another path, or
/// for the end of this one, is none: an encoded slash, dot, backslash or percent sign, a semicolon, dots alone. Of what
/// is encoded only spaces and letters beyond ASCII pass, and these only as proper UTF-8.
pub fn is_value(segment: &str) -> bool {
    if segment.is_empty() || segment.len() > MAX_VALUE {
        return false;
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let Some((byte, after)) = encoded(after) else { return false };
                if byte != b' ' && byte.is_ascii() {
                    return false;
                }
                decoded.push(byte);
                rest = after;
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,=".contains(byte) => decoded.push(*byte),
            _ => return false,
        }
    }
    // Overlong forms of an ASCII character are no UTF-8.
    let Ok(text) = std::str::from_utf8(&decoded) else { return false };
    // Some servers cut dots and spaces off, and are left with the folder or its parent.
    !text.chars().all(|c| c == '.' || c.is_whitespace()) && !text.chars().any(char::is_control)
}

/// Whether a raw query can be passed on: the characters of RFC 3986 and whole escapes, not too many of them.
pub fn is_query(query: &str) -> bool {
    if query.len() > MAX_QUERY {
        return false;
    }
    let mut rest = query.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'%' => match encoded(after) {
                Some((_, after)) => after,
                None => return false,
            },
            byte if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=/?".contains(byte) => after,
            _ => return false,
        };
    }
    true
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn encoded(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = rest.split_at_checked(2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(digits[0])? * 16 + digit(digits[1])?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values() {
        for value in ["7", "a.b", "..a", "...b", "Zo%C3%AB", "John%20Smith", "x:y@z", "a+b=c", "%E4%B8%AD"] {
            assert!(is_value(value), "{value}");
        }
        for other in [
            "",
            ".",
            "..",
            "...",
            "%2e%2e",
            ".%2e",
            "%2E",
            "a%2Fb",
            "a%2fb",
            "a%5cb",
            "a\\b",
            "a;b",
            "a%3bb",
            "a%00",
            "a%0d%0a",
            "a%252Fb",
            "a%25",
            "a%",
            "a%2",
            "a%zz",
            "%C0%AF",
            "%E0%80%AF",
            "%FF",
            "..%20",
            "%20",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            "ä",
            "a%7f",
            "%C2%85",
            "a|b",
            "a\"b",
            "%+1",
        ] {
            assert!(!is_value(other), "{other}");
        }
        assert!(is_value(&"a".repeat(MAX_VALUE)) && !is_value(&"a".repeat(MAX_VALUE + 1)));
    }

    #[test]
    fn queries() {
        for query in ["", "a=1&b=2", "q=%C3%AB+x", "path=/a/../b?c;d", "%2F"] {
            assert!(is_query(query), "{query}");
        }
        for other in ["a b", "a#b", "a%", "a%2", "a%zz", "a\"b", "<a>", "a\u{e4}", "a\r\nb", "a[0]=1|"] {
            assert!(!is_query(other), "{other}");
        }
        assert!(!is_query(&"a".repeat(MAX_QUERY + 1)));
    }

    proptest! {
        #[test]
        fn no_value_reads_as_another_path_however_often_it_is_decoded(segment in "[%a0-9fF2eE5cC./;\\\\]{1,12}") {
            if is_value(&segment) {
                let mut text = segment.into_bytes();
                for _ in 0..4 {
                    let plain = String::from_utf8_lossy(&text).into_owned();
                    prop_assert!(!plain.contains(['/', '\\', ';']) && plain != "." && plain != "..", "{plain}");
                    let mut next = Vec::new();
                    let mut rest = text.as_slice();
                    while let Some((first, after)) = rest.split_first() {
                        let (byte, after) = match (first, encoded(after)) {
                            (b'%', Some(found)) => found,
                            _ => (*first, after),
                        };
                        next.push(byte);
                        rest = after;
                    }
                    text = next;
                }
            }
        }
    }
}
