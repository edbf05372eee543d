//! Every way the gateway says no: status, type, code, message and retry advice of each, in one closed list.
//!
//! The gateway renders it, the console explains it; neither invents a code. No message holds a secret, an address
//! list or SQL.

use std::time::Duration;

use crate::money::NanoUsd;
use crate::secret::KeyPrefix;

/// Which limit of a key, group or account a request ran into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitKind {
    /// The key's cost limit, in nano-dollars.
    Cost,
    /// The key's token limit.
    Tokens,
    /// The budget of the key's group, in nano-dollars.
    Group,
    /// The account's balance or credit line, in nano-dollars.
    Balance,
}

/// A limit that has no room for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitReached {
    /// Which limit.
    pub kind: LimitKind,
    /// Its value: nano-dollars or tokens.
    pub limit: i64,
    /// Until it resets; `None` when it never does.
    pub resets_in: Option<Duration>,
    /// Room exists but is reserved by requests in flight or by another gateway: worth trying again at once.
    pub reserved: bool,
}

/// Why a request was not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Plain HTTP where TLS is required.
    HttpsRequired,
    /// No key, not a key, an unknown, revoked or deleted one. One answer for all, so that it tells nothing.
    InvalidApiKey,
    /// The key is switched off.
    KeyDisabled,
    /// The key is past its expiry.
    KeyExpired,
    /// The client's address is not on the key's list.
    IpNotAllowed,
    /// The account is suspended.
    AccountInactive,
    /// The key's group is archived.
    GroupArchived,
    /// The account has no active billing method.
    BillingInactive,
    /// The account's balance is used up.
    InsufficientBalance,
    /// The key or its group lacks the route's permission.
    InsufficientPermissions,
    /// The key or its group may not use this model.
    ModelNotAllowed {
        /// As the client named it.
        model: String,
    },
    /// No such model here.
    ModelNotFound {
        /// As the client named it.
        model: String,
    },
    /// Too many requests within 60 s.
    RateLimitExceeded {
        /// Requests per minute.
        limit: u32,
        /// Until the next request would pass.
        next_slot_in: Duration,
    },
    /// A cost, token or group limit has no room.
    LimitReached(LimitReached),
    /// The request itself is wrong.
    InvalidRequest {
        /// Why, for the developer.
        message: String,
        /// The field at fault, if one is.
        param: Option<String>,
    },
    /// No such path.
    PathNotFound,
    /// The path exists, the method does not fit.
    MethodNotAllowed,
    /// The client took too long to send its request.
    RequestTimeout,
    /// The body is larger than `limit` bytes.
    BodyTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The body is of another type than the endpoint takes.
    UnsupportedMediaType {
        /// The type it takes.
        wanted: &'static str,
    },
    /// The header block is too large.
    HeadersTooLarge,
    /// The request's target is too long.
    UriTooLong,
    /// The gateway cannot know the policy at the moment. Never an "allow", never a 401.
    PolicyUnavailable,
    /// The gateway has more work than it can account for.
    Overloaded,
    /// The model's provider could not be reached or failed.
    UpstreamFailed,
    /// The model's provider did not answer in time.
    UpstreamTimeout,
}

