use domain::limit::Measure;
use domain::refusal::LimitKind;
use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const IDLE_AFTER: Duration = Duration::from_mins(1);
const LIMIT: LimitId = LimitId(Uuid::nil());

fn need(purse: &Arc<Purse>, amount: i64) -> Need {
    let terms = Terms {
        id: LIMIT,
        kind: LimitKind::Cost,
        measure: Measure::Cost,
        amount: 1_000,
        used_up: false,
        ends_at: None,
    };
    Need { purse: purse.clone(), terms, amount }
}

/// One that holds 300 of a window that ends then.
fn purse(ends_at: Option<OffsetDateTime>) -> Arc<Purse> {
    let purse = Purse::new(LIMIT, IDLE_AFTER);
    let grant = Grant {
        granted: 300,
        held: 300,
        epoch: 0,
        starts_at: NOW - time::Duration::HOUR,
        ends_at,
        amount: 1_000,
        spent: 0,
        reserved: 300,
    };
    purse.receive(Wish { limit: LIMIT, needed: 100, wished: 300 }, grant);
    Arc::new(purse)
}

/// What goes back `after` the purse was used by a request.
fn idle(purse: &Purse, after: Duration, now: OffsetDateTime) -> Vec<i64> {
    let at = purse.lock().used_at + after;
    if !purse.has_idle(at, now) {
        return Vec::new();
    }
    purse.take_idle(at, now).into_iter().map(|back| back.amount).collect()
}

#[test]
fn a_key_used_again_within_a_minute_asks_nobody() {
    let purse = purse(None);
    purse.lock().last_need = 100;
    assert!(idle(&purse, Duration::from_secs(20), NOW).is_empty());
    assert!(idle(&purse, Duration::from_secs(59), NOW).is_empty());
    assert!(!purse.may_grow(&need(&purse, 300), NOW), "all of it is here");
    assert_eq!(idle(&purse, IDLE_AFTER, NOW), [300]);
    assert!(purse.may_grow(&need(&purse, 1), NOW));
}

#[test]
fn what_others_need_and_what_is_over_goes_back_at_once() {
    let recalled = purse(None);
    recalled.lock().last_need = 100;
    assert_eq!(recalled.take_recalled().len(), 1);
    let over = purse(Some(NOW));
    over.lock().last_need = 100;
    assert_eq!(idle(&over, Duration::ZERO, NOW), [300]);
}
