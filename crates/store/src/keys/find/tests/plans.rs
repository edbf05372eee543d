//! How the database answers: by index, as the console's role under row-level security.

use sqlx::Execute;

use super::*;

/// Two accounts whose keys have a little of everything: what a planner decides by are tables too large to read whole.
async fn fill(pool: &PgPool, small: TestAccount, large: TestAccount) {
    let mut connection = pool.acquire().await.unwrap();
    // As when a dump is restored: the triggers of 20 000 single rows would take minutes.
    connection.execute("SET session_replication_role = replica").await.unwrap();
    for (account, number) in [(small, 3_000), (large, 17_000)] {
        sqlx::query!(
            "INSERT INTO api_keys (id, account_id, group_id, name, note, created_by, created_at, status, environment,
                                   expires_at, models, permissions, requests_per_minute)
             SELECT gen_random_uuid(), $1, $2, 'key ' || n, 'made by number ' || n % 77, $3,
                    now() - n * interval '1 hour', CASE WHEN n % 20 = 0 THEN 'revoked' ELSE 'enabled' END,
                    CASE WHEN n % 3 = 0 THEN 'production' WHEN n % 500 = 1 THEN 'qa' END,
                    CASE WHEN n % 100 = 5 THEN now() + n * interval '1 minute' END,
                    CASE WHEN n % 50 = 7 THEN '{gpt-4o}'::text[] END, CASE WHEN n % 70 = 1 THEN '{chat:read}'::text[] END,
                    CASE WHEN n % 2 = 0 THEN 60 END
             FROM generate_series(1, $4::int) n",
            account.id.0,
            account.group.0,
            account.owner.0,
            number,
        )
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    connection.execute(
        "INSERT INTO key_secrets (id, account_id, key_id, public_id, digest, pepper_version, prefix, last4, form_id)
         SELECT gen_random_uuid(), account_id, id, substr(md5(id::text), 1, 12), sha256(id::text::bytea), 1, 'sk-lk-',
                right(md5(id::text), 4), gen_random_uuid() FROM api_keys;
         INSERT INTO key_stats (key_id, account_id) SELECT id, account_id FROM api_keys;
         SELECT list_all_keys();
         UPDATE key_facets SET last_used_at = created_at + interval '1 hour', share_used = 1000 * random()
         WHERE random() < 0.5;
         SET session_replication_role = origin;
         ANALYZE;",
    )
    .await
    .unwrap();
}

/// The plan of a statement, one line a node.
#[expect(clippy::disallowed_methods, reason = "what is explained is a statement of the tested module")]
async fn explain(tx: &mut TenantTx, mut statement: QueryBuilder<Postgres>) -> String {
    let mut statement = statement.build();
    let arguments = statement.take_arguments().unwrap().unwrap_or_default();
    let explained = sqlx::AssertSqlSafe(format!("EXPLAIN {}", statement.sql().as_str()));
    let lines: Vec<String> =
        sqlx::query_scalar_with(explained, arguments).fetch_all(tx.connection()).await.unwrap();
    lines.join("\n")
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn no_view_of_the_list_reads_a_table_whole(pool: PgPool) {
    let (small, large) = (account(&pool, "small").await, account(&pool, "large").await);
    fill(&pool, small, large).await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    let mut tx = TenantTx::begin(&console, small.id).await.unwrap();
    let group = format!("group={}", small.group);
    let creator = format!("by={}", small.owner);
    let filters = [
        "",
        "q=key",
        "q=17",
        "q=number 17",
        "q=nothing",
        "status=all",
        "status=operational",
        "status=disabled",
        "status=expiring",
        "status=expired",
        "status=near-limit",
        "status=exhausted",
        "status=rate-limited",
        "status=rejecting",
        "status=revoked",
        &group,
        &creator,
        "env=production",
        "env=qa",
        "env=-",
        "model=gpt-4o",
        "model=-",
        "permission=chat:read",
        "ip=yes",
        "ip=no",
        "limits=yes",
        "limits=no",
        "expires=never",
        "expires=24h",
        "expires=past",
        "idle=30",
        "idle=90",
        "key=0123456789ab",
        "q=17&env=qa&status=operational&idle=30",
    ];
    let cursor = "01932f2a-0000-7000-8000-000000000001";
    for filter in filters {
        for sort in Sort::ALL {
            let value = match sort {
                Sort::Name => "key 2",
                Sort::Created | Sort::Used | Sort::Expires => "1780000000000000",
                Sort::State | Sort::Share => "3",
            };
            for page in [String::new(), format!("after={cursor}.{value}"), "page=last".to_owned()] {
                let text = format!("{filter}&sort={}&{page}", sort.as_str());
                let query = query(&text);
                let terms = terms_of(&mut tx, &query).await.unwrap();
                let mut statements = Vec::new();
                if !terms.is_empty() {
                    statements.push(having_all(&tx, &terms, FEW + 1));
                    let many = Words::Many(terms_of(&mut tx, &query).await.unwrap());
                    statements.extend([gather(&tx, &query, &many, 51), walk(&tx, &query, &many, 51)]);
                }
                let words = look_up(&mut tx, terms).await.unwrap();
                statements.extend([gather(&tx, &query, &words, 51), walk(&tx, &query, &words, 51)]);
                for statement in statements {
                    let plan = explain(&mut tx, statement).await;
                    assert!(!plan.contains("Seq Scan"), "{text}\n{plan}");
                }
            }
        }
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_rows_of_a_page_and_the_choices_of_its_filters_are_found_by_index(pool: PgPool) {
    let (small, large) = (account(&pool, "small").await, account(&pool, "large").await);
    fill(&pool, small, large).await;
    let console = as_role(&pool, "latchkey_console").await.unwrap();
    // What has run is written down by table: rows read by sequential scans among them.
    let mut tx = TenantTx::begin(&console, small.id).await.unwrap();
    let hits = find_page(&mut tx, &KeyQuery::default(), 50).await.unwrap();
    assert_eq!(list_by_ids(&mut tx, &hits.keys).await.unwrap().len(), 50);
    let choices = keys::list_choices(&mut tx).await.unwrap();
    assert_eq!(
        (choices.environments.as_slice(), choices.models.as_slice()),
        (&["production".to_owned(), "qa".to_owned()][..], &["gpt-4o".to_owned()][..])
    );
    let scanned = sqlx::query!(
        r#"SELECT relname AS "table!", seq_scan AS "scans!" FROM pg_stat_xact_user_tables
           WHERE relname IN ('api_keys', 'key_secrets', 'key_stats', 'key_facets', 'key_terms') AND seq_scan > 0"#
    )
    .fetch_all(tx.connection())
    .await
    .unwrap();
    assert!(scanned.is_empty(), "{scanned:?}");
}
