//! Signing in, on the server: asking for a code, giving it back, the session that follows.

mod account_name;
mod mail;
mod pending;

use axum::http::{HeaderName, HeaderValue};
use domain::email::EmailAddress;
use domain::rule::{client_network, wide_client_network};
use domain::sign_in::{CODE_LIFE, SignInCode};
use domain::{AccountId, GroupId};
use serde_json::json;
use store::TenantTx;
use store::accounts::{self, NewAccount, OpenAccountError};
use store::audit::{self, Action, Actor, Event};
use store::sessions::{self, NewSession};
use store::sign_in::{self, Issued, NewCode, OpenCode, SignIn};
use subtle::ConstantTimeEq;

use super::{CodeView, Done, LoginView};
use crate::error::AppError;
use crate::server::secrets::{Token, random};
use crate::server::{Failure, Visit, respond, session};
use pending::Pending;

/// The cookie that binds a code to the browser that asked for it.
const BROWSER_COOKIE: &str = "__Host-pre";
/// One answer for every way a code can fail, so that the answer tells nothing about the address.
const WRONG_CODE: &str =
    "This code is wrong or no longer valid. Use the newest mail, or ask for another code.";
/// How often a slug is tried before giving up; the suffixes are random.
const SLUG_TRIES: usize = 8;

pub(super) async fn load_login() -> Result<LoginView, AppError> {
    respond("load_login", async move |visit| {
        // Whoever is signed in already wants their keys.
        if let Some(viewer) = visit.viewer().await?
            && let Some(slug) = session::first_account(&visit.state, &viewer).await?
        {
            return Err(visit.redirect(&format!("/a/{slug}/keys")));
        }
        Ok(LoginView { brand: visit.state.config.brand.clone(), flash: visit.take_flash() })
    })
    .await
}

pub(super) async fn load_code() -> Result<CodeView, AppError> {
    respond("load_code", async move |visit| {
        let Some(pending) = Pending::read(&visit) else { return Err(visit.redirect("/login")) };
        Ok(CodeView {
            brand: visit.state.config.brand.clone(),
            resend_in_seconds: pending.resend_in_seconds(),
            email: pending.email,
            flash: visit.take_flash(),
        })
    })
    .await
}

pub(super) async fn load_unknown() -> Result<(), AppError> {
    respond("load_unknown", async move |_| Err(AppError::NotFound.into())).await
}

/// The answer is the same for known, unknown and limited addresses: neither status, body, headers nor the time it
/// takes to hand a mail over tell them apart.
pub(super) async fn request_code(email: String) -> Result<Done, AppError> {
    respond("request_code", async move |visit| {
        let email =
            EmailAddress::parse(&email).map_err(|error| AppError::invalid("email", format!("{error}.")))?;
        let browser = match visit.cookie(BROWSER_COOKIE).and_then(Token::parse) {
            Some(token) => token,
            None => Token::generate()?,
        };
        let code = SignInCode::from_entropy(random()?);
        let issued = issue(&visit, &email, &browser, &code).await?;
        if issued == Issued::Limited {
            // The page says nothing, so that it tells nothing; whoever runs this must be able to find out.
            tracing::warn!(
                "a sign-in code was not sent: its address or network has had as many as it may have"
            );
        }
        if issued == Issued::Send {
            let user_agent = visit.browser();
            let asked = mail::Asked { at: now(), from: visit.address(), user_agent: &user_agent };
            visit.state.mailer.send(mail::code_mail(&visit.state.config, email.clone(), &code, &asked));
        }
        visit.set_cookie(BROWSER_COOKIE, browser.expose(), CODE_LIFE.whole_seconds());
        Pending::new(email.as_str()).write(&visit);
        Ok(Done { notice: String::new(), next: "/login/code".to_owned() })
    })
    .await
}

async fn issue(
    visit: &Visit,
    email: &EmailAddress,
    browser: &Token,
    code: &SignInCode,
) -> Result<Issued, Failure> {
    let salt = random::<16>()?;
    let new = NewCode {
        email,
        browser_hash: &browser.hash(),
        salt: &salt,
        digest: &code.digest(visit.state.code_key.expose(), salt, email),
        network: client_network(visit.address()),
        wide_network: wide_client_network(visit.address()),
    };
    Ok(sign_in::issue_code(&visit.state.pool, new).await?)
}

pub(super) async fn redeem_code(code: String) -> Result<Done, AppError> {
    respond("redeem_code", async move |visit| {
        let code =
            SignInCode::parse(&code).map_err(|error| AppError::invalid("code", format!("{error}.")))?;
        let slug = redeem(&visit, &code).await?.ok_or_else(|| AppError::invalid("code", WRONG_CODE))?;
        visit.set_cookie(BROWSER_COOKIE, "", 0);
        Pending::clear(&visit);
        Ok(Done { notice: String::new(), next: format!("/a/{slug}/keys") })
    })
    .await
}

