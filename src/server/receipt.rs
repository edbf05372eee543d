//! The receipt: how far the gateways have got with a change, waited for a quarter of a second.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::gateways::{self, LiveGateway};
use store::{PgListener, PgPool, StoreError, policy};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::state::AppState;
use crate::keys::Receipt;

/// A gateway unheard for this long refuses by itself, so it is not waited for.
pub const SILENT_AFTER_SECONDS: i32 = 30;
/// Gateways beat every second; one that missed two is worth more words.
const SLOW_AFTER_SECONDS: i64 = 3;
const WAIT: Duration = Duration::from_millis(250);
/// A notification can be lost, so the truth is looked at this often without one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Writes receipts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Receipts {
    pool: PgPool,
    /// Rung when a gateway says that it enforces something new.
    acknowledged: Arc<Notify>,
}

impl Receipts {
    /// Reads how far the gateways are from this database.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, acknowledged: Arc::default() }
    }

    /// Listens to the gateways until dropped. Without it receipts are true as well, only later.
    pub async fn listen(&self) {
        loop {
            if let Err(error) = self.listen_once().await {
                tracing::debug!(%error, "not listening to the gateways; receipts look by themselves");
            }
            sleep(LISTEN_AGAIN_AFTER).await;
        }
    }

    async fn listen_once(&self) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(gateways::CHANNEL).await?;
        loop {
            listener.try_recv().await?;
            self.acknowledged.notify_waiters();
        }
    }

    /// Waits until every live gateway enforces policy version `version`, at most a quarter of a second, and says how
    /// far they are. `since` is when the change was committed.
    pub async fn wait(&self, version: i64, since: Instant) -> Result<Receipt, StoreError> {
        loop {
            // Before the look, so that what is said during it is not missed.
            let mut acknowledged = pin!(self.acknowledged.notified());
            acknowledged.as_mut().enable();
            let live = gateways::list_live(&self.pool, SILENT_AFTER_SECONDS).await?;
            let elapsed = since.elapsed();
            let behind = live.iter().any(|gateway| gateway.policy_version < version);
            if !behind || elapsed >= WAIT {
                return Ok(receipt(&live, version, elapsed));
            }
            let _ = timeout(LOOK_EVERY.min(WAIT.saturating_sub(elapsed)), acknowledged).await;
        }
    }
}

/// The receipt for what was committed a moment ago. It cannot undo the change, so a fault here is only told.
pub async fn after_commit(state: &AppState, since: Instant) -> Receipt {
    let told = async { state.receipts.wait(policy::version(&state.pool).await?, since).await }.await;
    told.unwrap_or_else(|error: StoreError| {
        tracing::error!(%error, "a change is saved, but its receipt could not be read");
        let text = "It is saved; whether the gateways know of it could not be checked".to_owned();
        Receipt { text, complete: false }
    })
}

fn receipt(live: &[LiveGateway], version: i64, elapsed: Duration) -> Receipt {
    let behind: Vec<&LiveGateway> = live.iter().filter(|gateway| gateway.policy_version < version).collect();
    let all = live.len();
    let text = match behind.first() {
        _ if all == 0 => "No gateway is running, so nothing enforces this yet".to_owned(),
        None => format!("Enforced on {all}/{all} gateways in {} ms", elapsed.as_millis().max(1)),
        Some(_) => {
            let waiting: Vec<String> = behind.iter().map(|gateway| who_is_behind(gateway)).collect();
            format!("Enforced on {}/{all} gateways so far; {}", all - behind.len(), waiting.join("; "))
        }
    };
    Receipt { text, complete: all > 0 && behind.is_empty() }
}

fn who_is_behind(gateway: &LiveGateway) -> String {
    let LiveGateway { name, unheard_seconds, heard_at, .. } = gateway;
    if *unheard_seconds < SLOW_AFTER_SECONDS {
        return format!("{name} has not confirmed yet");
    }
    let stops = *heard_at + time::Duration::seconds(i64::from(SILENT_AFTER_SECONDS));
    format!("{name} unheard for {unheard_seconds} s, stops by itself by {} UTC", clock(stops))
}

fn clock(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC)
        .format(format_description!("[hour]:[minute]:[second]"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn gateway(name: &str, policy_version: i64, unheard_seconds: i64) -> LiveGateway {
        let heard_at = datetime!(2026-11-21 12:02:40 UTC);
        LiveGateway { name: name.to_owned(), policy_version, heard_at, unheard_seconds }
    }

    #[test]
    fn the_truth_in_words() {
        let say = |live: &[LiveGateway]| receipt(live, 7, Duration::from_micros(9_400)).text;
        assert_eq!(say(&[]), "No gateway is running, so nothing enforces this yet");
        assert_eq!(say(&[gateway("a", 7, 0)]), "Enforced on 1/1 gateways in 9 ms");
        assert_eq!(say(&[gateway("a", 7, 0), gateway("b", 8, 9)]), "Enforced on 2/2 gateways in 9 ms");
        assert_eq!(
            say(&[gateway("gw-a", 7, 0), gateway("gw-b", 6, 4)]),
            "Enforced on 1/2 gateways so far; gw-b unheard for 4 s, stops by itself by 12:03:10 UTC"
        );
        assert_eq!(
            say(&[gateway("gw-a", 6, 1)]),
            "Enforced on 0/1 gateways so far; gw-a has not confirmed yet"
        );
    }

    #[test]
    fn complete_means_enforced_somewhere_and_nowhere_missing() {
        let complete = |live: &[LiveGateway]| receipt(live, 7, Duration::ZERO).complete;
        assert!(complete(&[gateway("a", 7, 0), gateway("b", 9, 0)]));
        assert!(!complete(&[gateway("a", 7, 0), gateway("b", 6, 0)]));
        assert!(!complete(&[]), "nobody to enforce it is no proof");
    }
}
