//! What this gateway goes by: its share of each limit, a Redis, or both while the one follows the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::KeyId;
use domain::rate;
use store::shares::{Count, Membership};
use uuid::Uuid;

/// A gateway that has not asked for this long is nobody's member any more (`share_rates` counts the same).
const LASTS: Duration = Duration::from_secs(30);

/// What one request of a key has to keep to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    /// How many this gateway may have admitted within the last minute; `u32::MAX` where Redis alone counts.
    pub(super) share: u32,
    /// The Redis that has to admit it too.
    pub(super) redis: Option<Arc<str>>,
}

/// What has been agreed on, as this gateway knows it.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    membership: Membership,
    redis: Option<Arc<str>>,
    asked: Option<Instant>,
    /// What all gateways had admitted when a Redis was lost, and of which epoch that is.
    told: Option<(i64, HashMap<KeyId, u32>)>,
}

impl Agreement {
    /// As the database said at `asked` or a little later.
    pub(super) fn go_by(&mut self, membership: Membership, asked: Instant) {
        if self.redis.as_deref() != membership.redis.as_deref() {
            self.redis = membership.redis.as_deref().map(Arc::from);
        }
        self.membership = membership;
        self.asked = Some(asked);
    }

    pub(super) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Whether the rest that a lost Redis has left is still to be learned.
    pub(super) fn lacks_told(&self) -> bool {
        let Membership { epoch, settled, told, .. } = &self.membership;
        *told && !settled && self.told.as_ref().is_none_or(|(of, _)| of != epoch)
    }

    pub(super) fn learn_told(&mut self, epoch: i64, counts: Vec<Count>) {
        let count = |count: Count| (count.key, u32::try_from(count.admitted).unwrap_or(u32::MAX));
        self.told = Some((epoch, counts.into_iter().map(count).collect()));
    }

    pub(super) fn is_known(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < LASTS)
    }

    /// Whether it waits for its first share while others serve.
    pub(super) fn is_behind(&self, gateway: Uuid) -> bool {
        let Membership { members, previous, redis, previous_redis, settled, others_serve, .. } =
            &self.membership;
        let has_part = match (redis, previous_redis, settled) {
            (Some(_), _, true) => true,
            (_, _, true) | (None, Some(_), false) => members.contains(&gateway),
            (_, _, false) => previous.contains(&gateway),
        };
        *others_serve && !has_part
    }

    /// What a request is to keep to; `None` while nobody can know what is left.
    pub(super) fn rule(&self, gateway: Uuid, key: KeyId, limit: u32) -> Option<Rule> {
        if !self.is_known() {
            return None;
        }
        let Membership { epoch, members, previous, previous_redis, settled, .. } = &self.membership;
        let among = |members: &[Uuid], limit| {
            let rank = members.iter().position(|member| *member == gateway);
            rank.map_or(0, |rank| rate::share(limit, key, members.len(), rank))
        };
        let share = match (&self.redis, previous_redis, settled) {
            (Some(_), _, true) => u32::MAX,
            // It counts everything already, but not yet what was admitted before.
            (Some(_), _, false) => among(previous, limit),
            (None, _, true) => among(members, limit),
            (None, None, false) => among(members, limit).min(among(previous, limit)),
            (None, Some(_), false) => {
                let (_, told) = self.told.as_ref().filter(|(of, _)| of == epoch)?;
                let rest = limit.saturating_sub(told.get(&key).copied().unwrap_or(0));
                // Of a small rest one gateway's part can be larger than of the whole limit, which follows.
                among(members, rest).min(among(members, limit))
            }
        };
        Some(Rule { share, redis: self.redis.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);
    const R: Option<&str> = Some("run:token");

    fn key() -> KeyId {
        KeyId(Uuid::from_u128(7 << 16))
    }

    fn going_by(redis: Option<&str>, previous_redis: Option<&str>, settled: bool) -> Agreement {
        let mut agreement = Agreement::default();
        let membership = Membership {
            epoch: 4,
            members: vec![A, B],
            previous: vec![A],
            redis: redis.map(str::to_owned),
            previous_redis: previous_redis.map(str::to_owned),
            settled,
            others_serve: true,
            told: false,
        };
        agreement.go_by(membership, Instant::now());
        agreement
    }

    fn parts(agreement: &Agreement) -> [Option<(u32, bool)>; 3] {
        let part =
            |gateway| agreement.rule(gateway, key(), 10).map(|rule| (rule.share, rule.redis.is_some()));
        [A, B, C].map(part)
    }

    #[test]
    fn both_rules_bind_until_the_new_one_counts() {
        let all = u32::MAX;
        assert_eq!(
            parts(&going_by(None, None, true)),
            [Some((5, false)), Some((5, false)), Some((0, false))]
        );
        assert_eq!(
            parts(&going_by(None, None, false)),
            [Some((5, false)), Some((0, false)), Some((0, false))]
        );
        assert_eq!(parts(&going_by(R, None, false)), [Some((10, true)), Some((0, true)), Some((0, true))]);
        assert_eq!(parts(&going_by(R, None, true)), [Some((all, true)); 3]);
        assert_eq!(parts(&going_by(None, R, false)), [None; 3], "closed until the rest is known");
        assert_eq!(parts(&going_by(None, R, true)), [Some((5, false)), Some((5, false)), Some((0, false))]);
        assert_eq!(parts(&Agreement::default()), [None; 3]);
    }

    #[test]
    fn a_lost_redis_leaves_what_nobody_has_used_to_be_shared() {
        let mut agreement = going_by(None, R, false);
        agreement.membership.told = true;
        assert!(agreement.lacks_told());
        agreement.learn_told(3, Vec::new());
        assert!(agreement.lacks_told() && parts(&agreement) == [None; 3], "of an older loss");
        agreement.learn_told(4, vec![Count { key: key(), admitted: 7 }]);
        assert!(!agreement.lacks_told());
        let sum: u32 = parts(&agreement).into_iter().flatten().map(|(share, _)| share).sum();
        assert_eq!(sum, 3);
        agreement.learn_told(4, vec![Count { key: key(), admitted: 12 }]);
        assert_eq!(parts(&agreement), [Some((0, false)); 3]);
    }

    #[test]
    fn who_has_no_share_yet_is_behind_while_others_serve() {
        let behind = |agreement: &Agreement| [A, B, C].map(|gateway| agreement.is_behind(gateway));
        assert_eq!(behind(&going_by(None, None, false)), [false, true, true]);
        assert_eq!(behind(&going_by(R, None, false)), [false, true, true]);
        assert_eq!(behind(&going_by(None, None, true)), [false, false, true]);
        assert_eq!(behind(&going_by(None, R, false)), [false, false, true]);
        assert_eq!(behind(&going_by(R, R, true)), [false; 3]);
        let mut alone = going_by(None, None, false);
        alone.membership.others_serve = false;
        assert_eq!(behind(&alone), [false; 3]);
    }
}
