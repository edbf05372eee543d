//! Who is signed in, and as what. The database knows sessions by their hash and decides by its own clock.

use domain::UserId;
use store::{accounts, sessions};
use uuid::Uuid;

use super::respond::Failure;
use super::secrets::Token;
use super::state::AppState;

pub use store::accounts::{Membership, Role};

/// The session cookie. `__Host-` binds it to this host over TLS (browsers count localhost as such).
pub const COOKIE: &str = "__Host-sid";

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The session.
    pub session: Uuid,
    /// The person.
    pub user: UserId,
    /// Their address.
    pub email: String,
}

/// The person of a session cookie, if the session lives. Notes that it was seen.
pub async fn find(state: &AppState, cookie: Option<&str>) -> Result<Option<Viewer>, Failure> {
    let Some(token) = cookie.and_then(Token::parse) else { return Ok(None) };
    let session = sessions::find(&state.pool, &token.hash()).await?;
    Ok(session.map(|session| Viewer { session: session.id, user: session.user, email: session.email }))
}

/// The person's membership in the account `slug`, read afresh: a role taken away is gone with the next request.
pub async fn membership(
    state: &AppState,
    viewer: &Viewer,
    slug: &str,
) -> Result<Option<Membership>, Failure> {
    let all = accounts::list_of_user(&state.pool, viewer.user).await?;
    Ok(all.into_iter().find(|membership| membership.slug == slug))
}

/// The slug of the account the person joined first.
pub async fn first_account(state: &AppState, viewer: &Viewer) -> Result<Option<String>, Failure> {
    let all = accounts::list_of_user(&state.pool, viewer.user).await?;
    Ok(all.into_iter().next().map(|membership| membership.slug))
}
