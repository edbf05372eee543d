//! Sessions: opened at sign-in, found by their cookie's hash, closed.

use std::net::IpAddr;

use domain::UserId;
use ipnet::IpNet;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::TenantTx;

/// How long a session lives at most.
pub const LIFE: time::Duration = time::Duration::hours(12);
/// How long it lives unused.
pub const IDLE: time::Duration = time::Duration::minutes(60);
/// How many live sessions a user has at most; the oldest make room.
pub const MOST: i32 = 10;

/// A session to be opened.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the cookie's token.
    pub token_hash: &'a [u8; 32],
    /// The client's address.
    pub client: IpAddr,
    /// The browser, at most 300 characters.
    pub user_agent: &'a str,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user: UserId,
    /// Their address.
    pub email: String,
}

/// Opens a session in the transaction of the sign-in, beside its audit event.
pub async fn open(tx: &mut TenantTx, session: NewSession<'_>) -> sqlx::Result<Uuid> {
    let id = crate::new_id();
    sqlx::query!(
        "SELECT open_session($1, $2, $3, $4, $5, make_interval(secs => $6), $7)",
        id,
        session.user as UserId,
        session.token_hash,
        IpNet::from(session.client.to_canonical()) as IpNet,
        session.user_agent,
        LIFE.as_seconds_f64(),
        MOST,
    )
    .execute(tx.connection())
    .await?;
    Ok(id)
}

/// The live session of a cookie, if any.
pub async fn find(db: impl PgExecutor<'_>, token_hash: &[u8; 32]) -> sqlx::Result<Option<Session>> {
    sqlx::query_as!(
        Session,
        r#"SELECT session_id AS "id!", user_id AS "user!: UserId", email AS "email!"
           FROM find_session($1, make_interval(secs => $2))"#,
        token_hash,
        IDLE.as_seconds_f64(),
    )
    .fetch_optional(db)
    .await
}

/// Ends the session of a cookie; nothing happens where there is none.
pub async fn close(db: impl PgExecutor<'_>, token_hash: &[u8; 32]) -> sqlx::Result<()> {
    sqlx::query!("SELECT close_session($1)", token_hash).execute(db).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::accounts::tests::account;
    use crate::connect::as_role;

    async fn session(console: &PgPool, account: crate::accounts::tests::TestAccount, token_hash: &[u8; 32]) {
        let mut tx = TenantTx::begin(console, account.id).await.unwrap();
        let client = "203.0.113.9".parse().unwrap();
        let new = NewSession { user: account.owner, token_hash, client, user_agent: "test" };
        open(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    #[expect(clippy::disallowed_methods, reason = "one statement for several columns")]
    async fn a_session_ends_by_idling_by_age_and_by_sign_out(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        session(&console, acme, &[1; 32]).await;
        let found = find(&console, &[1; 32]).await.unwrap().unwrap();
        assert_eq!((found.user, found.email.as_str()), (acme.owner, "acme@example.com"));
        assert!(find(&console, &[2; 32]).await.unwrap().is_none());

        let age = async |column: &str, minutes: i32| {
            let sql = format!("UPDATE sessions SET {column} = {column} - make_interval(mins => {minutes})");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        };
        age("last_seen_at", 59).await;
        assert!(find(&console, &[1; 32]).await.unwrap().is_some(), "seen in time, and now seen again");
        age("last_seen_at", 60).await;
        assert!(find(&console, &[1; 32]).await.unwrap().is_none());

        session(&console, acme, &[3; 32]).await;
        age("ends_at", 12 * 60).await;
        assert!(find(&console, &[3; 32]).await.unwrap().is_none());

        session(&console, acme, &[4; 32]).await;
        close(&console, &[4; 32]).await.unwrap();
        assert!(find(&console, &[4; 32]).await.unwrap().is_none());
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_eleventh_session_ends_the_first(pool: PgPool) {
        let acme = account(&pool, "acme").await;
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        for n in 0..11 {
            session(&console, acme, &[n; 32]).await;
        }
        assert!(find(&console, &[0; 32]).await.unwrap().is_none());
        assert!(find(&console, &[1; 32]).await.unwrap().is_some());
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn the_console_cannot_read_the_table(pool: PgPool) {
        let console = as_role(&pool, "latchkey_console").await.unwrap();
        let refused =
            sqlx::query_scalar!("SELECT count(*) FROM sessions").fetch_one(&console).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}
