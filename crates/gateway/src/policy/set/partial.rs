//! A set that holds only some of the secrets, because there are more than may be in memory.
//!
//! A filter knows of every one, so that a wrong key costs no SQL. What passes it is looked up, once, and kept: what is
//! there in the place of what has been there longest, what is not as a certain "nothing". The feed changes both, so that
//! what is kept is never older than the set's version.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use domain::secret::Digest;
use store::policy::{LimitRow, SecretRow};

use super::Set;
use super::filter::Filter;

/// Digests known to be nobody's, in each of two halves; the older half goes when the newer is full.
const MOST_NOTHING: usize = 50_000;
/// How many are looked at to make room for one: those in use stay.
const LOOKS: usize = 64;

/// What a set knows beside what it holds.
#[derive(Debug)]
pub(in crate::policy) struct Partial {
    most: usize,
    filter: Filter,
    nothing: [HashSet<Digest>; 2],
    /// What is held, the longest held first; some of it may be gone already.
    order: VecDeque<Digest>,
}

/// What a look at the database has found.
#[derive(Debug)]
pub(in crate::policy) struct Asked {
    /// The version before the look: what was found is at least as new.
    pub(in crate::policy) version: i64,
    /// What was asked for.
    pub(in crate::policy) digest: Digest,
    /// What there is.
    pub(in crate::policy) row: Option<SecretRow>,
    /// The limits of its key.
    pub(in crate::policy) limits: Vec<LimitRow>,
}

impl Partial {
    fn new(most: usize, filter: Filter) -> Self {
        Self { most, filter, nothing: Default::default(), order: VecDeque::new() }
    }

    /// A change of keys: of the rows as they are now, those that are to be held again. `gone` were held before.
    pub(super) fn renew(&mut self, gone: &[Digest], rows: Vec<SecretRow>) -> Vec<SecretRow> {
        for digest in gone {
            self.add_nothing(*digest);
        }
        let mut held = Vec::new();
        for row in rows {
            let Ok(digest) = <[u8; 32]>::try_from(row.digest.as_slice()) else { continue };
            let digest = Digest(digest);
            self.filter.add(&digest);
            for nothing in &mut self.nothing {
                nothing.remove(&digest);
            }
            if gone.contains(&digest) {
                held.push(row);
            }
        }
        held
    }

    fn add_nothing(&mut self, digest: Digest) {
        if self.nothing[0].len() >= MOST_NOTHING {
            self.nothing.swap(0, 1);
            self.nothing[0].clear();
        }
        self.nothing[0].insert(digest);
    }
}

impl Set {
    /// A set that holds at most so many secrets, and knows of all in `filter`.
    pub(in crate::policy) fn partial(most: usize, filter: Filter) -> Self {
        Self { partial: Some(Box::new(Partial::new(most, filter))), ..Self::default() }
    }

    /// Whether it holds everything there is.
    pub(in crate::policy) fn is_complete(&self) -> bool {
        self.partial.is_none()
    }

    /// Becomes partial where it holds more than `most`.
    pub(in crate::policy) fn bound(&mut self, most: usize) {
        if self.partial.is_some() || self.secrets.len() <= most {
            return;
        }
        let mut filter = Filter::for_keys(self.secrets.len().saturating_mul(2));
        self.secrets.keys().for_each(|digest| filter.add(digest));
        let mut partial = Partial::new(most, filter);
        partial.order = self.secrets.keys().copied().collect();
        self.partial = Some(Box::new(partial));
        let over = self.secrets.len() - most;
        (0..over).for_each(|_| self.make_room());
    }

    /// Whether only the database can say whose this secret is.
    pub(in crate::policy) fn must_ask(&self, digest: &Digest) -> bool {
        self.partial.as_ref().is_some_and(|partial| {
            !self.secrets.contains_key(digest)
                && partial.filter.may_have(digest)
                && !partial.nothing.iter().any(|nothing| nothing.contains(digest))
        })
    }

    /// Takes in what was found; false where the set has changed since, so that it may be old.
    pub(in crate::policy) fn take_in(&mut self, asked: Asked) -> bool {
        let Asked { version, digest, row, limits } = asked;
        if version < self.version {
            return false;
        }
        let Some(partial) = &mut self.partial else { return true };
        let Some(row) = row else {
            partial.add_nothing(digest);
            return true;
        };
        if !self.secrets.contains_key(&digest) {
            partial.order.push_back(digest);
            self.limits.remove(&row.key_id);
            self.insert(row);
            for limit in limits {
                self.insert_limit(limit);
            }
            self.make_room();
        }
        true
    }

