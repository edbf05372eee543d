//! The receipt: how far the gateways have got with a change, asked for a quarter of a second.

use std::time::{Duration, Instant};

use store::gateways::{self, LiveGateway};
use store::{PgPool, StoreError};
use time::OffsetDateTime;
use time::macros::format_description;

/// A gateway unheard for this long refuses by itself, so it is not waited for.
pub const SILENT_AFTER_SECONDS: i32 = 30;
/// Gateways beat every second; one that missed two is worth more words.
const SLOW_AFTER_SECONDS: i64 = 3;
const WAIT: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Waits until every live gateway enforces policy version `version`, at most a quarter of a second, and says how far
/// they are. `since` is when the change was committed.
pub async fn wait(pool: &PgPool, version: i64, since: Instant) -> Result<String, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let live = gateways::list_live(pool, SILENT_AFTER_SECONDS).await?;
        let elapsed = since.elapsed();
        let behind = live.iter().any(|gateway| gateway.policy_version < version);
        if !behind || elapsed + pause > WAIT {
            return Ok(words(&live, version, elapsed));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn words(live: &[LiveGateway], version: i64, elapsed: Duration) -> String {
    let behind: Vec<&LiveGateway> = live.iter().filter(|gateway| gateway.policy_version < version).collect();
    let all = live.len();
    match behind.first() {
        _ if all == 0 => "No gateway is running, so nothing enforces this yet".to_owned(),
        None => format!("Enforced on {all}/{all} gateways in {} ms", elapsed.as_millis().max(1)),
        Some(_) => {
            let waiting: Vec<String> = behind.iter().map(|gateway| who_is_behind(gateway)).collect();
            format!("Enforced on {}/{all} gateways so far; {}", all - behind.len(), waiting.join("; "))
        }
    }
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
        let say = |live: &[LiveGateway]| words(live, 7, Duration::from_micros(9_400));
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
}
