//! `TestConsole` and the browsers that visit it.

mod browser;
mod logs;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use axum::Router;
use clap::Parser;
use latchkey::server::AppState;
use latchkey::server::config::{Cli, Config};
use latchkey::server::mailer::Mailer;
use latchkey::server::router::router;
use sqlx::{Executor, PgPool};
use store::connect::as_role;
use testkit::mail::MailSink;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use browser::{Browser, Page};
pub use logs::logged;

pub const PUBLIC_URL: &str = "https://keys.example.com";

/// A console on its own database, with its own mail server.
pub struct TestConsole {
    pub router: Router,
    /// The database as its owner, who sees everything.
    pub owner: PgPool,
    /// The database as the console sees it.
    pub pool: PgPool,
    pub mail: MailSink,
    /// Ends the mail worker with the test.
    _stop: tokio_util::sync::DropGuard,
}

impl TestConsole {
    pub async fn new(owner: PgPool) -> Self {
        Self::with(owner, &[]).await
    }

    /// With further settings, as on the command line.
    pub async fn with(owner: PgPool, settings: &[&str]) -> Self {
        logs::start();
        let mail = MailSink::start_local().await.unwrap();
        let pool = as_role(&owner, "latchkey_console").await.unwrap();
        let config = config(&mail.smtp_url(), settings);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let mailer = Mailer::start(&config.smtp, config.mail_from.clone(), &tasks, stop.clone()).unwrap();
        let router = router(AppState::new(config, pool.clone(), mailer));
        Self { router, owner, pool, mail, _stop: stop.drop_guard() }
    }

    /// A fresh browser: no cookies, an address of its own.
    pub fn browser(&self) -> Browser {
        self.browser_from("203.0.113.7".parse().unwrap())
    }

    pub fn browser_from(&self, address: IpAddr) -> Browser {
        Browser::new(self.router.clone(), SocketAddr::new(address, 50_000))
    }

    /// A browser whose person has signed in, and the slug of their account.
    pub async fn signed_in(&self, email: &str) -> (Browser, String) {
        let mut browser = self.browser();
        browser.get("/login").await;
        let asked = browser.submit_email(email).await;
        assert_eq!(asked.location(), "/login/code");
        let code = self.code_for(email).await;
        let inside = browser.submit_code(&code).await;
        let slug = inside.location().split('/').nth(2).unwrap().to_owned();
        browser.get(inside.location()).await;
        (browser, slug)
    }

    /// The code of the newest mail to this address.
    pub async fn code_for(&self, email: &str) -> String {
        let mail = self.mail.wait_for(email).await.unwrap();
        self.mail.clear();
        mail.code.unwrap()
    }

    /// Runs a statement as the owner, such as one that lets time pass.
    pub async fn sql(&self, statement: &'static str) {
        self.owner.execute(statement).await.unwrap();
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.owner).await.unwrap()
    }

    /// Makes the person of `email` a member of the account `slug` with `role`, and of no other.
    pub async fn set_role(&self, email: &str, slug: &str, role: &str) {
        let leave = "DELETE FROM members USING users WHERE user_id = users.id AND email = $1 RETURNING 1";
        let _left: Vec<i32> = sqlx::query_scalar(leave).bind(email).fetch_all(&self.owner).await.unwrap();
        let join = "INSERT INTO members (account_id, user_id, role)
                    SELECT accounts.id, users.id, $3 FROM accounts, users WHERE slug = $2 AND email = $1
                    RETURNING 1";
        let joined = sqlx::query_scalar(join).bind(email).bind(slug).bind(role);
        let rows: Vec<i32> = joined.fetch_all(&self.owner).await.unwrap();
        assert_eq!(rows.len(), 1);
    }
}

fn config(smtp_url: &str, settings: &[&str]) -> Config {
    let site_root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "it", "site"].iter().collect();
    let mut line = vec![
        "latchkey",
        "--database-url=postgres://unused@localhost/unused",
        "--smtp-url",
        smtp_url,
        "--secret-key=kq0Zt7yHhD3vX9sWm2Lr8Bn5Jc1Fg4Pa",
        "--key-pepper=Vb6Tn1Qe8Rw3Yu5Io0Pl2Kj7Hg4Fd9Sa",
        "--public-url",
        PUBLIC_URL,
        "--gateway-public-url=https://api.example.com",
        "--mail-from=Latchkey <keys@example.com>",
        "--new-account-billing=invoiced",
        "--site-root",
        site_root.to_str().unwrap(),
    ];
    line.extend(settings);
    Config::read(&Cli::try_parse_from(line).unwrap().settings).unwrap()
}
