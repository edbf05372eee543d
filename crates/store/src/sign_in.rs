//! Codes sent to an email address: issued, counted, tried, used once.

use domain::email::EmailAddress;
use domain::sign_in::{CODE_LIFE, CODE_TRIES, SentLately};
use domain::{AccountId, UserId};
use ipnet::IpNet;
use sqlx::{Connection, PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::TenantTx;
use crate::accounts::{self, Membership, NewAccount, OpenAccountError};

/// A code to be written down.
#[derive(Clone, Copy, Debug)]
pub struct NewCode<'a> {
    /// Where it goes.
    pub email: &'a EmailAddress,
    /// SHA-256 of the asking browser's cookie.
    pub browser_hash: &'a [u8; 32],
    /// Fresh random bytes.
    pub salt: &'a [u8; 16],
    /// The code's digest under that salt.
    pub digest: &'a [u8; 32],
    /// The client's network.
    pub network: IpNet,
    /// The wider one around it.
    pub wide_network: IpNet,
}

/// What became of a wish for a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Issued {
    /// Written down; now send it.
    Send,
    /// The send limits say no; tell nobody.
    Limited,
}

/// Writes a code down unless the send limits say no, and voids this browser's older codes. Codes of one address, and
/// of one wide network, are issued one after the other, so requests at once cannot slip under a limit together.
pub async fn issue_code(pool: &PgPool, code: NewCode<'_>) -> sqlx::Result<Issued> {
    let mut tx = pool.begin().await?;
    // Always in this order, so that two requests cannot lock each other out. The wide network holds the narrow one.
    lock(&mut tx, code.email.as_str(), 1).await?;
    lock(&mut tx, &code.wide_network.to_string(), 2).await?;
    if !sent_lately(&mut tx, &code).await?.allows_another() {
        return Ok(Issued::Limited);
    }
    sqlx::query!(
        "SELECT write_login_code($1, $2, $3, $4, $5, $6, $7, make_interval(secs => $8))",
        crate::new_id(),
        code.email as &EmailAddress,
        code.browser_hash,
        code.salt,
        code.digest,
        code.network as IpNet,
        code.wide_network as IpNet,
        CODE_LIFE.as_seconds_f64(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Issued::Send)
}

/// Holds `what` until the transaction ends; `kind` keeps addresses and networks apart.
async fn lock(connection: &mut PgConnection, what: &str, kind: i64) -> sqlx::Result<()> {
    sqlx::query!(r#"SELECT pg_advisory_xact_lock(hashtextextended($1, $2)) AS "lock: ()""#, what, kind)
        .fetch_one(connection)
        .await
        .map(|_| ())
}

async fn sent_lately(connection: &mut PgConnection, code: &NewCode<'_>) -> sqlx::Result<SentLately> {
    sqlx::query_as!(
        SentLately,
        r#"SELECT seconds_since_last, address_hour AS "address_hour!", address_day AS "address_day!",
                  network_hour AS "network_hour!", wide_network_hour AS "wide_network_hour!"
           FROM login_codes_lately($1, $2, $3)"#,
        code.email as &EmailAddress,
        code.network as IpNet,
        code.wide_network as IpNet,
    )
    .fetch_one(connection)
    .await
}

/// A code that a browser may still try.
#[derive(Clone, Debug)]
pub struct OpenCode {
    /// Its row.
    pub id: Uuid,
    /// Where it was sent.
    pub email: String,
    /// Under which salt.
    pub salt: Vec<u8>,
    /// What the right code digests to. Compare in constant time.
    pub digest: Vec<u8>,
}

/// The code this browser may try, if it has one that is alive.
pub async fn find_code(db: impl PgExecutor<'_>, browser_hash: &[u8; 32]) -> sqlx::Result<Option<OpenCode>> {
    sqlx::query_as!(
        OpenCode,
        r#"SELECT id AS "id!", email AS "email!", salt AS "salt!", digest AS "digest!" FROM find_login_code($1, $2)"#,
        browser_hash,
        CODE_TRIES,
    )
    .fetch_optional(db)
    .await
}

/// Books one try, and uses the code up if the try was right. The row alone decides: dead by tries, time or use, it
/// stays dead, whatever address or cookie the next try comes with. True once at most, however many try at once.
async fn try_code(db: impl PgExecutor<'_>, code: Uuid, right: bool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT try_login_code($1, $2, $3) AS "used!""#, code, right, CODE_TRIES)
        .fetch_one(db)
        .await
}

/// Books a wrong try.
pub async fn book_wrong_try(db: impl PgExecutor<'_>, code: Uuid) -> sqlx::Result<()> {
    try_code(db, code, false).await.map(|_| ())
}

/// A sign-in under way: one transaction from the use of the code to the session. Dropped before the session is
/// committed, by an error or a crash, it leaves the code usable and no user or account behind.
#[derive(Debug)]
pub struct SignIn {
    tx: Transaction<'static, Postgres>,
    user: UserId,
}

impl SignIn {
    /// Uses up a right code and finds or makes the user of its address; `None` if the code is dead by now.
    pub async fn begin(pool: &PgPool, code: Uuid, email: &EmailAddress) -> sqlx::Result<Option<Self>> {
        let mut tx = pool.begin().await?;
        if !try_code(&mut *tx, code, true).await? {
            return Ok(None);
        }
        let user = find_or_make_user(&mut *tx, email).await?;
        Ok(Some(Self { tx, user }))
    }

    /// Who signs in.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Their accounts, the one joined first first.
    pub async fn list_accounts(&mut self) -> sqlx::Result<Vec<Membership>> {
        accounts::list_of_user(&mut *self.tx, self.user).await
    }

    /// Makes an account; one whose slug is taken leaves the sign-in as it was.
    pub async fn open_account(&mut self, account: NewAccount<'_>) -> Result<(), OpenAccountError> {
        let mut attempt = self.tx.begin().await?;
        accounts::open(&mut *attempt, account).await?;
        Ok(attempt.commit().await?)
    }

    /// The rest of the transaction, bound to the account.
    pub async fn into_account(self, account: AccountId) -> sqlx::Result<TenantTx> {
        TenantTx::bind(self.tx, account).await
    }
}

/// The user of an address, made if there is none yet.
pub async fn find_or_make_user(db: impl PgExecutor<'_>, email: &EmailAddress) -> sqlx::Result<UserId> {
    sqlx::query_scalar!(
        r#"SELECT sign_in_user($1, $2) AS "id!: UserId""#,
        crate::new_id(),
        email as &EmailAddress,
    )
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests {
    use domain::GroupId;
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::BillingMode;
    use crate::connect::as_role;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn new_code<'a>(email: &'a EmailAddress, browser: &'a [u8; 32], network: &str) -> NewCode<'a> {
        NewCode {
            email,
            browser_hash: browser,
            salt: &[1; 16],
            digest: &[2; 32],
            network: network.parse().unwrap(),
            wide_network: "203.0.113.0/24".parse().unwrap(),
        }
    }

    /// Moves every code into the past, as if that much time had gone by.
    async fn age(pool: &PgPool, seconds: f64) {
        sqlx::query!(
            "UPDATE login_codes SET created_at = created_at - make_interval(secs => $1),
                                    expires_at = expires_at - make_interval(secs => $1)",
            seconds
        )
        .execute(pool)
        .await
        .unwrap();
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_right_code_works_once_however_many_try(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let ada = address("ada@example.com");
        issue_code(&console, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        let code = find_code(&console, &[9; 32]).await.unwrap().unwrap();
        let tries = (0..30).map(|_| {
            let console = console.clone();
            tokio::spawn(async move { try_code(&console, code.id, true).await.unwrap() })
        });
        let mut used = 0;
        for outcome in tries.collect::<Vec<_>>() {
            used += i32::from(outcome.await.unwrap());
        }
        assert_eq!(used, 1);
        assert!(find_code(&console, &[9; 32]).await.unwrap().is_none());
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn five_wrong_tries_kill_a_code_in_its_row(pool: PgPool) {
        let ada = address("ada@example.com");
        issue_code(&pool, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        let code = find_code(&pool, &[9; 32]).await.unwrap().unwrap();
        for _ in 0..5 {
            assert!(!try_code(&pool, code.id, false).await.unwrap());
        }
        assert!(!try_code(&pool, code.id, true).await.unwrap());
        assert!(find_code(&pool, &[9; 32]).await.unwrap().is_none());
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_code_dies_after_ten_minutes_and_by_a_newer_one_of_its_browser(pool: PgPool) {
        let ada = address("ada@example.com");
        issue_code(&pool, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        let first = find_code(&pool, &[9; 32]).await.unwrap().unwrap();
        assert!(find_code(&pool, &[8; 32]).await.unwrap().is_none(), "another browser has none");
        age(&pool, 61.0).await;
        issue_code(&pool, new_code(&ada, &[8; 32], "203.0.113.9/32")).await.unwrap();
        assert!(find_code(&pool, &[9; 32]).await.unwrap().is_some(), "another browser's code voids nothing");
        age(&pool, 61.0).await;
        issue_code(&pool, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        assert!(!try_code(&pool, first.id, true).await.unwrap());
        age(&pool, 600.0).await;
        assert!(find_code(&pool, &[9; 32]).await.unwrap().is_none());
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn send_limits_are_counted_in_the_database(pool: PgPool) {
        let ada = address("ada@example.com");
        let send = async || issue_code(&pool, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        assert_eq!(send().await, Issued::Send);
        assert_eq!(send().await, Issued::Limited, "within the minute");
        for _ in 0..4 {
            age(&pool, 60.0).await;
            assert_eq!(send().await, Issued::Send);
        }
        age(&pool, 60.0).await;
        assert_eq!(send().await, Issued::Limited, "the sixth within the hour");
        age(&pool, 3600.0).await;
        assert_eq!(send().await, Issued::Send);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn one_network_cannot_spray_addresses(pool: PgPool) {
        for n in 0..21 {
            let target = address(&format!("user{n}@example.com"));
            let outcome = issue_code(&pool, new_code(&target, &[9; 32], "203.0.113.9/32")).await.unwrap();
            assert_eq!(outcome, if n < 20 { Issued::Send } else { Issued::Limited });
        }
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn requests_at_once_do_not_pass_a_network_s_limit(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let ask = async |n: u8| {
            let target = address(&format!("user{n}@example.com"));
            issue_code(&console, new_code(&target, &[n; 32], "203.0.113.9/32")).await.unwrap()
        };
        // Five connections that stand already, so that five requests really come at once, for the one place left.
        drop(tokio::join!(
            console.begin(),
            console.begin(),
            console.begin(),
            console.begin(),
            console.begin()
        ));
        for n in 0..19 {
            assert_eq!(ask(n).await, Issued::Send);
        }
        let (a, b, c, d, e) = tokio::join!(ask(20), ask(21), ask(22), ask(23), ask(24));
        let sent = [a, b, c, d, e].into_iter().filter(|outcome| *outcome == Issued::Send).count();
        assert_eq!(sent, 1);
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_sign_in_that_breaks_off_leaves_the_code_and_nothing_else(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let ada = address("ada@example.com");
        issue_code(&console, new_code(&ada, &[9; 32], "203.0.113.9/32")).await.unwrap();
        let code = find_code(&console, &[9; 32]).await.unwrap().unwrap();
        let account = |owner| NewAccount {
            id: AccountId(crate::new_id()),
            group: GroupId(crate::new_id()),
            owner,
            slug: "ada",
            name: "Ada",
            billing: BillingMode::None,
        };
        let left = async || {
            let counts = sqlx::query!(
                r#"SELECT (SELECT count(*) FROM users) AS "users!", (SELECT count(*) FROM accounts) AS "accounts!""#
            );
            let counts = counts.fetch_one(&pool).await.unwrap();
            (counts.users, counts.accounts)
        };
        for step in 0..3 {
            let mut broken = SignIn::begin(&console, code.id, &ada).await.unwrap().unwrap();
            if step > 0 {
                broken.open_account(account(broken.user())).await.unwrap();
            }
            let open = (step > 1).then(|| account(broken.user()).id);
            if let Some(id) = open {
                drop(broken.into_account(id).await.unwrap());
            }
            assert_eq!(left().await, (0, 0), "after step {step}");
        }

        let mut whole = SignIn::begin(&console, code.id, &ada).await.unwrap().unwrap();
        let new = account(whole.user());
        whole.open_account(new).await.unwrap();
        let taken = whole.open_account(account(whole.user())).await.unwrap_err();
        assert!(matches!(taken, OpenAccountError::SlugTaken), "{taken}");
        assert_eq!(whole.list_accounts().await.unwrap().len(), 1, "the sign-in goes on");
        whole.into_account(new.id).await.unwrap().commit().await.unwrap();
        assert_eq!(left().await, (1, 1));
        assert!(SignIn::begin(&console, code.id, &ada).await.unwrap().is_none(), "a code works once");
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_console_cannot_read_the_table(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let refused = sqlx::query_scalar!("SELECT count(*) FROM login_codes").fetch_one(&console).await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn an_address_is_one_user(pool: PgPool) {
        let first = find_or_make_user(&pool, &address("Ada@Example.com")).await.unwrap();
        assert_eq!(find_or_make_user(&pool, &address("ada@example.com")).await.unwrap(), first);
    }
}
