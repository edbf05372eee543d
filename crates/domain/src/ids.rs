//! Identifiers as types, so that a key's id cannot be passed where an account's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type))]
        #[cfg_attr(feature = "sqlx", sqlx(transparent))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

id!(
    /// The tenant.
    AccountId
);
id!(
    /// A person who signs in.
    UserId
);
id!(
    /// A named set of an account's keys.
    GroupId
);
id!(
    /// The API key as a record. It never changes, whatever happens to the key's secrets.
    KeyId
);
id!(
    /// One secret of a key.
    SecretId
);
id!(
    /// A limit of a key, a group or an account.
    LimitId
);
id!(
    /// One request through the gateway (UUIDv7), and the primary key of its usage record.
    RequestId
);
