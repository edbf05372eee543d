//! Leases: the part of a limit's window that one gateway holds, so that it can admit requests without asking.

use std::collections::BTreeMap;

use domain::LimitId;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::TenantTx;
use crate::usage::Charge;

/// The channel on which a limit is named of which a gateway has found nothing left while others hold leases.
pub const RECALLS: &str = "latchkey_recalls";

/// What a gateway asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// The limit.
    pub limit: LimitId,
    /// The least that helps: less is not granted.
    pub needed: i64,
    /// What would spare further asking.
    pub wished: i64,
}

/// The answer, with the figures after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// How much was added to the lease; 0 where `needed` did not fit.
    pub granted: i64,
    /// What the lease holds now.
    pub held: i64,
    /// The lease's epoch.
    pub epoch: i64,
    /// The window's beginning, which names it.
    pub starts_at: OffsetDateTime,
    /// Its end; `None` is never.
    pub ends_at: Option<OffsetDateTime>,
    /// The limit's amount.
    pub amount: i64,
    /// Settled in this window.
    pub spent: i64,
    /// Held by all gateways.
    pub reserved: i64,
}

impl Grant {
    /// What the window has left, beside what is leased.
    pub const fn left(&self) -> i64 {
        self.amount.saturating_sub(self.spent).saturating_sub(self.reserved)
    }
}

/// Takes a lease of `gateway` on the present window of each wish's limit, or adds to it, as one conditional statement
/// for all of them: what is spent and what is reserved never pass an amount together. `wishes` are of different limits;
/// the answers are in the same order, `None` where the limit is gone, and where nothing was needed of any of them and
/// somebody is at work on this one's window.
pub async fn take(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    wishes: &[Wish],
) -> sqlx::Result<Vec<Option<Grant>>> {
    let limits: Vec<Uuid> = wishes.iter().map(|wish| wish.limit.0).collect();
    let needed: Vec<i64> = wishes.iter().map(|wish| wish.needed).collect();
    let most: Vec<i64> = wishes.iter().map(|wish| wish.wished).collect();
    let answers = sqlx::query!(
        r#"SELECT place AS "place!", granted AS "granted!", held AS "held!", epoch AS "epoch!",
                  starts_at AS "starts_at!", ends_at, amount AS "amount!", spent AS "spent!", reserved AS "reserved!"
           FROM take_leases($1, $2, $3, $4)"#,
        gateway,
        &limits,
        &needed,
        &most,
    )
    .fetch_all(db)
    .await?;
    let mut grants = vec![None; wishes.len()];
    for found in answers {
        if let Some(grant) = place_in(&mut grants, found.place) {
            *grant = Some(Grant {
                granted: found.granted,
                held: found.held,
                epoch: found.epoch,
                starts_at: found.starts_at,
                ends_at: found.ends_at,
                amount: found.amount,
                spent: found.spent,
                reserved: found.reserved,
            });
        }
    }
    Ok(grants)
}

/// A lease, or part of one, on its way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GiveBack {
    /// The limit.
    pub limit: LimitId,
    /// The window.
    pub starts_at: OffsetDateTime,
    /// The lease's epoch.
    pub epoch: i64,
    /// How much.
    pub amount: i64,
}

/// What to do about a window that somebody else is at work on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Leave it for another time.
    None,
    /// Wait for a second at most.
    SomeTime,
}

/// Gives back at most what each lease holds, all in one statement, and says how much that was: 0 for a lease that is
/// gone or was released, and where patience did not last; `None` where without patience a window was skipped and nothing
/// has happened.
pub async fn give_back(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    leases: &[GiveBack],
    patience: Patience,
) -> sqlx::Result<Vec<Option<i64>>> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let limits: Vec<Uuid> = leases.iter().map(|back| back.limit.0).collect();
    let windows: Vec<OffsetDateTime> = leases.iter().map(|back| back.starts_at).collect();
    let amounts: Vec<i64> = leases.iter().map(|back| back.amount).collect();
    let epochs: Vec<i64> = leases.iter().map(|back| back.epoch).collect();
    let answers = sqlx::query!(
        r#"SELECT place AS "place!", given FROM return_leases($1, $2, $3, $4, $5, $6)"#,
        gateway,
        &limits,
        &windows,
        &amounts,
        &epochs,
        patience == Patience::SomeTime,
    )
    .fetch_all(db)
    .await?;
    let mut given = vec![Some(0); leases.len()];
    for found in answers {
        if let Some(place) = place_in(&mut given, found.place) {
            *place = found.given;
        }
    }
    Ok(given)
}

/// What stands at the place that the database calls `place`: it counts from 1.
fn place_in<T>(list: &mut [T], place: i64) -> Option<&mut T> {
    list.get_mut(usize::try_from(place - 1).ok()?)
}

/// What a gateway holds of one limit, whatever it believes itself: after an answer that did not come. Waits for what is
/// still being committed: that may be the answer.
pub async fn list_held_of(
    db: impl PgExecutor<'_>,
    gateway: Uuid,
    limit: LimitId,
) -> sqlx::Result<Vec<GiveBack>> {
    sqlx::query_as!(
        GiveBack,
        r#"SELECT limit_id AS "limit: LimitId", starts_at, epoch, amount FROM leases
           WHERE gateway_id = $1 AND limit_id = $2 AND amount > 0
           ORDER BY starts_at FOR UPDATE"#,
        gateway,
        limit as LimitId,
    )
    .fetch_all(db)
    .await
}

