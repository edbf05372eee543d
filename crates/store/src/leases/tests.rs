use domain::limit::{Measure, Period};
use domain::money::NanoUsd;
use domain::{KeyId, RequestId};
use sqlx::PgPool;

use super::*;
use crate::accounts::tests::{TestAccount, account};
use crate::connect::as_role;
use crate::limits::{self, Standing, Subject, Terms};
use crate::usage::tests::record;
use crate::usage::{self, UsageRecord};
use crate::{TenantTx, gateways, keys};

const HERE: Uuid = Uuid::from_u128(1);
const THERE: Uuid = Uuid::from_u128(2);

/// A key with a limit, seen as the console and as a gateway.
struct Bench {
    owner: PgPool,
    console: PgPool,
    gateway: PgPool,
    acme: TestAccount,
    key: KeyId,
    limit: LimitId,
}

/// A single wish.
async fn one(gateway: &PgPool, id: Uuid, wish: Wish) -> Option<Grant> {
    take(gateway, id, &[wish]).await.unwrap()[0]
}

impl Bench {
    async fn new(pool: &PgPool, terms: Terms) -> Self {
        let acme = account(pool, "acme").await;
        let console = as_role(pool, "latchkey_console").await.unwrap();
        let gateway = as_role(pool, "latchkey_gateway").await.unwrap();
        let (key, _) = keys::tests::make_key(&console, acme, "one", 1).await.unwrap();
        usage::ensure_partitions(&gateway).await.unwrap();
        let mut bench =
            Self { owner: pool.clone(), console, gateway, acme, key, limit: LimitId(Uuid::nil()) };
        bench.limit = bench.set(terms).await;
        bench
    }

