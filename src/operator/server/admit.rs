//! Who may see and do what an operator does. For everybody else nothing here exists.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;
use store::operator::{Credentials, OperatorTx};

use crate::error::AppError;
use crate::keys::AccountView;
use crate::server::secrets::Token;
use crate::server::session::{self, Viewer};
use crate::server::{AppState, Failure, Visit, documents};

/// Where the operator's pages are.
const PAGES: &str = "/operator";

/// A signed-in operator.
pub struct Operator {
    /// The request.
    pub visit: Visit,
    viewer: Viewer,
    token_hash: [u8; 32],
}

impl Operator {
    /// Lets in whom `OPERATOR_EMAILS` names. Everybody else, signed in or not, is told that there is nothing.
    pub async fn admit(visit: Visit) -> Result<Self, Failure> {
        let operators = &visit.state.config.operators;
        let token = visit.cookie(session::COOKIE).and_then(Token::parse);
        let token_hash =
            token.filter(|_| !operators.addresses().is_empty()).ok_or(AppError::NotFound)?.hash();
        let viewer = visit.viewer().await?.filter(|viewer| operators.include(&viewer.email));
        let viewer = viewer.ok_or(AppError::NotFound)?;
        Ok(Self { visit, viewer, token_hash })
    }

    /// Begins a transaction that may change the operator's tables. The database asks for the session once more.
    pub async fn begin(&self) -> Result<OperatorTx, Failure> {
        let user_agent = self.visit.browser();
        let credentials = Credentials {
            token_hash: &self.token_hash,
            operators: self.visit.state.config.operators.addresses(),
            client: self.visit.address(),
            user_agent: &user_agent,
        };
        let opened = OperatorTx::begin(&self.visit.state.pool, credentials).await?;
        opened.ok_or_else(|| AppError::NotFound.into())
    }

    /// What the frame shows: no account, and the way back to the operator's own keys.
    pub async fn account(&self) -> Result<AccountView, Failure> {
        let state = &self.visit.state;
        let brand = state.config.brand.clone();
        Ok(AccountView {
            slug: session::first_account(state, &self.viewer).await?.unwrap_or_default(),
            name: brand.clone(),
            role: "Operator".to_owned(),
            may_edit: true,
            email: self.viewer.email.clone(),
            brand,
            billing_active: true,
            operator: true,
        })
    }
}

/// Answers the operator's addresses as missing ones, to the byte, unless an operator asks: no page there has to
/// remember to.
pub async fn hide(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.strip_prefix(PAGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match Operator::admit(Visit::of(state.clone(), parts.clone())).await {
        Err(Failure::Refused(_)) => {
            parts.uri = Uri::from_static("/-");
            documents::file_or_page(State(state), Request::from_parts(parts, Body::empty())).await
        }
        // A database that is away is told by the page itself.
        Ok(_) | Err(_) => next.run(Request::from_parts(parts, body)).await,
    }
}
