//! The forms around the list: searching, choosing columns, naming a view. None of them changes a key.
//!
//! Searching is a POST because people paste whole secrets: what is pasted is looked up by its digest and then forgotten,
//! and the address that the browser is sent to, which ends in histories and logs, holds words or a public id.

use axum::extract::{Path, Request, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::key_query::{KeyQuery, StateFilter, looks_like_secret};
use domain::secret::PlainSecret;
use store::saved_views::{self, SaveViewError};
use store::{TenantTx, keys};

use super::columns::{self, Columns};
use super::list::{parse, print};
use crate::auth::Flash;
use crate::error::AppError;
use crate::server::forms::{Fields, Post, status_of};
use crate::server::session::Role;
use crate::server::{AppState, Failure, Member, flash};

/// Where to go next, and what to say there.
struct Next {
    query: KeyQuery,
    left: Option<Flash>,
    cookie: Option<String>,
}

impl Next {
    fn to(query: KeyQuery) -> Self {
        Self { query, left: None, cookie: None }
    }

    fn saying(self, notice: &str) -> Self {
        let left = Flash { notice: Some(notice.to_owned()), ..Flash::default() };
        Self { left: Some(left), ..self }
    }

    fn refusing(self, message: &str) -> Self {
        let error = AppError::Conflict { message: message.to_owned() };
        Self { left: Some(Flash { error: Some(error), ..Flash::default() }), ..self }
    }
}

/// `POST /a/{slug}/keys/find`: from what was typed to the address of what it finds.
pub async fn find_keys(state: State<AppState>, slug: Path<String>, request: Request) -> Response {
    answer("find_keys", state, slug, request, find).await
}

/// `POST /a/{slug}/keys/columns`: which columns are shown, and how high rows are.
pub async fn choose_columns(state: State<AppState>, slug: Path<String>, request: Request) -> Response {
    answer("choose_columns", state, slug, request, async |_, fields| {
        let cookie = Columns::posted(&fields).cookie();
        Ok(Next { cookie: Some(cookie), ..Next::to(asked(&fields)) })
    })
    .await
}

/// `POST /a/{slug}/keys/views`: names what is shown, or forgets a name.
pub async fn change_views(state: State<AppState>, slug: Path<String>, request: Request) -> Response {
    answer("change_views", state, slug, request, save_or_forget).await
}

async fn answer<F, Fut>(
    what: &'static str,
    State(state): State<AppState>,
    Path(slug): Path<String>,
    request: Request,
    work: F,
) -> Response
where
    F: FnOnce(Member, Fields) -> Fut,
    Fut: Future<Output = Result<Next, Failure>>,
{
    let post = match Post::read(state.clone(), request).await {
        Ok(post) => post,
        Err(status) => return status.into_response(),
    };
    let next = match Member::admit(post.visit, &slug, Role::Viewer).await {
        Ok(member) => work(member, post.fields).await,
        Err(failure) => Err(failure),
    };
    match next {
        Ok(next) => go(&state, &slug, next),
        Err(failure) => refuse(&failure.tell(what)),
    }
}

fn go(state: &AppState, slug: &str, next: Next) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let address = format!("/a/{slug}/keys?{}", print(&next.query));
    let headers = response.headers_mut();
    // Of a slug that is a member's and an encoded query nothing is refused.
    headers.insert(LOCATION, HeaderValue::from_str(&address).unwrap_or(HeaderValue::from_static("/")));
    if let Some(line) = next.left.and_then(|left| flash::leave(&state.flash_key, left)) {
        headers.append(SET_COOKIE, line);
    }
    if let Some((name, line)) =
        next.cookie.and_then(|value| flash::set_cookie(columns::COOKIE, &value, columns::KEPT_SECONDS))
    {
        headers.append(name, line);
    }
    response
}

fn refuse(error: &AppError) -> Response {
    if *error == AppError::Unauthenticated {
        return (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static("/login"))]).into_response();
    }
    (status_of(error), error.to_string()).into_response()
}

/// The query a form carries in its fields, from its first page on.
fn asked(fields: &Fields) -> KeyQuery {
    if let Some((_, query)) = fields.iter().find(|(name, _)| name == "query") {
        return parse(query).first_page();
    }
    KeyQuery::parse(fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))).first_page()
}

async fn find(member: Member, fields: Fields) -> Result<Next, Failure> {
    let typed = fields.iter().find(|(name, _)| name == "q").map_or("", |(_, value)| value.trim());
    let config = &member.visit.state.config;
    let everything = KeyQuery { state: StateFilter::All, ..KeyQuery::default() };
    if let Ok(secret) = PlainSecret::parse(&config.key_prefix, typed) {
        let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
        let owner = keys::find_by_digest(&mut tx, config.key_pepper.digest(&secret)).await?;
        tx.commit().await?;
        return Ok(match owner {
            Some(owner) => Next::to(KeyQuery { key: Some(owner.public_id), ..KeyQuery::default() }),
            None => Next::to(everything).refusing(
                "No key of this account has the secret you pasted. It was not kept. If you did not expect that, it \
                 may belong to another account.",
            ),
        });
    }
    if looks_like_secret(typed) {
        return Ok(Next::to(everything).refusing(
            "What you pasted looks like a secret, but it is not a whole one of this service. It was not kept. Search \
             by its last four characters instead.",
        ));
    }
    // Words are looked for among all keys again, not in the one that was pasted before.
    Ok(Next::to(KeyQuery { key: None, ..asked(&fields) }))
}

async fn save_or_forget(member: Member, fields: Fields) -> Result<Next, Failure> {
    let field =
        |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let next = Next::to(asked(&fields));
    let mut tx = TenantTx::begin(&member.visit.state.pool, member.membership.account_id).await?;
    if let Some(id) = field("forget") {
        let id = id.parse().map_err(|_| AppError::Malformed)?;
        let gone = saved_views::delete(&mut tx, member.viewer.user, id).await?;
        tx.commit().await?;
        return Ok(if gone { next.saying("The view is forgotten.") } else { next });
    }
    let name = field("name").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let query = print(&next.query);
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Ok(next.refusing("Give the view a name of at most 60 characters."));
    }
    if query.len() > 2_000 {
        return Ok(next.refusing("This view has too many filters to be saved."));
    }
    match saved_views::save(&mut tx, member.viewer.user, &name, &query).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(next.saying(&format!("Saved this view as {name}.")))
        }
        Err(SaveViewError::TooMany) => {
            Ok(next.refusing("You have 50 saved views, which is the most. Forget one of them first."))
        }
        Err(SaveViewError::Store(error)) => Err(error.into()),
    }
}
