//! Leases and reservations against a real database: several gateways, many workers, and not one unit too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::decision::{
    self, AccountPolicy, Admission, Billing, Credential, Demand, Denial, Facts, GroupPolicy, KeyPolicy,
    LimitRoom, Model, SecretState, Transport,
};
use domain::key::KeyStatus;
use domain::limit::{Measure, Period};
use domain::money::NanoUsd;
use domain::refusal::{LimitKind, LimitReached, Refusal};
use domain::rule::{AddressRule, Allow};
use domain::{KeyId, LimitId, RequestId};
use gateway::limits::rates::Rates;
use gateway::limits::{Limits, Reservation, Terms};
use store::accounts::BillingMode;
use store::connect::as_role;
use store::limits::{self, Standing, Subject};
use store::usage::{self, Charge, UsageRecord};
use store::{PgPool, TenantTx, gateways, leases};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::harness::{TestAccount, eventually, make_key, open_account};

/// Long after any window began and before it ends: these limits never reset.
const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A test waits for it.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// One key with one cost limit.
struct Bench {
    owner: PgPool,
    pool: PgPool,
    console: PgPool,
    account: TestAccount,
    key: KeyId,
    terms: Terms,
}

impl Bench {
    async fn new(owner: PgPool, amount: i64) -> Self {
        let account = open_account(&owner, "acme", BillingMode::Invoiced).await;
        let console = as_role(&owner, "latchkey_console").await.unwrap();
        let key = make_key(&console, account, "one").await.id;
        let pool = as_role(&owner, "latchkey_gateway").await.unwrap();
        usage::ensure_partitions(&pool).await.unwrap();
        let set = limits::Terms { measure: Measure::Cost, amount, period: Period::Never };
        let mut tx = TenantTx::begin(&console, account.id).await.unwrap();
        let id = limits::put(&mut tx, Subject::Key(key), set).await.unwrap();
        tx.commit().await.unwrap();
        let terms = Terms {
            id,
            kind: LimitKind::Cost,
            measure: Measure::Cost,
            amount,
            used_up: false,
            ends_at: None,
        };
        Self { owner, pool, console, account, key, terms }
    }

    fn gateway(&self, number: u128) -> Arc<Limits> {
        let id = Uuid::from_u128(number);
        let rates = Rates::new(self.pool.clone(), id, None);
        Arc::new(Limits::new(self.pool.clone(), id, rates, IDLE_AFTER))
    }

    async fn owner_execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.owner).await.unwrap();
    }

    async fn figures(&self) -> Standing {
        let mut tx = TenantTx::begin(&self.console, self.account.id).await.unwrap();
        limits::list(&mut tx, Subject::Key(self.key)).await.unwrap()[0]
    }

    async fn book(&self, gateway: u128, charges: Vec<Charge>) {
        let record = UsageRecord {
            id: RequestId(store::new_id()),
            account_id: self.account.id,
            key_id: self.key,
            public_id: "public".to_owned(),
            group_id: self.account.group,
            environment: None,
            created_by: self.account.owner,
            model: "m".to_owned(),
            route: "/v1/chat/completions".to_owned(),
            status: 200,
            streamed: false,
            usage: domain::usage::TokenUsage::default(),
            units: domain::usage::Units::default(),
            cost: NanoUsd(charges.iter().map(|charge| charge.amount).sum()),
            price: domain::money::Price::default(),
            price_per_image: None,
            price_per_second: None,
            price_per_call: None,
            estimated: false,
            interrupted: false,
            client: "203.0.113.9".parse().unwrap(),
            started_at: NOW,
            first_byte_us: None,
            duration_us: 1,
            charges,
        };
        let mut connection = self.pool.acquire().await.unwrap();
        usage::settle(&mut connection, Uuid::from_u128(gateway), &[record]).await.unwrap();
    }
}

/// Only the last step counts here; the others have tests of their own.
fn fits(rooms: &[LimitRoom]) -> Result<Admission, Denial> {
    let key = KeyPolicy {
        status: KeyStatus::Enabled,
        expires_at: None,
        addresses: AddressRule::default(),
        permissions: Allow::Any,
        models: Allow::Any,
    };
    decision::decide(&Facts {
        transport: Transport::Accepted,
        credential: Credential::Known(&key, SecretState::Current),
        account: AccountPolicy { suspended: false, billing: Billing::Active },
        group: &GroupPolicy::default(),
        client: "203.0.113.9".parse().unwrap(),
        now: NOW,
        demand: Demand { permission: "chat:read", model: Model::None },
        rate: None,
        limits: rooms,
    })
}

