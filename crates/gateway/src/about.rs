//! What `GET /v1/key` says: what a key is, may do, and has left.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// The answer's body.
#[derive(Debug, Serialize)]
pub struct About<'a> {
    /// Always `key`.
    pub object: &'static str,
    /// The public id of the secret that asks.
    pub id: &'a str,
    /// `enabled`, `expired` or, with a limit of its own used up, `exhausted`: any other key gets no answer.
    pub status: &'static str,
    /// When it ends; null is never.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Its group.
    pub group_id: Uuid,
    /// Its label.
    pub environment: Option<&'a str>,
    /// What it may do, of what there is.
    pub permissions: Vec<&'static str>,
    /// The models it may use, of those on offer.
    pub models: Vec<&'a str>,
    /// How many networks it may be used from; null is any.
    pub addresses: Option<usize>,
    /// Its limits.
    pub limits: Vec<LimitLeft>,
}

/// One limit and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitLeft {
    /// `cost` (in nano-dollars), `tokens` or `requests`.
    pub kind: &'static str,
    /// Its value.
    pub limit: i64,
    /// What is left of it now, with what running requests may still use.
    pub left: i64,
    /// When it starts anew; null is never.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resets_at: Option<OffsetDateTime>,
}
