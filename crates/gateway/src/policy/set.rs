//! The set of known secrets, accounts, groups and models, and how changes go into it.

mod filter;
mod partial;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::decision::{AccountPolicy, Billing, GroupPolicy, KeyPolicy, SecretState};
use domain::limit::{Fit, Measure};
use domain::refusal::{LimitKind, Refusal};
use domain::rule::{AddressRule, Allow, Permission};
use domain::secret::Digest;
use domain::{AccountId, GroupId, KeyId, UserId};
use store::accounts::BillingMode;
use store::models::Model;
use store::own_routes::OwnRoute;
use store::policy::{AccountRow, GroupRow, LimitRow, SecretRow};
use time::OffsetDateTime;

pub(super) use self::filter::Filter;
pub(super) use self::partial::Asked;
use self::partial::Partial;
use super::Standing;
use super::digests::ByDigest;
use crate::limits::Terms;
use crate::router::own::{self, OwnRoutes};

/// One secret with its key: what a request needs to be decided and booked.
#[derive(Debug)]
pub struct Known {
    /// The key.
    pub key: KeyId,
    /// Its account.
    pub account: AccountId,
    /// Its group.
    pub group: GroupId,
    /// Who made it.
    pub created_by: UserId,
    /// The part of the secret that may be shown.
    pub public_id: Box<str>,
    /// The key's environment.
    pub environment: Option<Box<str>>,
    /// What is decided about the key.
    pub policy: KeyPolicy,
    /// Requests it may make within 60 s; `None` is any number.
    pub requests_per_minute: Option<u32>,
    /// What happens to a request whose worst case does not fit its limits.
    pub fit: Fit,
    ends_at: Option<OffsetDateTime>,
}

/// An account, with the limits it has itself.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) policy: AccountPolicy,
    pub(super) limits: Vec<Terms>,
}

/// A group, with its budget.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) policy: GroupPolicy,
    pub(super) limits: Vec<Terms>,
}

/// The digests of one key: nearly always one.
type Digests = Vec<Digest>;

/// Everything a decision looks up.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) version: i64,
    secrets: ByDigest<Arc<Known>>,
    keys: HashMap<KeyId, Digests>,
    /// How many secrets have a limit of requests per minute.
    rate_limited: usize,
    /// Of the keys that have any.
    limits: HashMap<KeyId, Vec<Terms>>,
    accounts: HashMap<AccountId, Arc<Account>>,
    groups: HashMap<GroupId, Arc<Group>>,
    pub(super) models: BTreeMap<String, Arc<Model>>,
    /// Other names of models.
    aliases: HashMap<String, Arc<Model>>,
    pub(super) own_routes: Arc<OwnRoutes>,
    /// Set where it does not hold every secret.
    partial: Option<Box<Partial>>,
}

/// Rows that replace what the set says about the ids they were asked for.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) version: i64,
    pub(super) keys: Vec<KeyId>,
    pub(super) secrets: Vec<SecretRow>,
    pub(super) accounts: Vec<AccountRow>,
    pub(super) groups: Vec<GroupRow>,
    /// All limits of the keys, groups and accounts above.
    pub(super) limits: Vec<LimitRow>,
    pub(super) models: Option<Vec<Model>>,
    pub(super) own_routes: Option<Vec<OwnRoute>>,
}

impl Set {
    pub(super) fn find(&self, digest: &Digest) -> Result<Option<Standing>, Refusal> {
        let Some(known) = self.secrets.get(digest) else { return Ok(None) };
        // Both belong to the key, so a set without them is not complete, and nothing can be said.
        let (Some(account), Some(group)) = (self.accounts.get(&known.account), self.groups.get(&known.group))
        else {
            return Err(Refusal::PolicyUnavailable);
        };
        Ok(Some(Standing {
            known: known.clone(),
            secret: known.ends_at.map_or(SecretState::Current, SecretState::Retiring),
            account: account.clone(),
            group: group.clone(),
            limits: self.limits.get(&known.key).into_iter().flatten().copied().collect(),
        }))
    }

    pub(super) fn apply(&mut self, update: Update) {
        for account in update.accounts {
            let policy = account_policy(account);
            self.accounts.insert(account.id, Arc::new(Account { policy, limits: Vec::new() }));
        }
        for group in update.groups {
            self.groups.insert(group.id, Arc::new(Group { policy: group_policy(group), limits: Vec::new() }));
        }
        let mut gone = Digests::new();
        for key in update.keys {
            for digest in self.keys.remove(&key).unwrap_or_default() {
                self.forget(&digest);
                gone.push(digest);
            }
            self.limits.remove(&key);
        }
        let secrets = match &mut self.partial {
            Some(partial) => partial.renew(&gone, update.secrets),
            None => update.secrets,
        };
        for row in secrets {
            self.insert(row);
        }
        for row in update.limits {
            self.insert_limit(row);
        }
        if let Some(models) = update.models {
            let models: Vec<Arc<Model>> = models.into_iter().map(Arc::new).collect();
            let names = |model: &Arc<Model>| {
                model.aliases.iter().map(|a| (a.clone(), model.clone())).collect::<Vec<_>>()
            };
            self.aliases = models.iter().flat_map(names).collect();
            self.models = models.into_iter().map(|model| (model.id.clone(), model)).collect();
        }
        if let Some(rows) = update.own_routes {
            self.own_routes = Arc::new(own::read(rows));
        }
        self.version = update.version;
    }