/// Signs in if it is the right code, and gives the account's slug; every try is booked.
async fn redeem(visit: &Visit, code: &SignInCode) -> Result<Option<String>, Failure> {
    let pool = &visit.state.pool;
    let Some(browser) = visit.cookie(BROWSER_COOKIE).and_then(Token::parse) else { return Ok(None) };
    let Some(open) = sign_in::find_code(pool, &browser.hash()).await? else { return Ok(None) };
    let email = EmailAddress::parse(&open.email).map_err(|error| Failure::Fault(error.into()))?;
    if !is_right(visit, code, &email, &open) {
        sign_in::book_wrong_try(pool, open.id).await?;
        return Ok(None);
    }
    let Some(sign_in) = SignIn::begin(pool, open.id, &email).await? else { return Ok(None) };
    sign_in_as(visit, sign_in, &email).await.map(Some)
}

fn is_right(visit: &Visit, code: &SignInCode, email: &EmailAddress, open: &OpenCode) -> bool {
    let Ok(salt) = <[u8; 16]>::try_from(open.salt.as_slice()) else { return false };
    let digest = code.digest(visit.state.code_key.expose(), salt, email);
    digest.ct_eq(open.digest.as_slice()).into()
}

/// Opens a session (and, the first time, the account) in the transaction that used the code, and gives the browser its
/// cookie. Returns the account's slug.
async fn sign_in_as(visit: &Visit, mut sign_in: SignIn, email: &EmailAddress) -> Result<String, Failure> {
    let user = sign_in.user();
    let known = sign_in.list_accounts().await?.into_iter().next();
    let is_new = known.is_none();
    let (account, slug) = if let Some(membership) = known {
        (membership.account_id, membership.slug)
    } else {
        open_account(visit, &mut sign_in, email).await?
    };
    // A new token at every sign-in: one that was planted before is worth nothing.
    let token = Token::generate()?;
    let (client, user_agent) = (visit.address(), visit.browser());
    let actor = Actor { user, email: email.as_str(), client, user_agent: &user_agent };
    let mut tx = sign_in.into_account(account).await?;
    let session = NewSession { user, token_hash: &token.hash(), client, user_agent: &user_agent };
    let session = sessions::open(&mut tx, session).await?;
    if is_new {
        let target = Some(account.0);
        let event = Event { action: Action::AccountOpened, target, target_name: &slug, detail: json!({}) };
        audit::insert(&mut tx, actor, event).await?;
    }
    let detail = json!({ "factor": "email_code" });
    let event = Event { action: Action::SignedIn, target: Some(session), target_name: "", detail };
    audit::insert(&mut tx, actor, event).await?;
    tx.commit().await?;
    visit.set_cookie(session::COOKIE, token.expose(), sessions::LIFE.whole_seconds());
    Ok(slug)
}

/// Makes the person's first account, named after their address, with a slug nobody has.
async fn open_account(
    visit: &Visit,
    sign_in: &mut SignIn,
    email: &EmailAddress,
) -> Result<(AccountId, String), Failure> {
    let billing = visit.state.config.new_account_billing;
    let name = account_name::name(email);
    for attempt in 0..SLUG_TRIES {
        let suffix = if attempt == 0 { None } else { Some(u32::from_be_bytes(random()?)) };
        let slug = account_name::slug(email, suffix);
        let id = AccountId(store::new_id());
        let (group, owner) = (GroupId(store::new_id()), sign_in.user());
        match sign_in.open_account(NewAccount { id, group, owner, slug: &slug, name: &name, billing }).await {
            Ok(()) => return Ok((id, slug)),
            Err(OpenAccountError::SlugTaken) => {}
            Err(OpenAccountError::Store(error)) => return Err(error.into()),
        }
    }
    Err(Failure::Fault("no free slug was found for a new account".into()))
}

/// Ends the session and asks the browser to forget what it stored of this site. Harmless without a session.
pub(super) async fn sign_out() -> Result<Done, AppError> {
    respond("sign_out", async move |visit| {
        if let Some(token) = visit.cookie(session::COOKIE).and_then(Token::parse) {
            audit_sign_out(&visit).await?;
            sessions::close(&visit.state.pool, &token.hash()).await?;
        }
        visit.set_cookie(session::COOKIE, "", 0);
        // Not "cookies", which would reach every other site of the operator's domain; ours went a line above. Not
        // "cache": no page of ours is ever stored.
        let stored = HeaderValue::from_static("\"storage\"");
        visit.set_header(HeaderName::from_static("clear-site-data"), stored);
        Ok(Done { notice: String::new(), next: "/login".to_owned() })
    })
    .await
}

/// Notes the end of a live session in the account the person joined first, as its beginning was.
async fn audit_sign_out(visit: &Visit) -> Result<(), Failure> {
    let Some(viewer) = visit.viewer().await? else { return Ok(()) };
    let accounts = accounts::list_of_user(&visit.state.pool, viewer.user).await?;
    let Some(account) = accounts.into_iter().next() else { return Ok(()) };
    let mut tx = TenantTx::begin(&visit.state.pool, account.account_id).await?;
    let target = Some(viewer.session);
    let event = Event { action: Action::SignedOut, target, target_name: "", detail: json!({}) };
    audit::insert(&mut tx, visit.actor(&viewer, &visit.browser()), event).await?;
    Ok(tx.commit().await?)
}

/// For the mail's "asked for on"; no rule depends on it.
fn now() -> time::OffsetDateTime {
    std::time::SystemTime::now().into()
}