impl Refusal {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidApiKey | Self::KeyDisabled | Self::KeyExpired => 401,
            Self::BillingInactive
            | Self::InsufficientBalance
            | Self::LimitReached(LimitReached { kind: LimitKind::Balance, reserved: false, .. }) => 402,
            Self::HttpsRequired
            | Self::IpNotAllowed
            | Self::AccountInactive
            | Self::GroupArchived
            | Self::InsufficientPermissions
            | Self::ModelNotAllowed { .. } => 403,
            Self::ModelNotFound { .. } | Self::PathNotFound => 404,
            Self::RateLimitExceeded { .. } | Self::LimitReached(_) => 429,
            Self::InvalidRequest { .. } => 400,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType { .. } => 415,
            Self::HeadersTooLarge => 431,
            Self::PolicyUnavailable | Self::Overloaded => 503,
            Self::UpstreamFailed => 502,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The `type` of the error body: the class client libraries sort by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidApiKey | Self::KeyDisabled | Self::KeyExpired => "authentication_error",
            Self::HttpsRequired
            | Self::IpNotAllowed
            | Self::AccountInactive
            | Self::GroupArchived
            | Self::InsufficientPermissions
            | Self::ModelNotAllowed { .. } => "permission_error",
            Self::BillingInactive
            | Self::InsufficientBalance
            | Self::LimitReached(LimitReached { kind: LimitKind::Balance, reserved: false, .. }) => {
                "billing_error"
            }
            Self::RateLimitExceeded { .. } | Self::LimitReached(_) => "rate_limit_error",
            Self::ModelNotFound { .. }
            | Self::InvalidRequest { .. }
            | Self::PathNotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::BodyTooLarge { .. }
            | Self::UnsupportedMediaType { .. }
            | Self::HeadersTooLarge
            | Self::UriTooLong => "invalid_request_error",
            Self::PolicyUnavailable | Self::Overloaded => "server_error",
            Self::UpstreamFailed | Self::UpstreamTimeout => "upstream_error",
        }
    }

    /// The stable `code`: the body's, the log's and the metric's word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HttpsRequired => "https_required",
            Self::InvalidApiKey => "invalid_api_key",
            Self::KeyDisabled => "key_disabled",
            Self::KeyExpired => "key_expired",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::AccountInactive => "account_inactive",
            Self::GroupArchived => "group_archived",
            Self::BillingInactive => "billing_inactive",
            Self::InsufficientBalance => "insufficient_balance",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::ModelNotAllowed { .. } => "model_not_allowed",
            Self::ModelNotFound { .. } => "model_not_found",
            Self::RateLimitExceeded { .. } => "rate_limit_exceeded",
            Self::LimitReached(reached) => match reached.kind {
                LimitKind::Cost => "cost_limit_exceeded",
                LimitKind::Tokens => "token_limit_exceeded",
                LimitKind::Group => "group_limit_exceeded",
                LimitKind::Balance => "insufficient_balance",
            },
            Self::InvalidRequest { .. } => "invalid_request",
            Self::PathNotFound => "path_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UnsupportedMediaType { .. } => "unsupported_media_type",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::PolicyUnavailable => "policy_unavailable",
            Self::Overloaded => "overloaded",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// Which rule or limit said no: what a kept refusal calls it.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::HttpsRequired => "transport",
            Self::InvalidApiKey => "secret",
            Self::KeyDisabled => "status",
            Self::KeyExpired => "expiry",
            Self::IpNotAllowed => "address",
            Self::AccountInactive | Self::GroupArchived | Self::BillingInactive => "account",
            Self::InsufficientPermissions => "permission",
            Self::ModelNotAllowed { .. } | Self::ModelNotFound { .. } => "model",
            Self::RateLimitExceeded { .. } => "requests_per_minute",
            Self::InsufficientBalance => "balance",
            Self::LimitReached(reached) => match reached.kind {
                LimitKind::Cost => "cost",
                LimitKind::Tokens => "tokens",
                LimitKind::Group => "group_budget",
                LimitKind::Balance => "balance",
            },
            Self::InvalidRequest { .. }
            | Self::PathNotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::BodyTooLarge { .. }
            | Self::UnsupportedMediaType { .. }
            | Self::HeadersTooLarge
            | Self::UriTooLong => "request",
            Self::PolicyUnavailable | Self::Overloaded => "service",
            Self::UpstreamFailed | Self::UpstreamTimeout => "upstream",
        }
    }

    /// The sentence for the developer. `prefix` is this service's, so that a foreign key explains itself.
    pub fn message(&self, prefix: &KeyPrefix) -> String {
        match self {
            Self::HttpsRequired => "This service accepts HTTPS only.".to_owned(),
            Self::InvalidApiKey => format!(
                "Invalid API key provided. Keys of this service begin with {prefix}: check that the whole key was \
                 copied and that it has not been revoked."
            ),
            Self::KeyDisabled => "This API key is disabled. Enable it in the console.".to_owned(),
            Self::KeyExpired => {
                "This API key has expired. Extend it in the console or use another.".to_owned()
            }
            Self::IpNotAllowed => "This API key may not be used from this address.".to_owned(),
            Self::AccountInactive => "The account of this API key is suspended.".to_owned(),
            Self::GroupArchived => "The group of this API key is archived.".to_owned(),
            Self::BillingInactive => "The account of this API key has no active billing method.".to_owned(),
            Self::InsufficientBalance => "The account's balance is used up.".to_owned(),
            Self::InsufficientPermissions => "API key doesn't have permission for this endpoint".to_owned(),
            Self::ModelNotAllowed { model } => format!("This API key may not use the model '{model}'."),
            Self::ModelNotFound { model } => format!("The model '{model}' does not exist here."),
            Self::RateLimitExceeded { limit, next_slot_in } => format!(
                "Rate limit of {limit} requests per minute reached. Try again in {} s.",
                whole_seconds(*next_slot_in)
            ),
            Self::LimitReached(reached) => limit_message(*reached),
            Self::InvalidRequest { message, .. } => message.clone(),
            Self::PathNotFound => "There is no such endpoint here.".to_owned(),
            Self::MethodNotAllowed => "This endpoint does not take this method.".to_owned(),
            Self::RequestTimeout => "The request took too long to arrive.".to_owned(),
            Self::BodyTooLarge { limit } => {
                format!("The request body is larger than {} MiB.", limit / (1024 * 1024))
            }
            Self::UnsupportedMediaType { wanted } => {
                format!("The request body must be {wanted}, not compressed.")
            }
            Self::HeadersTooLarge => "The request headers are too large.".to_owned(),
            Self::UriTooLong => "The request's path and query are too long.".to_owned(),
            Self::PolicyUnavailable => {
                "The service cannot check this API key at the moment. The key is not at fault; try again."
                    .to_owned()
            }
            Self::Overloaded => "The service is overloaded; try again shortly.".to_owned(),
            Self::UpstreamFailed => "The model's provider failed to answer.".to_owned(),
            Self::UpstreamTimeout => "The model's provider did not answer in time.".to_owned(),
        }
    }

    /// The request field at fault, for the body's `param`.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::ModelNotAllowed { .. } | Self::ModelNotFound { .. } => Some("model"),
            Self::InvalidRequest { param, .. } => param.as_deref(),
            _ => None,
        }
    }

    /// Seconds for `Retry-After`, where waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimitExceeded { next_slot_in, .. } => Some(whole_seconds(*next_slot_in)),
            Self::LimitReached(LimitReached { reserved: true, .. }) => Some(1),
            Self::LimitReached(LimitReached { resets_in, .. }) => resets_in.map(whole_seconds),
            Self::PolicyUnavailable | Self::Overloaded => Some(5),
            _ => None,
        }
    }

    /// What `x-should-retry` says, where client libraries would guess wrong.
    pub const fn should_retry(&self) -> Option<bool> {
        match self {
            Self::BillingInactive
            | Self::InsufficientBalance
            | Self::LimitReached(LimitReached { reserved: false, .. }) => Some(false),
            _ => None,
        }
    }
}

