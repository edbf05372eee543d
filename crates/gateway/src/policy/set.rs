//! The set of known secrets, accounts, groups and models, and how changes go into it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::decision::{AccountPolicy, Billing, GroupPolicy, KeyPolicy, SecretState};
use domain::key::KeyStatus;
use domain::refusal::Refusal;
use domain::rule::{AddressRule, Allow};
use domain::secret::Digest;
use domain::{AccountId, GroupId, KeyId, UserId};
use store::accounts::BillingMode;
use store::models::Model;
use store::policy::{AccountRow, GroupRow, SecretRow};
use time::OffsetDateTime;

use super::Standing;
use super::digests::ByDigest;

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
    status: KeyStatus,
    expires_at: Option<OffsetDateTime>,
    ends_at: Option<OffsetDateTime>,
}

/// The digests of one key: nearly always one.
type Digests = Vec<Digest>;

/// Everything a decision looks up.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) version: i64,
    secrets: ByDigest<Arc<Known>>,
    keys: HashMap<KeyId, Digests>,
    accounts: HashMap<AccountId, AccountPolicy>,
    groups: HashMap<GroupId, bool>,
    pub(super) models: BTreeMap<String, Arc<Model>>,
}

/// Rows that replace what the set says about the ids they were asked for.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) version: i64,
    pub(super) keys: Vec<KeyId>,
    pub(super) secrets: Vec<SecretRow>,
    pub(super) accounts: Vec<AccountRow>,
    pub(super) groups: Vec<GroupRow>,
    pub(super) models: Option<Vec<Model>>,
}

impl Set {
    pub(super) fn find(&self, digest: &Digest) -> Result<Option<Standing>, Refusal> {
        let Some(known) = self.secrets.get(digest) else { return Ok(None) };
        // Both belong to the key, so a set without them is not complete, and nothing can be said.
        let (Some(account), Some(archived)) =
            (self.accounts.get(&known.account), self.groups.get(&known.group))
        else {
            return Err(Refusal::PolicyUnavailable);
        };
        Ok(Some(Standing {
            known: known.clone(),
            key: known.policy(),
            secret: known.ends_at.map_or(SecretState::Current, SecretState::Retiring),
            account: *account,
            group: GroupPolicy { archived: *archived, permissions: Allow::Any, models: Allow::Any },
        }))
    }

    pub(super) fn apply(&mut self, update: Update) {
        for account in update.accounts {
            self.accounts.insert(account.id, account_policy(account));
        }
        for group in update.groups {
            self.groups.insert(group.id, group.archived);
        }
        for key in update.keys {
            for digest in self.keys.remove(&key).unwrap_or_default() {
                self.secrets.remove(&digest);
            }
        }
        for row in update.secrets {
            self.insert(row);
        }
        if let Some(models) = update.models {
            self.models = models.into_iter().map(|model| (model.id.clone(), Arc::new(model))).collect();
        }
        self.version = update.version;
    }

    pub(super) fn insert(&mut self, row: SecretRow) {
        // The table's CHECK holds the length, so this never drops one.
        let Ok(digest) = <[u8; 32]>::try_from(row.digest.as_slice()) else { return };
        let digests = self.keys.entry(row.key_id).or_insert_with(|| Vec::with_capacity(1));
        digests.push(Digest(digest));
        self.secrets.insert(Digest(digest), Arc::new(Known::from_row(row)));
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
            status: row.status,
            expires_at: row.expires_at,
            ends_at: row.ends_at,
        }
    }

    fn policy(&self) -> KeyPolicy {
        KeyPolicy {
            status: self.status,
            expires_at: self.expires_at,
            addresses: AddressRule::default(),
            permissions: Allow::Any,
            models: Allow::Any,
        }
    }
}

fn account_policy(row: AccountRow) -> AccountPolicy {
    let billing = match row.billing {
        BillingMode::None => Billing::Inactive,
        BillingMode::Invoiced => Billing::Active,
    };
    AccountPolicy { suspended: row.suspended, billing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> uuid::Uuid {
        uuid::Uuid::from_bytes([n; 16])
    }

    fn row(key: u8, digest: u8, status: KeyStatus) -> SecretRow {
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
        }
    }

    fn with_account() -> Set {
        let mut set = Set::default();
        set.apply(Update {
            version: 1,
            accounts: vec![AccountRow {
                id: AccountId(id(1)),
                billing: BillingMode::Invoiced,
                suspended: false,
            }],
            groups: vec![GroupRow { id: GroupId(id(1)), archived: false }],
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
        assert_eq!(set.find(&Digest([2; 32])).unwrap().unwrap().key.status, KeyStatus::Disabled);
        set.apply(update(4, vec![]));
        assert!(set.find(&Digest([2; 32])).unwrap().is_none());
        assert_eq!((set.len(), set.keys.len(), set.version), (0, 0, 4));
    }

    #[test]
    fn a_key_without_its_account_is_not_answered() {
        let mut set = Set::default();
        set.insert(row(7, 1, KeyStatus::Enabled));
        assert_eq!(set.find(&Digest([1; 32])).map(|_| ()), Err(Refusal::PolicyUnavailable));
    }
}
