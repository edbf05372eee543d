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
        agree(&self.pool, gateway, enforced).await.unwrap().unwrap()
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
    assert_eq!(agree(&bench.pool, A, 0).await.unwrap(), None);
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