/// Whole seconds, rounded up, at least one: a client that waits this long must not come too early.
fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 { seconds + 1 } else { seconds.max(1) }
}

fn limit_message(reached: LimitReached) -> String {
    let what = match reached.kind {
        LimitKind::Cost => format!("cost limit of {}", NanoUsd(reached.limit)),
        LimitKind::Tokens => format!("token limit of {}", reached.limit),
        LimitKind::Group => format!("group's budget of {}", NanoUsd(reached.limit)),
        LimitKind::Balance => return balance_message(reached),
    };
    let when = match (reached.reserved, reached.resets_in) {
        (true, _) => "What is left of it is reserved by requests in flight; try again in 1 s.".to_owned(),
        (false, Some(time)) => format!("It resets in {} s.", whole_seconds(time)),
        (false, None) => "It does not reset by itself; raise it in the console.".to_owned(),
    };
    format!("This API key's {what} is reached. {when}")
}

fn balance_message(reached: LimitReached) -> String {
    if reached.reserved {
        return "What is left of the account's balance is reserved by requests in flight; try again in 1 s."
            .to_owned();
    }
    "The account's balance does not cover this request. Add credit in the console, or lower its output cap."
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(kind: LimitKind, resets_in: Option<u64>, reserved: bool) -> Refusal {
        let resets_in = resets_in.map(Duration::from_secs);
        Refusal::LimitReached(LimitReached { kind, limit: 5_000_000_000, resets_in, reserved })
    }

    #[test]
    fn a_spent_limit_names_itself_and_its_reset() {
        let prefix = KeyPrefix::parse("sk-lk-").unwrap();
        let refusal = reached(LimitKind::Cost, Some(3_600), false);
        assert_eq!(
            (refusal.status(), refusal.kind(), refusal.code()),
            (429, "rate_limit_error", "cost_limit_exceeded")
        );
        assert_eq!((refusal.retry_after(), refusal.should_retry()), (Some(3_600), Some(false)));
        assert_eq!(
            refusal.message(&prefix),
            "This API key's cost limit of $5.00 is reached. It resets in 3600 s."
        );
        assert_eq!(reached(LimitKind::Tokens, None, false).retry_after(), None);
        let balance = reached(LimitKind::Balance, None, false);
        assert_eq!(
            (balance.status(), balance.kind(), balance.code()),
            (402, "billing_error", "insufficient_balance")
        );
        assert_eq!((balance.retry_after(), balance.should_retry()), (None, Some(false)));
        assert_eq!(reached(LimitKind::Balance, None, true).status(), 429);
        let waiting = reached(LimitKind::Group, None, true);
        assert_eq!((waiting.retry_after(), waiting.should_retry()), (Some(1), None));
    }

    #[test]
    fn a_wrong_key_learns_this_services_prefix() {
        let prefix = KeyPrefix::parse("sk-srt-").unwrap();
        let message = Refusal::InvalidApiKey.message(&prefix);
        assert!(message.starts_with("Invalid API key provided") && message.contains("sk-srt-"), "{message}");
    }

    #[test]
    fn waiting_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }
}
