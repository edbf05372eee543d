//! Times and counts as the pages show them. Always in UTC and in English; the browser makes times local.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// `2026-11-21T08:05:00Z`, for machines and for the browser's own formatting.
#[must_use]
pub fn iso(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// `21 Nov 2026, 08:05 UTC`.
#[must_use]
pub fn date_time(at: OffsetDateTime) -> String {
    let form = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
}

/// `just now`, `2 min ago`, `3 h ago`, `yesterday`, `12 days ago`, then the date.
#[must_use]
pub fn ago(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - at).whole_seconds();
    match seconds {
        ..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..172_800 => "yesterday".to_owned(),
        172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
        _ => date_time(at),
    }
}

/// `0 s`, `45 s`, `3 min`, `2 h`, `12 days`.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// `0 B`, `999 B`, `1.2 kB`, `64.0 MB`; cut, not rounded.
#[must_use]
pub fn bytes(number: i64) -> String {
    let (mut unit, mut scale) = ("B", 1);
    for larger in ["kB", "MB", "GB", "TB"] {
        if number / scale < 1_000 {
            break;
        }
        (unit, scale) = (larger, scale * 1_000);
    }
    if scale == 1 {
        format!("{number} B")
    } else {
        format!("{}.{} {unit}", number / scale, number % scale * 10 / scale)
    }
}

/// `1 204`: thousands apart by a thin space that does not break.
#[must_use]
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times() {
        let at = datetime!(2026-11-21 08:05:07.123 UTC);
        assert_eq!(iso(at), "2026-11-21T08:05:07Z");
        assert_eq!(date_time(at), "21 Nov 2026, 08:05 UTC");
        let after = |seconds| ago(at, at + time::Duration::seconds(seconds));
        assert_eq!(after(-5), "just now");
        assert_eq!(after(59), "just now");
        assert_eq!(after(125), "2 min ago");
        assert_eq!(after(7_200), "2 h ago");
        assert_eq!(after(90_000), "yesterday");
        assert_eq!(after(5 * 86_400), "5 days ago");
        assert_eq!(after(40 * 86_400), "21 Nov 2026, 08:05 UTC");
    }

    #[test]
    fn spans_and_sizes() {
        assert_eq!(
            ["0 s", "119 s", "2 min", "2 h", "2 days"],
            [-3, 119, 120, 7_200, 172_800].map(span).each_ref().map(String::as_str)
        );
        let sizes = [0, 999, 1_000, 1_299, 64_000_000, i64::MAX].map(bytes);
        assert_eq!(
            ["0 B", "999 B", "1.0 kB", "1.2 kB", "64.0 MB", "9223372.0 TB"],
            sizes.each_ref().map(String::as_str)
        );
    }

    #[test]
    fn counts() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_204), "1\u{202f}204");
        assert_eq!(count(-1_234_567), "-1\u{202f}234\u{202f}567");
    }
}