async fn reserve(limits: &Limits, terms: &[Terms], worst: i64) -> Result<Reservation, Refusal> {
    limits.reserve(terms, |_| worst, NOW, fits).await.map(|(_, reservation)| reservation)
}

/// Settles a reservation with `amount` under each of its limits.
fn consume(reservation: Reservation, amount: i64) -> Vec<Charge> {
    let charge = |part: &gateway::spool::record::Reserved| Charge {
        limit: part.limit,
        starts_at: OffsetDateTime::from_unix_timestamp_nanos(part.starts_at.into()).unwrap(),
        epoch: part.epoch,
        amount,
    };
    let charges: Vec<Charge> = reservation.reserved().iter().map(charge).collect();
    reservation.settle(&charges);
    charges
}

fn is_spent(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::LimitReached(LimitReached { reserved: false, .. }))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_not_consumed_comes_back(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    let first = reserve(&limits, &[bench.terms], 600).await.unwrap();
    let second = reserve(&limits, &[bench.terms], 600).await.unwrap_err();
    assert!(matches!(second, Refusal::LimitReached(LimitReached { reserved: true, .. })), "{second:?}");
    drop(first);
    let again = reserve(&limits, &[bench.terms], 600).await.unwrap();
    let charges = consume(again, 250);
    bench.book(1, charges.clone()).await;
    limits.booked(&charges);
    assert_eq!((bench.figures().await.spent, bench.figures().await.reserved), (250, 350));
    let whole = reserve(&limits, &[bench.terms], 750).await.unwrap();
    assert_eq!(whole.reserved()[0].amount, 750);
    assert!(reserve(&limits, &[bench.terms], 1).await.is_err());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_charge_beyond_the_reservation_blocks_at_once(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    let lying = reserve(&limits, &[bench.terms], 100).await.unwrap();
    let charges = consume(lying, 5_000);
    let blocked = reserve(&limits, &[bench.terms], 1).await.unwrap_err();
    assert!(matches!(blocked, Refusal::LimitReached(_)), "{blocked:?}");
    bench.book(1, charges.clone()).await;
    limits.booked(&charges);
    let figures = bench.figures().await;
    assert_eq!((figures.spent, figures.excess), (5_000, 4_000 + figures.reserved));
    limits.give_back_all().await.unwrap();
    let other = bench.gateway(2);
    assert!(is_spent(&reserve(&other, &[bench.terms], 1).await.unwrap_err()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn of_two_limits_both_or_neither(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    let gone = Terms { id: LimitId(Uuid::nil()), kind: LimitKind::Group, ..bench.terms };
    let refused = reserve(&limits, &[bench.terms, gone], 400).await.unwrap_err();
    assert!(matches!(
        refused,
        Refusal::LimitReached(LimitReached { kind: LimitKind::Group, .. }) | Refusal::Overloaded
    ));
    let all = reserve(&limits, &[bench.terms], 1_000).await;
    assert!(all.is_ok(), "nothing stayed reserved: {:?}", all.map(|_| ()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_a_database_there_is_no_lease_and_no_yes(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    let held = reserve(&limits, &[bench.terms], 500).await.unwrap();
    bench.pool.close().await;
    drop(held);
    assert!(reserve(&limits, &[bench.terms], 500).await.is_ok(), "what is leased may be used");
    assert_eq!(reserve(&limits, &[bench.terms], 501).await.unwrap_err(), Refusal::PolicyUnavailable);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn idle_leases_go_back(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    drop(reserve(&limits, &[bench.terms], 900).await.unwrap());
    // It is kept a moment for the next request, and then not.
    let _ = limits.give_back_idle(NOW).await;
    assert_eq!(bench.figures().await.reserved, 900);
    eventually("it is given back", || async {
        let _ = limits.give_back_idle(NOW).await;
        (bench.figures().await.reserved == 0).then_some(())
    })
    .await;
    assert!(reserve(&bench.gateway(2), &[bench.terms], 1_000).await.is_ok());
}

/// Many workers on three gateways spend one limit to its end, each consuming part of its worst case.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn three_gateways_never_spend_a_unit_too_many(pool: PgPool) {
    const AMOUNT: i64 = 100_000;
    const WORST: i64 = 900;
    let bench = Arc::new(Bench::new(pool, AMOUNT).await);
    let consumed = Arc::new(AtomicI64::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 1..=3 {
        let limits = bench.gateway(number);
        for seed in 0..8_i64 {
            let (bench, limits, consumed) = (bench.clone(), limits.clone(), consumed.clone());
            workers.spawn(async move {
                for turn in 0..400_i64 {
                    let worst = 1 + (seed * 131 + turn * 71) % WORST;
                    match reserve(&limits, &[bench.terms], worst).await {
                        Ok(reservation) => {
                            tokio::task::yield_now().await;
                            let actual = worst * (1 + (seed + turn) % 4) / 4;
                            let charges = consume(reservation, actual);
                            consumed.fetch_add(actual, Ordering::Relaxed);
                            bench.book(number, charges.clone()).await;
                            limits.booked(&charges);
                        }
                        Err(refusal) if is_spent(&refusal) => return,
                        Err(_) => {
                            let _ = limits.give_back_idle(NOW).await;
                            tokio::task::yield_now().await;
                        }
                    }
                }
            });
        }
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    for number in 1..=3 {
        bench.gateway(number).give_back_all().await.unwrap();
    }
    let Standing { spent, reserved, excess, .. } = bench.figures().await;
    assert_eq!((spent, reserved, excess), (consumed.load(Ordering::Relaxed), 0, 0));
    assert!(spent <= AMOUNT, "{spent}");
    assert!(AMOUNT - spent <= (AMOUNT / 20).max(WORST), "{} is left unused", AMOUNT - spent);
}

/// The database grants, and the gateway never hears of it: what it holds without knowing is found and goes back.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_grant_whose_answer_was_lost_is_found_again(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let limits = bench.gateway(1);
    // The client leaves while the database is asked, and the answer finds nobody.
    let terms = [bench.terms];
    let mut asking = Box::pin(reserve(&limits, &terms, 900));
    let waker = std::task::Waker::noop();
    while bench.figures().await.reserved == 0 {
        if asking.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready() {
            break;
        }
    }
    drop(asking);
    assert_eq!(bench.figures().await.reserved, 900);
    eventually("it is found", || async {
        let _ = limits.give_back_idle(NOW).await;
        (bench.figures().await.reserved == 0).then_some(())
    })
    .await;
    assert!(reserve(&bench.gateway(2), &[bench.terms], 1_000).await.is_ok());
}

/// What one gateway holds and does not use goes to the one that needs it, without a wait for idleness.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_another_gateway_needs_is_recalled(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let (holder, other) = (bench.gateway(1), bench.gateway(2));
    let listening = tokio::spawn(holder.clone().follow_recalls());
    let held = reserve(&holder, &[bench.terms], 900).await.unwrap();
    assert!(reserve(&other, &[bench.terms], 200).await.is_err());
    drop(held);
    eventually("it is granted to the other", || async { reserve(&other, &[bench.terms], 200).await.ok() })
        .await;
    listening.abort();
}

/// A gateway that comes back from silence looks at its leases before it uses them: an owner may have released them.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_released_lease_is_not_used_by_the_gateway_that_returns(pool: PgPool) {
    let bench = Bench::new(pool, 1_000).await;
    let (silent, other) = (bench.gateway(1), bench.gateway(2));
    gateways::acknowledge(&bench.pool, Uuid::from_u128(1), "silent", 1).await.unwrap();
    let running = reserve(&silent, &[bench.terms], 300).await.unwrap();
    drop(reserve(&silent, &[bench.terms], 500).await.unwrap());
    bench.owner_execute("UPDATE gateways SET heard_at = now() - interval '31 s'").await;
    let mut tx = TenantTx::begin(&bench.console, bench.account.id).await.unwrap();
    assert_eq!(leases::release(&mut tx, bench.terms.id, Uuid::from_u128(1)).await.unwrap(), Some(800));
    tx.commit().await.unwrap();
    let theirs = reserve(&other, &[bench.terms], 900).await.unwrap();
    let fence = gateways::find_fence(&bench.pool, Uuid::from_u128(1)).await.unwrap();
    silent.heed_fence(fence).await.unwrap();
    assert!(reserve(&silent, &[bench.terms], 200).await.is_err(), "the others have it now");
    // What ran meanwhile is booked, and what they spend too: the sum is a fact.
    bench.book(1, consume(running, 300)).await;
    bench.book(2, consume(theirs, 900)).await;
    let figures = bench.figures().await;
    assert_eq!((figures.spent, figures.excess), (1_200, 200));
}