    async fn set(&self, terms: Terms) -> LimitId {
        let mut tx = TenantTx::begin(&self.console, self.acme.id).await.unwrap();
        let id = limits::put(&mut tx, Subject::Key(self.key), terms).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn take(&self, gateway: Uuid, needed: i64, wished: i64) -> Grant {
        one(&self.gateway, gateway, Wish { limit: self.limit, needed, wished }).await.unwrap()
    }

    async fn settle(&self, gateway: Uuid, grant: Grant, amounts: &[i64]) -> Vec<UsageRecord> {
        let records: Vec<UsageRecord> = amounts
            .iter()
            .map(|amount| UsageRecord {
                id: RequestId(crate::new_id()),
                cost: NanoUsd(*amount),
                charges: vec![Charge {
                    limit: self.limit,
                    starts_at: grant.starts_at,
                    epoch: grant.epoch,
                    amount: *amount,
                }],
                ..record(self.acme, self.key)
            })
            .collect();
        self.book(gateway, &records).await;
        records
    }

    async fn book(&self, gateway: Uuid, records: &[UsageRecord]) {
        let mut connection = self.gateway.acquire().await.unwrap();
        usage::settle(&mut connection, gateway, records).await.unwrap();
    }

    async fn figures(&self) -> Standing {
        let mut tx = TenantTx::begin(&self.console, self.acme.id).await.unwrap();
        let list = limits::list(&mut tx, Subject::Key(self.key)).await.unwrap();
        list[0]
    }

    async fn release(&self, gateway: Uuid) -> Option<i64> {
        let mut tx = TenantTx::begin(&self.console, self.acme.id).await.unwrap();
        let released = release(&mut tx, self.limit, gateway).await.unwrap();
        tx.commit().await.unwrap();
        released
    }

    async fn spent_reserved_excess(&self) -> (i64, i64, i64) {
        let Standing { spent, reserved, excess, .. } = self.figures().await;
        (spent, reserved, excess)
    }
}

fn terms(amount: i64) -> Terms {
    Terms { measure: Measure::Cost, amount, period: Period::Never }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_lease_is_granted_while_it_fits(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let first = bench.take(HERE, 10, 500).await;
    assert_eq!((first.granted, first.held, first.amount, first.reserved), (125, 125, 1_000, 125));
    let second = bench.take(THERE, 800, 0).await;
    assert_eq!((second.granted, second.reserved), (800, 925));
    let third = bench.take(HERE, 76, 0).await;
    assert_eq!((third.granted, third.held), (0, 125), "76 do not fit into 75");
    assert_eq!(bench.take(HERE, 75, 500).await.granted, 75);
    assert_eq!(bench.spent_reserved_excess().await, (0, 1_000, 0));
    let gone = Wish { limit: LimitId(Uuid::nil()), needed: 1, wished: 1 };
    assert_eq!(one(&bench.gateway, HERE, gone).await, None);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_settle_draws_the_lease_once(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let grant = bench.take(HERE, 400, 0).await;
    let records = bench.settle(HERE, grant, &[100, 50]).await;
    assert_eq!(bench.spent_reserved_excess().await, (150, 250, 0));
    bench.book(HERE, &records).await;
    assert_eq!(bench.spent_reserved_excess().await, (150, 250, 0), "written twice, booked once");
    let held = list_held(&bench.gateway, HERE).await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.amount).collect::<Vec<_>>(), [250]);
    assert_eq!(
        give_back(&bench.gateway, HERE, &[GiveBack { amount: 9_999, ..held[0] }], Patience::SomeTime)
            .await
            .unwrap(),
        [Some(250)]
    );
    assert_eq!(bench.spent_reserved_excess().await, (150, 0, 0));
    assert_eq!(
        give_back(&bench.gateway, HERE, &[held[0]], Patience::SomeTime).await.unwrap(),
        [Some(0)],
        "nothing is given back twice"
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_has_no_patience_is_told_what_was_skipped(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    bench.take(HERE, 400, 0).await;
    let held = list_held(&bench.gateway, HERE).await.unwrap();
    let mut other = bench.owner.begin().await.unwrap();
    sqlx::query!("SELECT limit_id FROM limit_windows FOR UPDATE").fetch_all(&mut *other).await.unwrap();
    assert_eq!(give_back(&bench.gateway, HERE, &held, Patience::None).await.unwrap(), [None]);
    other.rollback().await.unwrap();
    assert_eq!(list_held(&bench.gateway, HERE).await.unwrap(), held, "nothing has happened");
    assert_eq!(give_back(&bench.gateway, HERE, &held, Patience::None).await.unwrap(), [Some(400)]);
    let gone = GiveBack { starts_at: held[0].starts_at + time::Duration::DAY, ..held[0] };
    assert_eq!(give_back(&bench.gateway, HERE, &[gone], Patience::None).await.unwrap(), [Some(0)]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_charge_beyond_the_lease_is_booked_as_excess(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let grant = bench.take(HERE, 900, 0).await;
    bench.settle(HERE, grant, &[1_300]).await;
    assert_eq!(bench.spent_reserved_excess().await, (1_300, 0, 300));
    assert_eq!(bench.take(HERE, 1, 1).await.granted, 0, "and blocks the key");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_lowered_limit_keeps_what_was_spent(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let grant = bench.take(HERE, 600, 0).await;
    bench.settle(HERE, grant, &[500]).await;
    bench.set(terms(300)).await;
    assert_eq!(bench.spent_reserved_excess().await, (500, 100, 300));
    assert_eq!(bench.take(HERE, 1, 1).await.granted, 0);
    bench.set(terms(2_000)).await;
    assert_eq!(bench.spent_reserved_excess().await, (500, 100, 0));
    assert_eq!(bench.take(HERE, 1_400, 0).await.granted, 1_400);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_new_period_starts_a_new_window(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let old = bench.take(HERE, 600, 0).await;
    bench.set(Terms { period: Period::Daily, ..terms(1_000) }).await;
    assert_eq!(bench.spent_reserved_excess().await, (0, 0, 0));
    let new = bench.take(HERE, 100, 0).await;
    assert!(new.starts_at > old.starts_at && new.ends_at.is_some_and(|end| end > new.starts_at));
    bench.settle(HERE, old, &[500]).await;
    assert_eq!(bench.spent_reserved_excess().await, (0, 100, 0), "a late settle books to its own window");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_released_lease_is_fenced(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let old = bench.take(HERE, 600, 0).await;
    sqlx::raw_sql("UPDATE leases SET amount = 0, epoch = epoch + 1; UPDATE limit_windows SET reserved = 0")
        .execute(&bench.owner)
        .await
        .unwrap();
    assert_eq!(bench.take(THERE, 1_000, 0).await.granted, 1_000);
    bench.settle(HERE, old, &[200]).await;
    assert_eq!(
        bench.spent_reserved_excess().await,
        (200, 1_000, 200),
        "the fact is booked, beyond the amount"
    );
    let back = GiveBack { limit: bench.limit, starts_at: old.starts_at, epoch: old.epoch, amount: 400 };
    assert_eq!(give_back(&bench.gateway, HERE, &[back], Patience::SomeTime).await.unwrap(), [Some(0)]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn many_gateways_at_once_never_pass_the_amount(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let asks = (0..40_u128).map(|n| {
        let wish = Wish { limit: bench.limit, needed: 30, wished: 100 };
        let gateway = bench.gateway.clone();
        async move { one(&gateway, Uuid::from_u128(n), wish).await.unwrap().granted }
    });
    let granted: i64 = futures_util::future::join_all(asks).await.into_iter().sum();
    let (spent, reserved, excess) = bench.spent_reserved_excess().await;
    assert_eq!((spent, reserved, excess), (0, granted, 0));
    assert!((971..=1_000).contains(&granted), "{granted}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn windows_follow_the_accounts_days(pool: PgPool) {
    let window = async |period: &str, zone: &str, moment: &str| {
        sqlx::query_scalar::<_, String>(
            "SELECT to_char(starts_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI') || ' ' ||
                    to_char(ends_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
             FROM limit_window($1, '2020-01-01', $2, $3::timestamptz)",
        )
        .bind(period)
        .bind(zone)
        .bind(moment)
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    assert_eq!(window("daily", "UTC", "2026-11-21 12:00Z").await, "11-21 00:00 11-22 00:00");
    assert_eq!(window("daily", "Asia/Kolkata", "2026-11-21 20:00Z").await, "11-21 18:30 11-22 18:30");
    // 25 hours: the clocks go back in Berlin on 25 October 2026.
    assert_eq!(window("daily", "Europe/Berlin", "2026-10-25 12:00Z").await, "10-24 22:00 10-25 23:00");
    assert_eq!(window("weekly", "UTC", "2026-11-22 12:00Z").await, "11-16 00:00 11-23 00:00");
    assert_eq!(window("monthly", "UTC", "2024-02-29 12:00Z").await, "02-01 00:00 03-01 00:00");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_limit_is_policy_and_a_lease_is_not(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let version = async || crate::policy::version(&bench.gateway).await.unwrap();
    let before = version().await;
    let grant = bench.take(HERE, 10, 10).await;
    bench.settle(HERE, grant, &[5]).await;
    assert_eq!(version().await, before);
    bench.set(terms(2_000)).await;
    assert_eq!(version().await, before + 1);
    let changes = crate::policy::list_changes(&bench.gateway, before).await.unwrap();
    assert_eq!(changes.keys, [bench.key]);
    let rows = crate::policy::find_limits(&bench.gateway, &changes).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.amount).collect::<Vec<_>>(), [2_000]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn another_account_sees_no_limit(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let other = account(&pool, "other").await;
    let mut tx = TenantTx::begin(&bench.console, other.id).await.unwrap();
    assert!(limits::list(&mut tx, Subject::Key(bench.key)).await.unwrap().is_empty());
    assert!(!limits::remove(&mut tx, Subject::Key(bench.key), Measure::Cost).await.unwrap());
    let foreign = limits::put(&mut tx, Subject::Key(bench.key), terms(1)).await.unwrap_err();
    assert!(foreign.to_string().contains("foreign key"), "{foreign}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_owner_releases_what_a_silent_gateway_holds(pool: PgPool) {
    let bench =
        Bench::new(&pool, Terms { measure: Measure::Cost, amount: 1_000, period: Period::Never }).await;
    gateways::acknowledge(&bench.gateway, HERE, "here", 1).await.unwrap();
    let held = bench.take(HERE, 700, 700).await;
    assert_eq!(bench.take(THERE, 400, 400).await.granted, 0);
    assert_eq!(bench.release(HERE).await, None, "it was heard just now");
    sqlx::query!("UPDATE gateways SET heard_at = now() - interval '31 s'")
        .execute(&bench.owner)
        .await
        .unwrap();
    assert_eq!(bench.release(HERE).await, Some(700));
    assert_eq!(bench.release(HERE).await, Some(0), "there is nothing left of it");
    assert_eq!(gateways::find_fence(&bench.gateway, HERE).await.unwrap(), 1);
    assert_eq!(bench.take(THERE, 900, 900).await.granted, 900);
    // What it had served is a fact all the same, and what exceeds the limit by then is the excess.
    bench.settle(HERE, held, &[300]).await;
    assert_eq!(bench.spent_reserved_excess().await, (300, 900, 200));
    let late = GiveBack { limit: bench.limit, starts_at: held.starts_at, epoch: held.epoch, amount: 400 };
    assert_eq!(give_back(&bench.gateway, HERE, &[late], Patience::SomeTime).await.unwrap(), [Some(0)]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn many_limits_are_asked_for_at_once(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let tokens = bench.set(Terms { measure: Measure::Tokens, ..terms(100) }).await;
    let wish = |limit, needed| Wish { limit, needed, wished: 0 };
    let gone = wish(LimitId(Uuid::nil()), 1);
    let granted = async |wishes: &[Wish]| -> Vec<Option<(i64, i64)>> {
        let grants = take(&bench.gateway, HERE, wishes).await.unwrap();
        grants.into_iter().map(|grant| grant.map(|grant| (grant.granted, grant.held))).collect()
    };
    assert_eq!(
        granted(&[wish(bench.limit, 0), wish(tokens, 0)]).await,
        [None, None],
        "no window is open yet"
    );
    let first = [gone, wish(tokens, 60), wish(bench.limit, 700)];
    assert_eq!(granted(&first).await, [None, Some((60, 60)), Some((700, 700))]);
    let second = [wish(bench.limit, 200), gone, wish(tokens, 60)];
    assert_eq!(granted(&second).await, [Some((200, 900)), None, Some((0, 60))], "each by itself");
    let mut other = bench.owner.begin().await.unwrap();
    sqlx::query_scalar::<_, Uuid>("SELECT limit_id FROM limit_windows WHERE limit_id = $1 FOR UPDATE")
        .bind(tokens.0)
        .fetch_one(&mut *other)
        .await
        .unwrap();
    let ahead = [bench.limit, tokens].map(|limit| Wish { limit, needed: 0, wished: 8 });
    assert_eq!(granted(&ahead).await, [Some((8, 908)), None], "who needs nothing waits for nobody");
}

/// Two gateways settle the same limits in opposite order, while both take and give back.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn gateways_do_not_lock_each_other_out(pool: PgPool) {
    const TURNS: i64 = 40;
    let bench = Bench::new(&pool, terms(1_000_000)).await;
    let tokens = bench.set(Terms { measure: Measure::Tokens, ..terms(1_000_000) }).await;
    let limits = [bench.limit, tokens];
    let gateway = async |id: Uuid, order: [usize; 2]| {
        let mut connection = bench.gateway.acquire().await.unwrap();
        for _ in 0..TURNS {
            let wishes = order.map(|place| Wish { limit: limits[place], needed: 10, wished: 10 });
            let grants = take(&mut *connection, id, &wishes).await.unwrap();
            let charges = order.into_iter().zip(&grants).map(|(place, grant)| {
                let grant = grant.unwrap();
                assert_eq!(grant.granted, 10);
                Charge { limit: limits[place], starts_at: grant.starts_at, epoch: grant.epoch, amount: 7 }
            });
            let charges: Vec<Charge> = charges.collect();
            let batch = [UsageRecord { charges: charges.clone(), ..record(bench.acme, bench.key) }];
            assert_eq!(usage::settle(&mut connection, id, &batch).await.unwrap(), 1);
            let rest = charges.iter().map(|charge| GiveBack {
                limit: charge.limit,
                starts_at: charge.starts_at,
                epoch: charge.epoch,
                amount: 3,
            });
            let rest: Vec<GiveBack> = rest.collect();
            let given = give_back(&mut *connection, id, &rest, Patience::SomeTime).await.unwrap();
            assert_eq!(given, [Some(3), Some(3)]);
        }
    };
    futures_util::future::join(gateway(HERE, [0, 1]), gateway(THERE, [1, 0])).await;
    let mut tx = TenantTx::begin(&bench.console, bench.acme.id).await.unwrap();
    for standing in limits::list(&mut tx, Subject::Key(bench.key)).await.unwrap() {
        assert_eq!((standing.spent, standing.reserved, standing.excess), (2 * TURNS * 7, 0, 0));
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn of_a_batch_each_charge_is_drawn_as_far_as_it_is_covered(pool: PgPool) {
    let bench = Bench::new(&pool, terms(1_000)).await;
    let tokens = bench.set(Terms { measure: Measure::Tokens, ..terms(100) }).await;
    let wishes = [bench.limit, tokens].map(|limit| Wish { limit, needed: 50, wished: 50 });
    let grants = take(&bench.gateway, HERE, &wishes).await.unwrap();
    let charges = |amounts: [i64; 2]| -> Vec<Charge> {
        let charge = |((wish, grant), amount): ((&Wish, &Option<Grant>), i64)| {
            let grant = grant.unwrap();
            Charge { limit: wish.limit, starts_at: grant.starts_at, epoch: grant.epoch, amount }
        };
        wishes.iter().zip(&grants).zip(amounts).map(charge).collect()
    };
    let batch = [[20, 70], [20, 60]]
        .map(|amounts| UsageRecord { charges: charges(amounts), ..record(bench.acme, bench.key) });
    bench.book(HERE, &batch).await;
    let mut tx = TenantTx::begin(&bench.console, bench.acme.id).await.unwrap();
    let figures = limits::list(&mut tx, Subject::Key(bench.key)).await.unwrap();
    let figures = |id| figures.iter().find(|s| s.id == id).map(|s| (s.spent, s.reserved, s.excess));
    assert_eq!(figures(bench.limit), Some((40, 10, 0)));
    assert_eq!(figures(tokens), Some((130, 0, 30)));
}