/// Releases what a gateway holds of a limit of the transaction's account, for an owner. Gives how much that was;
/// `None` where the gateway was heard within the last 30 s and may be using it.
pub async fn release(tx: &mut TenantTx, limit: LimitId, gateway: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT release_lease($1, $2)", limit as LimitId, gateway)
        .fetch_one(tx.connection())
        .await
}

/// Every lease of a gateway that holds anything, in the order of their limits: at start, what its last life has left.
pub async fn list_held(db: impl PgExecutor<'_>, gateway: Uuid) -> sqlx::Result<Vec<GiveBack>> {
    sqlx::query_as!(
        GiveBack,
        r#"SELECT limit_id AS "limit: LimitId", starts_at, epoch, amount FROM leases
           WHERE gateway_id = $1 AND amount > 0 ORDER BY limit_id, starts_at"#,
        gateway,
    )
    .fetch_all(db)
    .await
}

/// Books charges of new ledger rows: out of the lease where that is still this gateway's, and into the window's spent
/// in any case. What then exceeds the amount is the window's excess. In the ledger's transaction, and at its end: the
/// windows are locked until it is over.
pub(crate) async fn draw(
    connection: &mut PgConnection,
    gateway: Uuid,
    charges: impl Iterator<Item = Charge>,
) -> sqlx::Result<()> {
    // One for each lease, and in one order, so that two gateways that settle the same limits cannot lock each other out.
    let mut sums = BTreeMap::<(LimitId, OffsetDateTime, i64), i64>::new();
    for Charge { limit, starts_at, epoch, amount } in charges {
        let sum = sums.entry((limit, starts_at, epoch)).or_default();
        *sum = sum.saturating_add(amount);
    }
    if sums.is_empty() {
        return Ok(());
    }
    let charges: Vec<Charge> = sums
        .into_iter()
        .map(|((limit, starts_at, epoch), amount)| Charge { limit, starts_at, epoch, amount })
        .collect();
    let covered = draw_covered(connection, gateway, &charges).await?;
    if covered.len() == charges.len() {
        return Ok(());
    }
    let mut rest: Vec<Option<Charge>> = charges.into_iter().map(Some).collect();
    for place in covered {
        if let Some(charge) = place_in(&mut rest, place) {
            *charge = None;
        }
    }
    draw_the_rest(connection, gateway, &rest.into_iter().flatten().collect::<Vec<_>>()).await
}

/// Locks all windows of `charges` and books those that their lease covers. Gives their places.
async fn draw_covered(
    connection: &mut PgConnection,
    gateway: Uuid,
    charges: &[Charge],
) -> sqlx::Result<Vec<i64>> {
    let Columns { limits, windows, epochs, amounts } = Columns::of(charges);
    sqlx::query_scalar!(
        r#"SELECT place AS "place!" FROM draw_leases($1, $2, $3, $4, $5) AS place"#,
        gateway,
        &limits,
        &windows,
        &epochs,
        &amounts,
    )
    .fetch_all(connection)
    .await
}

/// Books charges that their lease does not cover, be it that an upstream has charged beyond its cap or that the lease
/// was released. Their windows are locked.
async fn draw_the_rest(connection: &mut PgConnection, gateway: Uuid, charges: &[Charge]) -> sqlx::Result<()> {
    let Columns { limits, windows, epochs, amounts } = Columns::of(charges);
    sqlx::query!(
        "WITH charged AS (
             SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[])
                 AS charge (limit_id, starts_at, epoch, amount)
         ), drawn AS (
             SELECT limit_id, starts_at, epoch, least(l.amount, c.amount) AS amount
             FROM charged c JOIN leases l USING (limit_id, starts_at, epoch) WHERE l.gateway_id = $5
         ), leased AS (
             UPDATE leases l SET amount = l.amount - d.amount, touched_at = now()
             FROM drawn d
             WHERE l.limit_id = d.limit_id AND l.starts_at = d.starts_at AND l.gateway_id = $5
         ), moved AS (
             SELECT c.limit_id, c.starts_at, sum(c.amount)::bigint AS spent,
                    coalesce(sum(d.amount), 0)::bigint AS drawn
             FROM charged c LEFT JOIN drawn d USING (limit_id, starts_at, epoch)
             GROUP BY c.limit_id, c.starts_at
         )
         UPDATE limit_windows w
         SET spent = w.spent + m.spent, reserved = w.reserved - m.drawn,
             excess = greatest(w.excess, w.spent + m.spent + w.reserved - m.drawn - w.amount)
         FROM moved m WHERE w.limit_id = m.limit_id AND w.starts_at = m.starts_at",
        &limits,
        &windows,
        &epochs,
        &amounts,
        gateway,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Charges as arrays.
struct Columns {
    limits: Vec<Uuid>,
    windows: Vec<OffsetDateTime>,
    epochs: Vec<i64>,
    amounts: Vec<i64>,
}

impl Columns {
    fn of(charges: &[Charge]) -> Self {
        Self {
            limits: charges.iter().map(|charge| charge.limit.0).collect(),
            windows: charges.iter().map(|charge| charge.starts_at).collect(),
            epochs: charges.iter().map(|charge| charge.epoch).collect(),
            amounts: charges.iter().map(|charge| charge.amount).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
