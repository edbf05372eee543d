//! The one door into a server function: who calls, what they may do, what a failure tells them.
//!
//! The only place besides `functions.rs` that knows how server functions and pages answer over HTTP.

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use store::StoreError;
use store::audit::Actor;

use super::clientaddr::{Peer, client_address};
use super::session::{self, Membership, Role, Viewer};
use super::state::AppState;
use super::{flash, functions, secrets};
use crate::auth::Flash;
use crate::error::AppError;

/// Why a server function did not do it.
#[derive(Debug)]
pub enum Failure {
    /// The caller is told as it stands.
    Refused(AppError),
    /// The browser is sent to another page, by [`Visit::redirect`].
    Elsewhere,
    /// The database or another part cannot be reached; the caller is told that, the log says what.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// Something that should not happen; the caller gets a reference into the log.
    Fault(Box<dyn Error + Send + Sync>),
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error.into()) } else { Self::Fault(error.into()) }
    }
}

/// Whether the database is away or too busy, rather than asked something wrong.
fn is_unavailable(error: &StoreError) -> bool {
    match error {
        StoreError::Io(_) | StoreError::Tls(_) | StoreError::PoolTimedOut | StoreError::PoolClosed => true,
        // Classes 08 connection, 53 resources, 57 stopped by an operator or by the statement time-out.
        StoreError::Database(error) => {
            error.code().is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

impl From<secrets::NoRandomness> for Failure {
    fn from(error: secrets::NoRandomness) -> Self {
        Self::Fault(error.into())
    }
}

impl Failure {
    /// What the browser is told. Faults are logged here, once, with a reference.
    pub fn tell(self, what: &str) -> AppError {
        match self {
            Self::Refused(error) => error,
            Self::Elsewhere => AppError::NotFound,
            Self::Unavailable(cause) => {
                tracing::error!(what, cause = chain(&*cause), "a part this needs cannot be reached");
                AppError::Unavailable
            }
            Self::Fault(cause) => {
                let reference = reference();
                tracing::error!(what, reference, cause = chain(&*cause), "a request failed");
                AppError::Internal { reference }
            }
        }
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

/// Eight characters that find a log line.
fn reference() -> String {
    secrets::random::<4>()
        .map_or_else(|_| "unknown".to_owned(), |bytes| format!("{:08x}", u32::from_be_bytes(bytes)))
}

/// The request that is being answered: a page's, or a direct call of a server function.
#[derive(Clone)]
pub struct Visit {
    /// The console.
    pub state: AppState,
    pub(super) parts: Parts,
    response: ResponseOptions,
}

impl Visit {
    /// Of a request that a handler of our own answers; what it sets on the response goes nowhere.
    #[must_use]
    pub fn of(state: AppState, parts: Parts) -> Self {
        Self { state, parts, response: ResponseOptions::default() }
    }

    /// From Leptos' context; `None` outside a request.
    fn from_context() -> Option<Self> {
        Some(Self { state: use_context()?, parts: use_context()?, response: use_context()? })
    }

    /// The value of a cookie of the request.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        flash::cookie(&self.parts.headers, name)
    }

    /// Adds a cookie to the response. `max_age_seconds` 0 takes it away.
    pub fn set_cookie(&self, name: &str, value: &str, max_age_seconds: i64) {
        if let Some((name, line)) = flash::set_cookie(name, value, max_age_seconds) {
            self.response.append_header(name, line);
        }
    }

    /// Sets a header of the response.
    pub fn set_header(&self, name: HeaderName, value: HeaderValue) {
        self.response.insert_header(name, value);
    }

    /// What the previous form post left for this page; takes it away.
    #[must_use]
    pub fn take_flash(&self) -> Flash {
        let Some((flash, gone)) = flash::take(&self.state.flash_key, &self.parts.headers) else {
            return Flash::default();
        };
        self.response.append_header(SET_COOKIE, gone);
        flash
    }

    /// Sends the browser elsewhere instead of showing this page, and ends the page's loader. A direct call gets the
    /// error only: our scripts decide where to go.
    #[must_use]
    pub fn redirect(&self, path: &str) -> Failure {
        if self.is_page()
            && let Ok(path) = HeaderValue::from_str(path)
        {
            self.response.insert_header(LOCATION, path);
            self.response.set_status(StatusCode::SEE_OTHER);
        }
        Failure::Elsewhere
    }

    /// The client's address, proxies considered.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        let peer =
            self.parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        client_address(peer, &self.parts.headers, &self.state.config.trusted_proxies)
    }

    /// What the browser calls itself, cut to a length worth keeping.
    #[must_use]
    pub fn browser(&self) -> String {
        let agent = self.parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        agent.unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect()
    }

    /// The signed-in person, if the session lives.
    pub async fn viewer(&self) -> Result<Option<Viewer>, Failure> {
        session::find(&self.state, self.cookie(session::COOKIE)).await
    }

    /// The person, as the audit log names them. `user_agent` is [`Visit::browser`].
    #[must_use]
    pub fn actor<'a>(&self, viewer: &'a Viewer, user_agent: &'a str) -> Actor<'a> {
        Actor { user: viewer.user, email: &viewer.email, client: self.address(), user_agent }
    }

    fn is_page(&self) -> bool {
        !functions::is_function_path(self.parts.uri.path())
    }

    /// Gives a page the status of its failure, or sends it to sign in. Direct calls get theirs in `functions.rs`.
    fn answer(&self, error: &AppError) {
        if !self.is_page() {
            return;
        }
        if *error == AppError::Unauthenticated {
            let _elsewhere = self.redirect("/login");
        } else if let Ok(status) = StatusCode::from_u16(error.status()) {
            self.response.set_status(status);
        }
    }
}

/// Runs a server function for anybody. `name` is the function's, for the log.
pub async fn respond<T, Fut>(
    name: &'static str,
    work: impl FnOnce(Visit) -> Fut + Send,
) -> Result<T, AppError>
where
    Fut: Future<Output = Result<T, Failure>> + Send,
{
    let Some(visit) = Visit::from_context() else { return Err(AppError::Transport) };
    work(visit.clone()).await.map_err(|failure| {
        let elsewhere = matches!(failure, Failure::Elsewhere);
        let error = failure.tell(name);
        if !elsewhere {
            visit.answer(&error);
        }
        error
    })
}

/// A signed-in person in an account, with a role that suffices.
#[derive(Clone)]
pub struct Member {
    /// The request.
    pub visit: Visit,
    /// Who.
    pub viewer: Viewer,
    /// Where, and as what.
    pub membership: Membership,
}

/// Runs a server function for a member of the account `slug` whose role is at least `needed`. Nobody: 401. Somebody
/// else's account answers as a missing one: 404. Too low a role: 403.
pub async fn respond_as<T, Fut>(
    name: &'static str,
    slug: String,
    needed: Role,
    work: impl FnOnce(Member) -> Fut + Send,
) -> Result<T, AppError>
where
    Fut: Future<Output = Result<T, Failure>> + Send,
    T: Send,
{
    respond(name, async move |visit| {
        let member = Member::admit(visit, &slug, needed).await?;
        work(member).await
    })
    .await
}

impl Member {
    /// Checks session, membership and role.
    pub async fn admit(visit: Visit, slug: &str, needed: Role) -> Result<Self, Failure> {
        let viewer = visit.viewer().await?.ok_or(AppError::Unauthenticated)?;
        let membership = session::membership(&visit.state, &viewer, slug).await?.ok_or(AppError::NotFound)?;
        if membership.role < needed {
            return Err(AppError::Forbidden.into());
        }
        Ok(Self { visit, viewer, membership })
    }
}
