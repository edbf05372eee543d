//! What a first account is called: a name and an address part made from its owner's email address.

use domain::email::EmailAddress;

const LONGEST_SLUG: usize = 30;

/// `ada.lovelace@example.com` gives `Ada Lovelace`.
pub(super) fn name(email: &EmailAddress) -> String {
    let words =
        email.local_part().split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(capitalised).collect();
    if words.is_empty() { "My account".to_owned() } else { words.join(" ") }
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// `ada.lovelace@example.com` gives `ada-lovelace`; a `suffix` keeps two of them apart.
pub(super) fn slug(email: &EmailAddress, suffix: Option<u32>) -> String {
    let words =
        email.local_part().split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-");
    slug.truncate(LONGEST_SLUG);
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "account" } else { slug };
    suffix.map_or_else(|| slug.to_owned(), |suffix| format!("{slug}-{:05x}", suffix & 0xf_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_slugs() {
        let of = |text: &str| {
            let email = EmailAddress::parse(text).unwrap();
            (name(&email), slug(&email, None))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of("ada.lovelace+keys@example.com"), pair("Ada Lovelace Keys", "ada-lovelace-keys"));
        assert_eq!(of("a@example.com"), pair("A", "a"));
        assert_eq!(of("'-'@example.com"), pair("My account", "account"));
        let long = format!("{}@example.com", "x".repeat(64));
        assert_eq!(of(&long).1, "x".repeat(30));
        let email = EmailAddress::parse("ada@example.com").unwrap();
        assert_eq!(slug(&email, Some(0xabc_def1)), "ada-cdef1");
    }
}
