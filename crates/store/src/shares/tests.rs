use sqlx::PgPool;

use super::*;
use crate::connect::as_role;
use crate::gateways;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

struct Bench {
    owner: PgPool,
    pool: PgPool,
}

impl Bench {
    async fn new(owner: PgPool) -> Self {
        let pool = as_role(&owner, "latchkey_gateway").await.unwrap();
        Self { owner, pool }
    }

    async fn sign_in(&self, gateway: Uuid) {
        gateways::acknowledge(&self.pool, gateway, "gw", 1).await.unwrap();
    }

    async fn agree(&self, gateway: Uuid, enforced: i64) -> Membership {
        self.agree_seeing(gateway, enforced, None).await
    }

    async fn agree_seeing(&self, gateway: Uuid, enforced: i64, sees: Option<&str>) -> Membership {
        agree(&self.pool, gateway, enforced, sees).await.unwrap().unwrap()
    }

    /// Both agree by turns, going by what they were told, until the rule counts.
    async fn until_settled(&self, sees: Option<&str>) -> Membership {
        let mut membership = Membership::default();
        for _ in 0..6 {
            self.wait(25.0).await;
            for gateway in [A, B] {
                membership = self.agree_seeing(gateway, membership.epoch, sees).await;
                membership = self.agree_seeing(gateway, membership.epoch, sees).await;
            }
        }
        assert!(membership.settled, "{membership:?}");
        membership
    }