    pub(super) fn insert(&mut self, row: SecretRow) {
        // The table's CHECK holds the length, so this never drops one.
        let Ok(digest) = <[u8; 32]>::try_from(row.digest.as_slice()) else { return };
        let digests = self.keys.entry(row.key_id).or_insert_with(|| Vec::with_capacity(1));
        digests.push(Digest(digest));
        let known = Known::from_row(row);
        self.rate_limited += usize::from(known.requests_per_minute.is_some());
        let replaced = self.secrets.insert(Digest(digest), Arc::new(known));
        self.rate_limited -= usize::from(replaced.is_some_and(|known| known.requests_per_minute.is_some()));
    }

    pub(super) fn insert_limit(&mut self, row: LimitRow) {
        let LimitRow { id, measure, amount, used_up, ends_at, .. } = row;
        let terms = |kind| Terms { id, kind, measure, amount, used_up, ends_at };
        match (row.key_id, row.group_id) {
            // Looked up together with its key.
            (Some(key), _) if self.partial.is_some() && !self.keys.contains_key(&key) => {}
            (Some(key), _) => {
                let kind = match row.measure {
                    Measure::Cost => LimitKind::Cost,
                    Measure::Tokens => LimitKind::Tokens,
                };
                self.limits.entry(key).or_default().push(terms(kind));
            }
            (None, Some(group)) => {
                if let Some(group) = self.groups.get_mut(&group).and_then(Arc::get_mut) {
                    group.limits.push(terms(LimitKind::Group));
                }
            }
            (None, None) => {
                if let Some(account) = self.accounts.get_mut(&row.account_id).and_then(Arc::get_mut) {
                    if account.policy.billing == Billing::BalanceUsedUp {
                        account.policy.billing = Billing::Active;
                    }
                    account.limits.push(terms(LimitKind::Balance));
                }
            }
        }
    }

    /// A model by its name or another one. Its own name comes first.
    pub(super) fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.get(name).or_else(|| self.aliases.get(name))
    }

    /// Whether any key has a limit of requests per minute, or may have: of keys that are not held that is not known.
    pub(super) fn limits_rates(&self) -> bool {
        self.rate_limited > 0 || self.partial.is_some()
    }

    fn forget(&mut self, digest: &Digest) {
        let known = self.secrets.remove(digest);
        self.rate_limited -= usize::from(known.is_some_and(|known| known.requests_per_minute.is_some()));
    }

    /// How many secrets it knows.
    pub(super) fn len(&self) -> usize {
        self.secrets.len()
    }
}

impl Known {
    fn from_row(row: SecretRow) -> Self {
        Self {
            key: row.key_id,
            account: row.account_id,
            group: row.group_id,
            created_by: row.created_by,
            public_id: row.public_id.into(),
            environment: row.environment.map(Into::into),
            policy: KeyPolicy {
                status: row.status,
                expires_at: row.expires_at,
                addresses: row.addresses.map_or_else(AddressRule::default, AddressRule::only),
                permissions: permissions(row.permissions),
                models: row.models.map_or(Allow::Any, Allow::Only),
            },
            // The table's CHECK keeps it above zero.
            requests_per_minute: row.requests_per_minute.and_then(|most| u32::try_from(most).ok()),
            fit: row.fit,
            ends_at: row.ends_at,
        }
    }
}

/// A key that may do anything.
#[cfg(test)]
pub(crate) fn known_for_tests() -> Known {
    Known::from_row(tests::row(7, 1, domain::key::KeyStatus::Enabled))
}

fn permissions(names: Option<Vec<String>>) -> Allow<Permission> {
    names.map_or(Allow::Any, |names| Allow::Only(names.iter().map(|name| Permission::new(name)).collect()))
}

fn group_policy(row: GroupRow) -> GroupPolicy {
    GroupPolicy {
        archived: row.archived,
        permissions: permissions(row.permissions),
        models: row.models.map_or(Allow::Any, Allow::Only),
    }
}

fn account_policy(row: AccountRow) -> AccountPolicy {
    let billing = match row.billing {
        BillingMode::None => Billing::Inactive,
        // Until its balance, which is a limit, is known.
        BillingMode::Prepaid => Billing::BalanceUsedUp,
        BillingMode::Invoiced => Billing::Active,
    };
    AccountPolicy { suspended: row.suspended, billing }
}

#[cfg(test)]
mod tests {
    use domain::LimitId;
    use domain::key::KeyStatus;

