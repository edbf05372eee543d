//! One lease: what this gateway holds of one window, and who uses how much of it.

use domain::LimitId;
use store::leases::{GiveBack, Grant};
use time::OffsetDateTime;

/// A lease as this gateway sees it. `leased` follows the database with a delay, always on the safe side: a grant counts
/// when it is known, a charge leaves both figures when it is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) starts_at: OffsetDateTime,
    pub(super) ends_at: Option<OffsetDateTime>,
    pub(super) epoch: i64,
    /// Held of the database.
    leased: i64,
    /// Of that: reserved by requests in flight, or consumed and not booked yet. More than `leased` after an upstream
    /// has charged beyond its cap.
    used: i64,
    /// What the others held when the database was last asked.
    elsewhere: i64,
    /// Everything that was ever booked.
    booked: i64,
    /// What was taken out last, on its way back to the database.
    out: i64,
}

impl Lease {
    pub(super) fn new(grant: Grant) -> Self {
        Self {
            starts_at: grant.starts_at,
            ends_at: grant.ends_at,
            epoch: grant.epoch,
            leased: grant.granted,
            used: 0,
            elsewhere: grant.reserved - grant.held,
            booked: 0,
            out: 0,
        }
    }

    /// One the database knows and this gateway did not: its window's end is not known, so it is given back before it is
    /// used.
    pub(super) fn found(held: &GiveBack) -> Self {
        Self {
            starts_at: held.starts_at,
            ends_at: Some(held.starts_at),
            epoch: held.epoch,
            leased: held.amount,
            used: 0,
            elsewhere: 0,
            booked: 0,
            out: 0,
        }
    }

    /// The database holds at least `held`.
    pub(super) fn adopt(&mut self, held: i64) {
        self.leased = self.leased.max(held);
    }

    pub(super) fn booked_so_far(&self) -> i64 {
        self.booked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leased == 0 && self.out == 0
    }

    /// It was released: nothing of it is free any more.
    pub(super) fn lose(&mut self) {
        self.leased = 0;
        self.out = 0;
    }

    /// Whether a grant belongs to this lease.
    pub(super) fn is_of(&self, starts_at: OffsetDateTime, epoch: i64) -> bool {
        self.starts_at == starts_at && self.epoch == epoch
    }

    pub(super) fn grow(&mut self, grant: Grant) {
        self.leased += grant.granted;
        self.ends_at = grant.ends_at;
        self.elsewhere = grant.reserved - grant.held;
    }

    /// Free for a request.
    pub(super) fn free(&self) -> i64 {
        (self.leased - self.used).max(0)
    }

    /// How much more the lease must hold for `amount` to be free.
    pub(super) fn missing(&self, amount: i64) -> i64 {
        amount.saturating_add(self.used).saturating_sub(self.leased)
    }

    /// What may come free in a moment: used here or held elsewhere.
    pub(super) fn reserved(&self) -> i64 {
        self.used.saturating_add(self.elsewhere.max(0))
    }

    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    pub(super) fn used(&self) -> i64 {
        self.used
    }

    pub(super) fn is_unused(&self) -> bool {
        self.used == 0
    }

    pub(super) fn use_(&mut self, amount: i64) {
        self.used = self.used.saturating_add(amount);
    }

    /// A reservation became a charge.
    pub(super) fn settle(&mut self, reserved: i64, consumed: i64) {
        self.used = self.used.saturating_sub(reserved).saturating_add(consumed);
    }

    /// The database has booked a charge: it drew the lease by as much as there was.
    pub(super) fn booked(&mut self, amount: i64) {
        self.booked = self.booked.saturating_add(amount);
        self.used = self.used.saturating_sub(amount);
        let beyond = amount.saturating_sub(self.leased).max(0);
        self.leased = self.leased.saturating_sub(amount).max(0);
        // The database has drawn that from what it still had of this lease.
        self.out = self.out.saturating_sub(beyond).max(0);
    }

    /// Takes all but `keep` of what is free, to be given back.
    pub(super) fn take_back(&mut self, limit: LimitId, keep: i64) -> Option<GiveBack> {
        let amount = self.free() - keep;
        if amount <= 0 {
            return None;
        }
        self.leased -= amount;
        self.out = amount;
        Some(GiveBack { limit, starts_at: self.starts_at, epoch: self.epoch, amount })
    }

    /// Nobody wanted what was [taken out](Self::take_back). Whether all of it is here again: some may have been released
    /// or drawn meanwhile.
    pub(super) fn put_back(&mut self, amount: i64) -> bool {
        let back = std::mem::take(&mut self.out).min(amount);
        self.leased = self.leased.saturating_add(back);
        back == amount
    }
}
