//! Addresses in, addresses out.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::KeyId;

fn parse(text: &str) -> KeyQuery {
    KeyQuery::parse(text.split('&').filter_map(|pair| pair.split_once('=')))
}

fn again(query: &KeyQuery) -> KeyQuery {
    let parameters = query.parameters();
    KeyQuery::parse(parameters.iter().map(|(name, value)| (*name, value.as_str())))
}

const ID: &str = "01932f2a-0000-7000-8000-000000000001";

#[test]
fn nothing_asks_for_the_newest_active_keys() {
    let query = parse("");
    assert_eq!(query, KeyQuery::default());
    assert!(query.parameters().is_empty() && !query.is_narrowed());
    assert!(query.is_descending());
}

#[test]
fn what_means_nothing_is_as_if_it_were_not_there() {
    for text in [
        "status=sideways",
        "group=default",
        "env=",
        "model=",
        "ip=maybe",
        "expires=8d",
        "idle=31",
        "limits=",
        "by=me",
        "sort=colour",
        "order=down",
        "after=x",
        "before=1.2",
        "page=2",
        "key=sk-lk-",
        "nonsense=1",
        "q=%20%20",
        "after=01932f2a-0000-7000-8000-000000000001.99999999999999999999",
    ] {
        let text = text.replace("%20", " ");
        assert_eq!(parse(&text), KeyQuery::default(), "{text}");
    }
    let long = "x".repeat(201);
    assert_eq!(parse(&format!("env={long}")), KeyQuery::default());
    assert_eq!(parse(&format!("q={long}")).search.len(), 200);
}

#[test]
fn all_of_it_stands_in_the_address() {
    let text = format!(
        "q=build bot&status=near-limit&group={ID}&env=production&model=gpt-4o&permission=-&ip=yes&expires=7d&idle=90\
         &limits=no&by={ID}&sort=name&order=reversed&after={ID}.build-bot 2.0"
    );
    let query = parse(&text);
    assert_eq!(query.state, StateFilter::NearLimit);
    assert_eq!(
        (query.environment.clone(), query.permission.clone()),
        (Some(Named::One("production".to_owned())), Some(Named::None))
    );
    assert_eq!((query.addresses, query.limits, query.idle), (Some(true), Some(false), Some(Idle::Quarter)));
    let Page::After(cursor) = &query.page else { panic!("{query:?}") };
    assert_eq!(cursor.value, CursorValue::Name("build-bot 2.0".to_owned()));
    let printed: Vec<String> =
        query.parameters().iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(printed.join("&"), text);
    assert_eq!(again(&query), query);
}

#[test]
fn one_filter_is_taken_away_and_the_list_begins_anew() {
    let query = parse(&format!("q=bot&status=expired&idle=30&after={ID}.1"));
    let wider = query.without("status");
    assert_eq!((wider.state, wider.idle, wider.page), (StateFilter::Active, Some(Idle::Month), Page::First));
    assert_eq!(query.without("q").search, "");
}

#[test]
fn a_column_sorts_its_usual_way_and_then_the_other() {
    let by_name = KeyQuery::default().sorted_by(Sort::Name);
    assert!(!by_name.is_descending());
    assert!(by_name.sorted_by(Sort::Name).is_descending());
    assert!(!KeyQuery::default().sorted_by(Sort::Created).is_descending());
    assert!(by_name.sorted_by(Sort::Share).is_descending());
}

#[test]
fn of_a_mask_its_end_is_searched() {
    assert_eq!(parse("q=sk-lk-••••9f3K").search, "9f3K");
}

#[test]
fn secrets_are_known_by_their_look() {
    for secret in [
        "sk-lk-6AkSp3WsPxY71fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12PRfhc",
        "  sk-proj-abcDEF0123456789abcDEF0123456789 ",
        "Bearer 6AkSp3WsPxY71fJjkkpe9PiTw9KSulA8",
    ] {
        assert!(looks_like_secret(secret), "{secret}");
    }
    for words in
        ["", "build-bot", "9f3K", "6AkSp3WsPxY7", ID, "internationalisation_of_everything", "sk-lk-••••9f3K"]
    {
        assert!(!looks_like_secret(words), "{words}");
    }
}

proptest! {
    #[test]
    fn every_cursor_is_read_back(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000, number in any::<i16>(), name in "[^\0]{0,50}") {
        let moment = datetime!(1970-01-01 0:00 UTC) + time::Duration::microseconds(micros);
        let id: KeyId = ID.parse().unwrap();
        for (sort, value) in [
            (Sort::Used, CursorValue::Moment(Some(moment))),
            (Sort::Expires, CursorValue::Moment(None)),
            (Sort::Share, CursorValue::Number(number)),
            (Sort::Name, CursorValue::Name(name.clone())),
        ] {
            let cursor = Cursor { value, id };
            prop_assert_eq!(Cursor::parse(sort, &cursor.to_string()), Some(cursor));
        }
    }

    #[test]
    fn no_address_panics_and_each_is_read_back_as_it_was_understood(
        pairs in proptest::collection::vec(("(q|key|status|env|model|sort|order|after|page|idle)", ".{0,60}"), 0..8)
    ) {
        let query = KeyQuery::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        prop_assert_eq!(again(&query), query);
    }
}