    /// Lets go of what has been held longest, if there is too much. What a running request uses stays: it must hear of
    /// its key's end.
    fn make_room(&mut self) {
        for _ in 0..LOOKS {
            let Some(partial) = &mut self.partial else { return };
            if self.secrets.len() <= partial.most && partial.order.len() <= partial.most.saturating_mul(2) {
                return;
            }
            let Some(digest) = partial.order.pop_front() else { return };
            let Some(known) = self.secrets.get(&digest) else { continue };
            if Arc::strong_count(known) > 1 {
                partial.order.push_back(digest);
                continue;
            }
            let key = known.key;
            self.forget(&digest);
            let is_last = self.keys.get_mut(&key).is_none_or(|digests| {
                digests.retain(|held| *held != digest);
                digests.is_empty()
            });
            if is_last {
                self.keys.remove(&key);
                self.limits.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::KeyId;
    use domain::key::KeyStatus;

    use super::super::Update;
    use super::super::tests::{id, row, with_account};
    use super::*;

    /// Holds two at most and knows of secrets 1 to 5, each of the key of its number.
    fn set() -> Set {
        let mut filter = Filter::for_keys(5);
        (1..=5).for_each(|n| filter.add(&Digest([n; 32])));
        let mut set = with_account();
        set.partial = Some(Box::new(Partial::new(2, filter)));
        set
    }

    fn asked(version: i64, n: u8) -> Asked {
        let row = Some(row(n, n, KeyStatus::Enabled));
        Asked { version, digest: Digest([n; 32]), row, limits: Vec::new() }
    }

    fn holds(set: &Set, n: u8) -> bool {
        set.find(&Digest([n; 32])).unwrap().is_some()
    }

    #[test]
    fn what_is_asked_for_is_held_in_the_place_of_the_longest_held() {
        let mut set = set();
        assert!(set.must_ask(&Digest([1; 32])) && !set.must_ask(&Digest([99; 32])));
        for n in 1..=3 {
            assert!(set.take_in(asked(1, n)));
            assert!(holds(&set, n) && !set.must_ask(&Digest([n; 32])));
        }
        assert_eq!((set.len(), set.keys.len(), holds(&set, 1)), (2, 2, false));
        // What a request is using is not let go of.
        let used = set.find(&Digest([2; 32])).unwrap().unwrap();
        set.take_in(asked(1, 4));
        assert!(holds(&set, 2) && holds(&set, 4) && !holds(&set, 3));
        drop(used);
    }

    #[test]
    fn what_is_older_than_the_set_is_asked_for_again() {
        let mut set = set();
        set.apply(Update { version: 5, ..Update::default() });
        assert!(!set.take_in(asked(4, 1)) && !holds(&set, 1));
        assert!(set.take_in(asked(5, 1)) && holds(&set, 1));
    }

    #[test]
    fn a_revoked_key_is_nothing_at_once_and_a_new_one_is_not() {
        let mut set = set();
        set.take_in(asked(1, 1));
        set.take_in(Asked { row: None, ..asked(1, 2) });
        assert!(!set.must_ask(&Digest([2; 32])));
        let change = |version, n: u8, secrets| Update {
            version,
            keys: vec![KeyId(id(n))],
            secrets,
            ..Update::default()
        };
        set.apply(change(2, 1, vec![]));
        assert!(!holds(&set, 1) && !set.must_ask(&Digest([1; 32])));
        // What was nothing may become something; what is not held is not taken in, but known of.
        for n in [2, 77] {
            set.apply(change(3, n, vec![row(n, n, KeyStatus::Enabled)]));
            assert!(!holds(&set, n) && set.must_ask(&Digest([n; 32])), "{n}");
        }
        // What is held changes where it is.
        set.take_in(asked(3, 3));
        set.apply(change(4, 3, vec![row(3, 3, KeyStatus::Disabled)]));
        assert_eq!(set.find(&Digest([3; 32])).unwrap().unwrap().key().status, KeyStatus::Disabled);
    }

    #[test]
    fn a_set_that_has_grown_too_large_lets_go_and_still_knows_of_all() {
        let mut set = with_account();
        (1..=9).for_each(|n| set.insert(row(n, n, KeyStatus::Enabled)));
        set.bound(9);
        assert!(set.is_complete());
        set.bound(4);
        assert_eq!((set.is_complete(), set.len()), (false, 4));
        assert!((1..=9).all(|n| holds(&set, n) || set.must_ask(&Digest([n; 32]))));
        assert!(!set.must_ask(&Digest([10; 32])));
    }
}
