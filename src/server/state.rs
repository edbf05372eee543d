//! What every request may use.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use axum::extract::FromRef;
use leptos::config::LeptosOptions;
use store::PgPool;

use super::config::Config;
use super::mailer::Mailer;
use super::receipt::Receipts;
use super::secrets::{Purpose, PurposeKey};

/// The console: settings, database, mail, keys. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Console>);

/// What [`AppState`] shares.
pub struct Console {
    /// The settings.
    pub config: Config,
    /// The database, as the console's role.
    pub pool: PgPool,
    /// Proof that the gateways follow.
    pub receipts: Receipts,
    /// Outgoing mail.
    pub mailer: Mailer,
    /// Signs the flash cookie.
    pub flash_key: PurposeKey,
    /// Signs the cookie between the two steps of signing in.
    pub pending_key: PurposeKey,
    /// Keys the digests of sign-in codes.
    pub code_key: PurposeKey,
    /// Where the build left scripts and styles.
    pub leptos: LeptosOptions,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(config: Config, pool: PgPool, mailer: Mailer) -> Self {
        let flash_key = config.secret_key.derive(Purpose::Flash);
        let pending_key = config.secret_key.derive(Purpose::Pending);
        let code_key = config.secret_key.derive(Purpose::SignInCode);
        let receipts = Receipts::new(pool.clone());
        let leptos = leptos_options(&config);
        Self(Arc::new(Console { config, pool, receipts, mailer, flash_key, pending_key, code_key, leptos }))
    }
}

/// Names as the build gave them.
fn leptos_options(config: &Config) -> LeptosOptions {
    let hashed = config.hash_file.is_some();
    let hash_file = config.hash_file.as_deref().unwrap_or(Path::new("hash.txt"));
    LeptosOptions::builder()
        .output_name("latchkey")
        .site_root(config.site_root.to_string_lossy().into_owned())
        .site_pkg_dir("pkg")
        .hash_file(Arc::from(hash_file.to_string_lossy()))
        .hash_files(hashed)
        .build()
}

impl Deref for AppState {
    type Target = Console;

    fn deref(&self) -> &Console {
        &self.0
    }
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}