    /// As if `seconds` had gone by.
    async fn wait(&self, seconds: f64) {
        sqlx::query!("UPDATE rate_shares SET counts_from = counts_from - make_interval(secs => $1)", seconds)
            .execute(&self.owner)
            .await
            .unwrap();
        sqlx::query!("UPDATE gateways SET shares_at = shares_at - make_interval(secs => $1)", seconds)
            .execute(&self.owner)
            .await
            .unwrap();
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_is_not_signed_in_shares_nothing(pool: PgPool) {
    let bench = Bench::new(pool).await;
    assert_eq!(agree(&bench.pool, A, 0, None).await.unwrap(), None);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_first_gateway_has_everything_at_once(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    let alone = bench.agree(A, 0).await;
    assert_eq!((alone.members.as_slice(), alone.settled), ([A].as_slice(), true));
    // And again after a restart, however long that took.
    bench.wait(200.0).await;
    assert_eq!(bench.agree(A, 0).await, alone);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_second_gateway_shares_when_the_first_has_agreed_and_a_minute_has_passed(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    let alone = bench.agree(A, 0).await;
    bench.agree(A, alone.epoch).await;
    bench.sign_in(B).await;
    let joining = bench.agree(B, 0).await;
    assert_eq!(
        (joining.members.as_slice(), joining.previous.as_slice()),
        ([A, B].as_slice(), [A].as_slice())
    );
    // B goes by it, A does not yet: no minute begins.
    assert!(!bench.agree(B, joining.epoch).await.settled);
    bench.wait(25.0).await;
    assert!(!bench.agree(B, joining.epoch).await.settled);
    assert!(!bench.agree(A, alone.epoch).await.settled);
    // Now both do, and the minute begins.
    assert!(!bench.agree(A, joining.epoch).await.settled);
    for _ in 0..2 {
        bench.wait(28.0).await;
        assert!(!bench.agree(A, joining.epoch).await.settled);
        assert!(!bench.agree(B, joining.epoch).await.settled);
    }
    bench.wait(6.0).await;
    let shared = bench.agree(A, joining.epoch).await;
    assert_eq!((shared.epoch, shared.settled), (joining.epoch, true));
    assert!(bench.agree(B, joining.epoch).await.settled);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_share_of_a_silent_gateway_is_free_after_its_last_minute(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    bench.sign_in(B).await;
    bench.agree(A, 0).await;
    let both = bench.agree(B, 0).await;
    bench.agree(A, both.epoch).await;
    bench.agree(B, both.epoch).await;
    bench.agree(A, both.epoch).await;
    for _ in 0..3 {
        bench.wait(25.0).await;
        bench.agree(A, both.epoch).await;
        bench.agree(B, both.epoch).await;
    }
    // B falls silent.
    bench.wait(31.0).await;
    let left = bench.agree(A, both.epoch).await;
    assert_eq!(
        (left.members.as_slice(), left.previous.as_slice(), left.settled),
        ([A].as_slice(), [A, B].as_slice(), false)
    );
    assert!(!bench.agree(A, left.epoch).await.settled);
    bench.wait(29.0).await;
    assert!(!bench.agree(A, left.epoch).await.settled);
    bench.wait(29.0).await;
    bench.agree(A, left.epoch).await;
    bench.wait(4.0).await;
    assert!(bench.agree(A, left.epoch).await.settled);
    // It returns: another change, and nothing of it is B's before that has settled.
    let back = bench.agree(B, both.epoch).await;
    assert_eq!(
        (back.members.as_slice(), back.previous.as_slice(), back.settled),
        ([A, B].as_slice(), [A].as_slice(), false)
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_gateway_that_restarts_is_still_the_only_one(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    let alone = bench.agree(A, 0).await;
    gateways::stop(&bench.pool, A).await.unwrap();
    // It may ask for its share before it has signed in again.
    assert_eq!(bench.agree(A, 0).await, alone);
}

const R: Option<&str> = Some("run-1:token-1");
const OTHER: Option<&str> = Some("run-1:token-2");

fn key(n: u128) -> domain::KeyId {
    domain::KeyId(Uuid::from_u128(n))
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_first_gateway_counts_in_redis_at_once_and_others_join_at_once(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    bench.sign_in(B).await;
    let alone = bench.agree_seeing(A, 0, R).await;
    assert_eq!((alone.redis.as_deref(), alone.settled, alone.others_serve), (R, true, false));
    let both = bench.agree_seeing(B, 0, R).await;
    assert_eq!((both.epoch, both.members.as_slice()), (alone.epoch, [A, B].as_slice()));
    assert_eq!((both.redis.as_deref(), both.settled, both.others_serve), (R, true, true));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn redis_counts_alone_only_after_a_minute_of_counting_beside_the_shares(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    bench.sign_in(B).await;
    bench.agree(A, 0).await;
    let split = bench.until_settled(None).await;
    assert_eq!((split.redis, split.members.len()), (None, 2));
    // One of two sees it: nothing changes.
    assert_eq!(bench.agree_seeing(A, split.epoch, R).await.epoch, split.epoch);
    let joint = bench.agree_seeing(B, split.epoch, R).await;
    assert_eq!((joint.redis.as_deref(), joint.previous_redis.as_deref(), joint.settled), (R, None, false));
    assert!(!joint.wants_counts());
    bench.agree_seeing(A, joint.epoch, R).await;
    bench.agree_seeing(B, joint.epoch, R).await;
    for _ in 0..2 {
        bench.wait(28.0).await;
        assert!(!bench.agree_seeing(A, joint.epoch, R).await.settled);
        assert!(!bench.agree_seeing(B, joint.epoch, R).await.settled);
    }
    bench.wait(6.0).await;
    assert!(bench.agree_seeing(A, joint.epoch, R).await.settled);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_redis_that_is_lost_before_it_counts_alone_leaves_the_shares_as_they_were(pool: PgPool) {
    for lost in [None, OTHER] {
        sqlx::raw_sql(
            "TRUNCATE gateways; UPDATE rate_shares SET members = '{}', redis = NULL, counts_from = now()",
        )
        .execute(&pool)
        .await
        .unwrap();
        let bench = Bench::new(pool.clone()).await;
        bench.sign_in(A).await;
        bench.sign_in(B).await;
        bench.agree(A, 0).await;
        let split = bench.until_settled(None).await;
        bench.agree_seeing(A, split.epoch, R).await;
        let joint = bench.agree_seeing(B, split.epoch, R).await;
        assert_eq!(joint.redis.as_deref(), R);
        let back = bench.agree_seeing(B, split.epoch, lost).await;
        assert_eq!((back.redis, back.members, back.settled), (None, split.members, true), "{lost:?}");
        assert!(back.epoch > joint.epoch);
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_lost_redis_is_followed_by_shares_of_what_all_have_told(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    bench.sign_in(B).await;
    let counted = bench.agree_seeing(A, 0, R).await;
    bench.agree_seeing(B, counted.epoch, R).await;
    bench.agree_seeing(A, counted.epoch, R).await;
    let lost = bench.agree_seeing(B, counted.epoch, None).await;
    assert_eq!((lost.redis.as_deref(), lost.previous_redis.as_deref(), lost.settled), (None, R, false));
    assert!(lost.wants_counts());
    tell(&bench.pool, B, lost.epoch, &[(key(1), 4), (key(2), 1)]).await.unwrap();
    assert!(!bench.agree_seeing(B, lost.epoch, None).await.told, "A has not told yet");
    assert!(bench.agree_seeing(A, counted.epoch, R).await.wants_counts());
    tell(&bench.pool, A, lost.epoch, &[(key(1), 3)]).await.unwrap();
    // What was told stays, whatever a gateway says after a restart.
    tell(&bench.pool, A, lost.epoch, &[(key(1), 1)]).await.unwrap();
    tell(&bench.pool, A, lost.epoch, &[]).await.unwrap();
    let told = bench.agree_seeing(A, lost.epoch, R).await;
    assert!(told.told && !told.settled && !told.wants_counts());
    let mut counts = list_told(&bench.pool, lost.epoch).await.unwrap();
    counts.sort_by_key(|count| count.admitted);
    assert_eq!(counts, [Count { key: key(2), admitted: 1 }, Count { key: key(1), admitted: 7 }]);
    for _ in 0..2 {
        bench.wait(28.0).await;
        bench.agree_seeing(A, lost.epoch, None).await;
        assert!(!bench.agree_seeing(B, lost.epoch, None).await.settled);
    }
    bench.wait(6.0).await;
    assert!(bench.agree_seeing(A, lost.epoch, None).await.settled);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn nothing_is_shared_early_when_somebody_is_silent(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    bench.sign_in(B).await;
    let counted = bench.agree_seeing(A, 0, R).await;
    bench.agree_seeing(B, counted.epoch, R).await;
    // B falls silent, and then an emptied Redis is seen.
    bench.wait(31.0).await;
    let lost = bench.agree_seeing(A, counted.epoch, OTHER).await;
    assert_eq!((lost.redis.as_deref(), lost.settled), (None, false), "never from one Redis to another");
    tell(&bench.pool, A, lost.epoch, &[]).await.unwrap();
    let waiting = bench.agree_seeing(A, lost.epoch, OTHER).await;
    assert!(!waiting.told && !waiting.settled, "B may have admitted what nobody knows");
    for _ in 0..2 {
        bench.wait(28.0).await;
        assert!(!bench.agree_seeing(A, lost.epoch, OTHER).await.settled);
    }
    bench.wait(6.0).await;
    // Counted out; and now the other Redis may be counted in, beside the share at first.
    let next = bench.agree_seeing(A, lost.epoch, OTHER).await;
    assert_eq!((next.redis.as_deref(), next.previous_redis.as_deref(), next.settled), (OTHER, None, false));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn after_a_minute_of_rest_any_rule_counts_at_once(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.sign_in(A).await;
    let counted = bench.agree_seeing(A, 0, R).await;
    bench.wait(92.0).await;
    let split = bench.agree_seeing(A, 0, None).await;
    assert_eq!((split.redis.as_deref(), split.settled), (None, true));
    bench.wait(92.0).await;
    let again = bench.agree_seeing(A, 0, OTHER).await;
    assert_eq!((again.redis.as_deref(), again.settled), (OTHER, true));
    assert!(again.epoch > counted.epoch);
}