    use super::*;

    pub(super) fn id(n: u8) -> uuid::Uuid {
        uuid::Uuid::from_bytes([n; 16])
    }

    pub(super) fn row(key: u8, digest: u8, status: KeyStatus) -> SecretRow {
        SecretRow {
            digest: vec![digest; 32],
            public_id: format!("public{digest}"),
            ends_at: None,
            key_id: KeyId(id(key)),
            account_id: AccountId(id(1)),
            group_id: GroupId(id(1)),
            environment: None,
            status,
            expires_at: None,
            created_by: UserId(id(1)),
            addresses: None,
            permissions: None,
            models: None,
            requests_per_minute: None,
            fit: Fit::Clamp,
        }
    }

    pub(super) fn with_account() -> Set {
        let mut set = Set::default();
        set.apply(Update {
            version: 1,
            accounts: vec![AccountRow {
                id: AccountId(id(1)),
                billing: BillingMode::Invoiced,
                suspended: false,
            }],
            groups: vec![GroupRow { id: GroupId(id(1)), archived: false, permissions: None, models: None }],
            ..Update::default()
        });
        set
    }

    #[test]
    fn a_changed_key_keeps_only_the_secrets_named_now() {
        let mut set = with_account();
        let key = KeyId(id(7));
        let update = |version, secrets| Update { version, keys: vec![key], secrets, ..Update::default() };
        set.apply(update(2, vec![row(7, 1, KeyStatus::Enabled), row(7, 2, KeyStatus::Enabled)]));
        assert!(
            set.find(&Digest([1; 32])).unwrap().is_some() && set.find(&Digest([2; 32])).unwrap().is_some()
        );
        set.apply(update(3, vec![row(7, 2, KeyStatus::Disabled)]));
        assert!(set.find(&Digest([1; 32])).unwrap().is_none());
        assert_eq!(set.find(&Digest([2; 32])).unwrap().unwrap().known.policy.status, KeyStatus::Disabled);
        set.apply(update(4, vec![]));
        assert!(set.find(&Digest([2; 32])).unwrap().is_none());
        assert_eq!((set.len(), set.keys.len(), set.version), (0, 0, 4));
    }

    #[test]
    fn it_knows_whether_any_key_has_a_rate() {
        let mut set = with_account();
        let key = KeyId(id(7));
        let with_rate = |digest, requests_per_minute| SecretRow {
            requests_per_minute,
            ..row(7, digest, KeyStatus::Enabled)
        };
        let update = |version, secrets| Update { version, keys: vec![key], secrets, ..Update::default() };
        for (version, secrets, limits_rates) in [
            (2, vec![with_rate(1, None)], false),
            (3, vec![with_rate(1, Some(5)), with_rate(2, Some(5))], true),
            (4, vec![with_rate(2, Some(5)), with_rate(2, Some(6))], true),
            (5, vec![with_rate(2, None)], false),
            (6, vec![], false),
        ] {
            set.apply(update(version, secrets));
            assert_eq!(set.limits_rates(), limits_rates, "{version}");
        }
    }

    #[test]
    fn limits_of_key_group_and_account_apply_together_and_are_replaced_together() {
        let mut set = with_account();
        let (key, group, account) = (KeyId(id(7)), GroupId(id(1)), AccountId(id(1)));
        let limit = |n, key_id, group_id, amount| LimitRow {
            id: LimitId(id(n)),
            account_id: account,
            key_id,
            group_id,
            measure: Measure::Cost,
            amount,
            used_up: false,
            ends_at: None,
        };
        set.apply(Update {
            version: 2,
            keys: vec![key],
            secrets: vec![row(7, 1, KeyStatus::Enabled)],
            limits: vec![
                limit(1, Some(key), None, 10),
                limit(2, None, Some(group), 20),
                limit(3, None, None, 30),
            ],
            ..Update::default()
        });
        let terms = |set: &Set| -> Vec<(LimitKind, i64)> {
            let standing = set.find(&Digest([1; 32])).unwrap().unwrap();
            standing.limits().map(|terms| (terms.kind, terms.amount)).collect()
        };
        assert_eq!(terms(&set), [(LimitKind::Cost, 10), (LimitKind::Group, 20), (LimitKind::Balance, 30)]);
        set.apply(Update {
            version: 3,
            keys: vec![key],
            secrets: vec![row(7, 1, KeyStatus::Enabled)],
            limits: vec![limit(1, Some(key), None, 11)],
            ..Update::default()
        });
        assert_eq!(terms(&set), [(LimitKind::Cost, 11), (LimitKind::Group, 20), (LimitKind::Balance, 30)]);
    }

    #[test]
    fn a_key_without_its_account_is_not_answered() {
        let mut set = Set::default();
        set.insert(row(7, 1, KeyStatus::Enabled));
        assert_eq!(set.find(&Digest([1; 32])).map(|_| ()), Err(Refusal::PolicyUnavailable));
    }
}
