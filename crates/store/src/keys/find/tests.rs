//! The list of keys against a real database, as the console's role.

mod plans;
mod refreshed;

use domain::key::KeyStatus;
use domain::{GroupId, UserId};
use sqlx::{Executor, PgPool};

use super::*;
use crate::accounts::tests::{TestAccount, account};
use crate::connect::as_role;
use crate::keys::tests::make_key;
use crate::keys::{self, list_by_ids};

/// Makes keys of these names, the first one first.
async fn make_keys(console: &PgPool, account: TestAccount, names: &[&str]) -> Vec<KeyId> {
    let mut made = Vec::new();
    for (seed, name) in (1_u8..).zip(names) {
        made.push(make_key(console, account, name, seed).await.unwrap().0);
    }
    made
}

fn query(text: &str) -> KeyQuery {
    KeyQuery::parse(text.split('&').filter_map(|pair| pair.split_once('=')))
}

async fn found(console: &PgPool, account: TestAccount, query: &KeyQuery) -> (Vec<String>, Hits) {
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let hits = find_page(&mut tx, query, 50).await.unwrap();
    let rows = list_by_ids(&mut tx, &hits.keys).await.unwrap();
    (rows.into_iter().map(|row| row.key.name).collect(), hits)
}

async fn names(console: &PgPool, account: TestAccount, text: &str) -> Vec<String> {
    found(console, account, &query(text)).await.0
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn every_word_must_begin_a_word_of_the_key(pool: PgPool) {
    let (acme, other) = (account(&pool, "acme").await, account(&pool, "other").await);
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    make_keys(&console, acme, &["build-bot 2.0", "Bot of Zoë", "100% of_it"]).await;
    pool.execute("UPDATE api_keys SET note = 'CI für das Web' WHERE name = 'build-bot 2.0'").await.unwrap();
    let (id, secret) = make_key(&console, acme, "last", 99).await.unwrap();
    for (search, expected) in [
        ("bot", vec!["Bot of Zoë", "build-bot 2.0"]),
        ("BOT bui", vec!["build-bot 2.0"]),
        ("ci", vec!["build-bot 2.0"]),
        ("FÜR web", vec!["build-bot 2.0"]),
        ("zoë", vec!["Bot of Zoë"]),
        ("ot", vec![]),
        ("bot nowhere", vec![]),
        // What other systems take for a pattern is nothing here.
        ("%", vec![]),
        ("b%t", vec![]),
        ("_ot", vec![]),
        ("100%", vec!["100% of_it"]),
        ("\\", vec![]),
        (secret.public_id().as_str(), vec!["last"]),
        (secret.last4(), vec!["last"]),
        (&secret.mask(), vec!["last"]),
    ] {
        assert_eq!(names(&console, acme, &format!("q={search}")).await, expected, "{search}");
    }
    assert!(names(&console, other, "q=bot").await.is_empty());
    // A name changes, and its old words are gone.
    pool.execute("UPDATE api_keys SET name = 'renamed' WHERE name = 'build-bot 2.0'").await.unwrap();
    assert_eq!(names(&console, acme, "q=build").await, Vec::<String>::new());
    assert_eq!(names(&console, acme, "q=renamed").await, ["renamed"]);
    let mut tx = TenantTx::begin(&console, acme.id).await.unwrap();
    keys::set_status(&mut tx, id, KeyStatus::Revoked).await.unwrap();
    tx.commit().await.unwrap();
    assert!(names(&console, acme, "q=last").await.is_empty());
    assert_eq!(names(&console, acme, &format!("key={}", secret.public_id())).await, ["last"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn each_filter_finds_its_keys(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let ids = make_keys(&console, acme, &["a", "b", "c", "d", "e", "f", "g"]).await;
    pool.execute(
        "UPDATE api_keys SET environment = 'production', models = '{gpt-4o,o3}', addresses = '{10.0.0.0/8}' WHERE name = 'a';
         UPDATE api_keys SET permissions = '{chat:read}', requests_per_minute = 5 WHERE name = 'b';
         UPDATE api_keys SET expires_at = now() + interval '3 hours' WHERE name = 'c';
         UPDATE api_keys SET expires_at = now() + interval '6 days' WHERE name = 'd';
         UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'e';
         UPDATE api_keys SET status = 'disabled', created_at = now() - interval '40 days' WHERE name = 'f';
         UPDATE api_keys SET status = 'revoked' WHERE name = 'g';
         UPDATE key_facets SET created_at = now() - interval '40 days' WHERE name = 'f';",
    )
    .await
    .unwrap();
    let (group, owner): (GroupId, UserId) = (acme.group, acme.owner);
    for (filter, expected) in [
        ("status=active", "abcdef"),
        ("status=all", "abcdefg"),
        ("status=operational", "abd"),
        ("status=disabled", "f"),
        ("status=expiring", "c"),
        ("status=expired", "e"),
        ("status=revoked", "g"),
        ("status=near-limit", ""),
        ("status=exhausted", ""),
        ("status=rate-limited", ""),
        ("status=rejecting", ""),
        (&format!("group={group}"), "abcdef"),
        ("group=01932f2a-0000-7000-8000-000000000001", ""),
        (&format!("by={owner}"), "abcdef"),
        ("env=production", "a"),
        ("env=-", "bcdef"),
        ("model=o3", "a"),
        ("model=-", "bcdef"),
        ("permission=chat:read", "b"),
        ("permission=-", "acdef"),
        ("ip=yes", "a"),
        ("ip=no", "bcdef"),
        ("limits=yes", "b"),
        ("limits=no", "acdef"),
        ("expires=never", "abf"),
        ("expires=24h", "c"),
        ("expires=7d", "cd"),
        ("expires=30d", "cd"),
        ("expires=past", "e"),
        ("idle=30", "f"),
        ("idle=90", ""),
        ("expires=7d&status=operational&q=d", "d"),
    ] {
        let found = names(&console, acme, &format!("{filter}&sort=name")).await.concat();
        assert_eq!(found, expected, "{filter}");
    }
    assert_eq!(ids.len(), 7);
}

/// Reads the whole list forwards and backwards by pages of `most`; both must be the same.
async fn leaf_through(console: &PgPool, account: TestAccount, first: &KeyQuery, most: usize) -> Vec<KeyId> {
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    let mut query = first.clone();
    loop {
        let hits = find_page(&mut tx, &query, most).await.unwrap();
        let rows = list_by_ids(&mut tx, &hits.keys).await.unwrap();
        assert_eq!(rows.len(), hits.keys.len());
        assert_eq!(hits.before, !forwards.is_empty());
        forwards.extend(hits.keys);
        let Some(last) = rows.last().filter(|_| hits.after) else { break };
        query.page = Page::After(last.cursor(query.sort));
    }
    query.page = Page::Last;
    loop {
        let hits = find_page(&mut tx, &query, most).await.unwrap();
        let rows = list_by_ids(&mut tx, &hits.keys).await.unwrap();
        assert_eq!(hits.after, !backwards.is_empty());
        backwards.splice(0..0, hits.keys);
        let Some(first) = rows.first().filter(|_| hits.before) else { break };
        query.page = Page::Before(first.cursor(query.sort));
    }
    assert_eq!(forwards, backwards, "{first:?}");
    forwards
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn pages_follow_each_other_both_ways_in_every_order(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let names: Vec<String> = (0..7).map(|n| format!("key {n}")).collect();
    let made = make_keys(&console, acme, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Ties in every order but the names'.
    pool.execute(
        "UPDATE key_facets SET created_at = '2026-01-01', last_used_at = CASE WHEN name < 'key 3' THEN '2026-02-01'::timestamptz
                ELSE '-infinity' END, share_used = CASE WHEN name < 'key 2' THEN 500 ELSE 0 END",
    )
    .await
    .unwrap();
    pool.execute("UPDATE api_keys SET status = 'revoked' WHERE name = 'key 5'").await.unwrap();
    pool.execute("UPDATE api_keys SET created_at = '2026-01-01'").await.unwrap();
    for sort in Sort::ALL {
        for (reversed, state) in
            [(false, StateFilter::Active), (true, StateFilter::Active), (false, StateFilter::All)]
        {
            let query = KeyQuery { sort, reversed, state, ..KeyQuery::default() };
            let seen = leaf_through(&console, acme, &query, 2).await;
            let expected = if state == StateFilter::All { 7 } else { 6 };
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), expected, "{query:?}");
            assert_eq!(seen.len(), expected, "{query:?}");
            if sort == Sort::Name && state == StateFilter::All {
                assert_eq!(seen, made);
            }
        }
    }
}

/// So many more keys that hits are not gathered but met on the way.
async fn add_many(pool: &PgPool, account: TestAccount, number: i32) {
    sqlx::query!(
        "INSERT INTO api_keys (id, account_id, group_id, name, created_by, created_at, status)
         SELECT gen_random_uuid(), $1, $2, 'many ' || n, $3, now() - n * interval '1 minute',
                CASE WHEN n % 10 = 0 THEN 'revoked' ELSE 'enabled' END
         FROM generate_series(1, $4::int) n",
        account.id.0,
        account.group.0,
        account.owner.0,
        number,
    )
    .execute(pool)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO key_secrets (id, account_id, key_id, public_id, digest, pepper_version, prefix, last4, form_id)
         SELECT gen_random_uuid(), account_id, id, substr(md5(id::text), 1, 12), sha256(id::text::bytea), 1, 'sk-lk-',
                right(md5(id::text), 4), gen_random_uuid()
         FROM api_keys WHERE name LIKE 'many %' AND account_id = $1",
        account.id.0,
    )
    .execute(pool)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO key_stats (key_id, account_id)
         SELECT id, account_id FROM api_keys WHERE name LIKE 'many %' AND account_id = $1",
        account.id.0
    )
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_long_list_is_walked_and_counted_up_to_a_thousand(pool: PgPool) {
    let acme = account(&pool, "acme").await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    add_many(&pool, acme, 1_500).await;
    for (text, expected, matching) in [
        ("", 1_350, COUNTED + 1),
        ("sort=name", 1_350, COUNTED + 1),
        ("status=all&sort=used", 1_500, COUNTED + 1),
        ("status=revoked", 150, 150),
        ("q=many&status=revoked&sort=name", 150, 150),
    ] {
        let query = query(text);
        let seen = leaf_through(&console, acme, &query, 400).await;
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), expected, "{text}");
        assert_eq!(seen.len(), expected, "{text}");
        assert_eq!(found(&console, acme, &query).await.1.matching, matching, "{text}");
    }
}
