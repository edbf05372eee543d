//! What the browser is told between asking for a code and giving it back: which address, and when another
//! code makes sense. Kept in a signed cookie, so that the page shows the same whether or not a mail left.

use std::time::{Duration, SystemTime};

use domain::sign_in::CODE_LIFE;
use serde::{Deserialize, Serialize};

use crate::server::Visit;

const COOKIE: &str = "__Host-to";
const ANOTHER_AFTER: Duration = Duration::from_mins(1);

#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    /// The address that was typed, in the spelling that is stored.
    pub(super) email: String,
    /// Seconds since 1970. A hint for the page; the limits are the database's.
    asked_at: u64,
}

impl Pending {
    pub(super) fn new(email: &str) -> Self {
        Self { email: email.to_owned(), asked_at: unix_seconds() }
    }

    pub(super) fn read(visit: &Visit) -> Option<Self> {
        let bytes = visit.state.pending_key.open(visit.cookie(COOKIE)?)?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn write(&self, visit: &Visit) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            visit.set_cookie(COOKIE, &visit.state.pending_key.seal(&bytes), CODE_LIFE.whole_seconds());
        }
    }

    pub(super) fn clear(visit: &Visit) {
        visit.set_cookie(COOKIE, "", 0);
    }

    pub(super) fn resend_in_seconds(&self) -> u32 {
        let left = (self.asked_at + ANOTHER_AFTER.as_secs()).saturating_sub(unix_seconds());
        // A clock that was set back must not keep the button away.
        u32::try_from(left.min(ANOTHER_AFTER.as_secs())).unwrap_or(0)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
