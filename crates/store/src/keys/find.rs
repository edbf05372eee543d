//! Which keys the list shows: search, filters, order, pages.
//!
//! The one place that puts statements together at run time, as filters come in any combination: constant pieces of SQL,
//! and everything a person typed as a bound argument.
//!
//! A page is found in one of two ways. Few hits (at most [`COUNTED`]) are all gathered by whichever index narrows most
//! and then put in order; so a rare hit costs no walk through the whole account. Are there more, then so many of the
//! account's keys are hits that walking the order's own index meets a page of them soon. Words are looked up first: few
//! keys that have them all are [`Words::Few`], otherwise each key met on the way is asked for them.

use std::collections::BTreeSet;
use std::slice;

use domain::key_query::{CursorValue, Expiry, KeyQuery, Named, Page, Sort, StateFilter};
use domain::{AccountId, KeyId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::TenantTx;

/// Hits are counted up to here; beyond it a list says "1 000+".
pub const COUNTED: i64 = 1_000;

/// The keys of a page, and what is around it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hits {
    /// The keys of the page, in order.
    pub keys: Vec<KeyId>,
    /// How many match in all; [`COUNTED`] + 1 is "more".
    pub matching: i64,
    /// Whether there are keys before the page.
    pub before: bool,
    /// Whether there are keys after it.
    pub after: bool,
}

/// What is known of the keys that have all terms asked for.
enum Words {
    /// No term is asked for.
    None,
    /// They are among these, and have these common terms besides.
    Few { keys: Vec<Uuid>, and: Vec<Term> },
    /// They are many: more than [`FEW`].
    Many(Vec<Term>),
}

/// Up to so many keys are looked at one by one.
const FEW: i64 = 5_000;
/// Up to so many keys of each of several terms are compared; beyond, those that have all are so many that one meets them
/// on the way.
const WIDE: i64 = 25_000;
/// More words narrow nothing any more.
const MOST_WORDS: usize = 8;

/// A range of terms.
struct Term {
    from: String,
    to: String,
}

impl Term {
    fn word(word: String) -> Self {
        // The greatest character ends the range of what begins with the word.
        let to = format!("{word}\u{10ffff}");
        Self { from: word, to }
    }

    fn exactly(term: String) -> Self {
        // No term holds a control character.
        let to = format!("{term}\u{1}");
        Self { from: term, to }
    }
}

/// Finds the keys of a page of at most `most`.
pub async fn find_page(tx: &mut TenantTx, query: &KeyQuery, most: usize) -> sqlx::Result<Hits> {
    let terms = terms_of(tx, query).await?;
    if terms.is_empty() && !query.search.is_empty() {
        return Ok(Hits::default());
    }
    let words = look_up(tx, terms).await?;
    let wanted = i64::try_from(most + 1).unwrap_or(i64::MAX);
    let narrowed = query.filters().iter().any(|(name, _)| !matches!(*name, "model" | "permission"));
    let (mut matching, mut keys): (i64, Vec<Uuid>) = match words {
        Words::Few { ref keys, .. } if keys.is_empty() => (0, Vec::new()),
        // A common term and nothing else: there is nothing to count.
        Words::Many(ref terms) if terms.len() == 1 && !narrowed => (COUNTED + 1, Vec::new()),
        _ => {
            let mut statement = gather(tx, query, &words, wanted);
            statement.build_query_as().persistent(false).fetch_one(tx.connection()).await?
        }
    };
    if matching > COUNTED && !matches!(words, Words::Few { .. }) {
        let statement = walk(tx, query, &words, wanted);
        keys = fetch_keys(tx, statement).await?;
        if keys.len() <= most && query.page == Page::First {
            matching = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        }
    }
    let more = keys.len() > most;
    keys.truncate(most);
    let backwards = query.page.is_backwards();
    if backwards {
        keys.reverse();
    }
    let beside_a_key = query.page.cursor().is_some();
    Ok(Hits {
        keys: keys.into_iter().map(KeyId).collect(),
        matching: matching.min(COUNTED + 1),
        before: if backwards { more } else { beside_a_key },
        after: if backwards { beside_a_key } else { more },
    })
}

/// The terms a query asks for: the words of its text as the index has them, and what keys are restricted to.
async fn terms_of(tx: &mut TenantTx, query: &KeyQuery) -> sqlx::Result<Vec<Term>> {
    let mut terms = Vec::new();
    if !query.search.is_empty() {
        let words = sqlx::query_scalar!(r#"SELECT key_words($1) AS "words!""#, query.search)
            .fetch_one(tx.connection())
            .await?;
        terms.extend(words.into_iter().take(MOST_WORDS).map(Term::word));
        if terms.is_empty() {
            return Ok(terms);
        }
    }
    for (kind, named) in [("m", &query.model), ("p", &query.permission)] {
        match named {
            Some(Named::One(name)) => terms.push(Term::exactly(format!(":{kind}:{name}"))),
            Some(Named::None) => terms.push(Term::exactly(format!(":{kind}"))),
            None => {}
        }
    }
    Ok(terms)
}

/// Looks each term up by itself: the keys of a rare one are few whatever the others are. Of common ones that are not very
/// common the keys in common are counted out too; the rest is asked of each key that is met.
async fn look_up(tx: &mut TenantTx, terms: Vec<Term>) -> sqlx::Result<Words> {
    if terms.is_empty() {
        return Ok(Words::None);
    }
    let mut few: Option<BTreeSet<Uuid>> = None;
    let mut common = Vec::new();
    for term in terms {
        let keys = having_all(tx, slice::from_ref(&term), FEW + 1);
        let keys = fetch_keys(tx, keys).await?;
        if is_more(keys.len(), FEW) {
            common.push(term);
            continue;
        }
        few = Some(match few {
            Some(before) => keys.into_iter().filter(|key| before.contains(key)).collect(),
            None => keys.into_iter().collect(),
        });
    }
    if few.is_none() && common.len() > 1 && widest(tx, &common).await? <= WIDE {
        let keys = having_all(tx, &common, FEW + 1);
        let keys = fetch_keys(tx, keys).await?;
        if !is_more(keys.len(), FEW) {
            return Ok(Words::Few { keys, and: Vec::new() });
        }
    }
    Ok(match few {
        Some(keys) => Words::Few { keys: keys.into_iter().collect(), and: common },
        None => Words::Many(common),
    })
}

fn is_more(found: usize, most: i64) -> bool {
    i64::try_from(found).is_ok_and(|found| found > most)
}

async fn fetch_keys(tx: &mut TenantTx, mut keys: QueryBuilder<Postgres>) -> sqlx::Result<Vec<Uuid>> {
    keys.build_query_scalar().persistent(false).fetch_all(tx.connection()).await
}

/// The statement that gives at most `most` keys that have all of some terms; of one term a key may come twice.
fn having_all(tx: &TenantTx, terms: &[Term], most: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT key_id FROM (");
    for (n, term) in terms.iter().enumerate() {
        sql.push(if n == 0 { "" } else { " INTERSECT " });
        sql.push("SELECT key_id FROM key_terms WHERE account_id = ").push_bind(tx.account().0);
        sql.push(" AND term >= ")
            .push_bind(term.from.clone())
            .push(" AND term < ")
            .push_bind(term.to.clone());
    }
    sql.push(") AS found LIMIT ").push_bind(most);
    sql
}

/// How often the most common of some terms is there, counted up to [`WIDE`] + 1.
async fn widest(tx: &mut TenantTx, terms: &[Term]) -> sqlx::Result<i64> {
    let account = tx.account();
    let mut widest = 0;
    for term in terms {
        let found = sqlx::query_scalar!(
            r#"SELECT count(*) AS "found!" FROM (SELECT FROM key_terms WHERE account_id = $1 AND term >= $2
                                                 AND term < $3 LIMIT $4::bigint + 1) AS t"#,
            account as AccountId,
            term.from,
            term.to,
            WIDE,
        )
        .fetch_one(tx.connection())
        .await?;
        widest = widest.max(found);
    }
    Ok(widest)
}

/// The statement that gathers and counts the hits, and puts a page of them in order where there are few.
fn gather(tx: &TenantTx, query: &KeyQuery, words: &Words, wanted: i64) -> QueryBuilder<Postgres> {
    let most = if matches!(words, Words::Few { .. }) { FEW } else { COUNTED };
    let mut sql = QueryBuilder::new("WITH hits AS MATERIALIZED (SELECT f.key_id, f.");
    sql.push(column(query.sort)).push(" AS place FROM key_facets f WHERE ");
    narrow(&mut sql, tx, query, words);
    if let Some(live) = live(query) {
        sql.push(" AND f.live = ").push_bind(live);
    }
    if !matches!(words, Words::Few { .. }) {
        // An order that an index has: without one, a planner that expects the first rows to be hits reads the table.
        sql.push(" ORDER BY f.account_id, f.live, f.created_at");
    }
    sql.push(" LIMIT ").push_bind(most + 1);
    sql.push("), page AS (SELECT place, key_id FROM hits WHERE (SELECT count(*) FROM hits) <= ")
        .push_bind(most);
    begin_at(&mut sql, query, "place", "key_id");
    order(&mut sql, query, "place", "key_id");
    sql.push(" LIMIT ").push_bind(wanted);
    sql.push(") SELECT (SELECT count(*) FROM hits), ARRAY(SELECT key_id FROM page");
    order(&mut sql, query, "place", "key_id");
    sql.push(")");
    sql
}

/// The statement that walks the index of the order until it has a page. Live and revoked keys are two stretches of it.
fn walk(tx: &TenantTx, query: &KeyQuery, words: &Words, wanted: i64) -> QueryBuilder<Postgres> {
    let column = column(query.sort);
    let stretches = live(query).map_or(vec![true, false], |live| vec![live]);
    let mut sql = QueryBuilder::new("SELECT key_id FROM (");
    for (n, live) in stretches.into_iter().enumerate() {
        sql.push(if n == 0 { "(" } else { " UNION ALL (" });
        sql.push("SELECT f.key_id, f.").push(column).push(" AS place FROM key_facets f WHERE ");
        narrow(&mut sql, tx, query, words);
        sql.push(" AND f.live = ").push_bind(live);
        begin_at(&mut sql, query, column, "f.key_id");
        order(&mut sql, query, column, "f.key_id");
        sql.push(" LIMIT ").push_bind(wanted).push(")");
    }
    sql.push(") AS met");
    order(&mut sql, query, "place", "key_id");
    sql.push(" LIMIT ").push_bind(wanted);
    sql
}

const fn column(sort: Sort) -> &'static str {
    match sort {
        Sort::Name => "name",
        Sort::Created => "created_at",
        Sort::Used => "last_used_at",
        Sort::Expires => "expires_at",
        Sort::State => "state",
        Sort::Share => "share_used",
    }
}

/// Whether live keys are meant, revoked ones, or (`None`) both.
fn live(query: &KeyQuery) -> Option<bool> {
    match query.state {
        // Who names one key means it whatever became of it.
        StateFilter::Active if query.key.is_some() => None,
        StateFilter::All => None,
        StateFilter::Revoked => Some(false),
        _ => Some(true),
    }
}

/// Which way the index is read: backwards from the end of a list is forwards from its beginning, reversed.
fn descending(query: &KeyQuery) -> bool {
    query.is_descending() != query.page.is_backwards()
}

fn order(sql: &mut QueryBuilder<Postgres>, query: &KeyQuery, place: &str, id: &str) {
    let way = if descending(query) { "DESC" } else { "ASC" };
    sql.push(format_args!(" ORDER BY {place} {way}, {id} {way}"));
}

fn begin_at(sql: &mut QueryBuilder<Postgres>, query: &KeyQuery, place: &str, id: &str) {
    let Some(cursor) = query.page.cursor() else { return };
    let beyond = if descending(query) { "<" } else { ">" };
    sql.push(format_args!(" AND ({place}, {id}) {beyond} ("));
    match &cursor.value {
        CursorValue::Name(name) => sql.push_bind(name.clone()),
        CursorValue::Number(number) => sql.push_bind(*number),
        CursorValue::Moment(Some(moment)) => sql.push_bind(*moment),
        CursorValue::Moment(None) if query.sort == Sort::Used => sql.push("'-infinity'"),
        CursorValue::Moment(None) => sql.push("'infinity'"),
    };
    sql.push(", ").push_bind(cursor.id.0).push(")");
}

/// What follows `WHERE`, but for whether they are live.
fn narrow(sql: &mut QueryBuilder<Postgres>, tx: &TenantTx, query: &KeyQuery, words: &Words) {
    let account = tx.account().0;
    // Beside the policy, so that the indexes, which all begin with it, are used.
    sql.push("f.account_id = ").push_bind(account).push(condition(query.state));
    match words {
        Words::None => {}
        Words::Few { keys, and } => {
            sql.push(" AND f.key_id = ANY (").push_bind(keys.clone()).push(")");
            for term in and {
                has_term(sql, account, term);
            }
        }
        Words::Many(terms) => {
            for term in terms {
                has_term(sql, account, term);
            }
        }
    }
    if let Some(group) = query.group {
        sql.push(" AND f.group_id = ").push_bind(group.0);
    }
    if let Some(creator) = query.creator {
        sql.push(" AND f.created_by = ").push_bind(creator.0);
    }
    match &query.environment {
        Some(Named::One(name)) => {
            sql.push(" AND f.environment = ").push_bind(name.clone());
        }
        Some(Named::None) => {
            sql.push(" AND f.environment IS NULL");
        }
        None => {}
    }
    if let Some(public_id) = &query.key {
        sql.push(" AND f.key_id IN (SELECT s.key_id FROM key_secrets s WHERE s.account_id = ")
            .push_bind(account);
        sql.push(" AND s.public_id = ").push_bind(public_id.clone()).push(")");
    }
    if let Some(has) = query.addresses {
        sql.push(" AND f.has_addresses = ").push_bind(has);
    }
    if let Some(has) = query.limits {
        sql.push(" AND f.has_limits = ").push_bind(has);
    }
    if let Some(expiry) = query.expiry {
        sql.push(ending(expiry));
    }
    if let Some(idle) = query.idle {
        let days = idle.days();
        sql.push(" AND f.last_used_at < now() - make_interval(days => ").push_bind(days);
        sql.push(") AND f.created_at < now() - make_interval(days => ").push_bind(days).push(")");
    }
}

/// A state as exactly as the list shows it where the clock decides, not as it was when the facets were refreshed.
const fn condition(state: StateFilter) -> &'static str {
    match state {
        StateFilter::Active | StateFilter::All | StateFilter::Revoked => "",
        StateFilter::Operational => " AND f.state = 0 AND f.expires_at > now() + interval '24 hours'",
        StateFilter::Disabled => " AND f.state = 7",
        StateFilter::Expiring => {
            " AND f.enabled AND f.expires_at > now() AND f.expires_at <= now() + interval '24 hours'"
        }
        StateFilter::Expired => " AND f.enabled AND f.expires_at <= now()",
        StateFilter::NearLimit => {
            " AND f.enabled AND f.share_used > 800 AND f.share_used < 1000 AND f.share_until > now()"
        }
        StateFilter::Exhausted => " AND f.enabled AND f.share_used >= 1000 AND f.share_until > now()",
        StateFilter::RateLimited => {
            " AND f.enabled AND f.rate_limited_until > '-infinity' AND f.rate_limited_until > now()"
        }
        StateFilter::Rejecting => " AND f.enabled AND f.share_refused > 100",
    }
}

const fn ending(expiry: Expiry) -> &'static str {
    match expiry {
        Expiry::Never => " AND f.expires_at = 'infinity'",
        Expiry::Day => " AND f.expires_at > now() AND f.expires_at <= now() + interval '24 hours'",
        Expiry::Week => " AND f.expires_at > now() AND f.expires_at <= now() + interval '7 days'",
        Expiry::Month => " AND f.expires_at > now() AND f.expires_at <= now() + interval '30 days'",
        Expiry::Past => " AND f.expires_at <= now()",
    }
}

/// Asks each key that is met. `OFFSET 0` keeps it so: made into a join, it would read every key that has the term.
fn has_term(sql: &mut QueryBuilder<Postgres>, account: Uuid, term: &Term) {
    sql.push(" AND EXISTS (SELECT FROM key_terms t WHERE t.account_id = ").push_bind(account);
    sql.push(" AND t.key_id = f.key_id AND t.term >= ").push_bind(term.from.clone());
    sql.push(" AND t.term < ").push_bind(term.to.clone()).push(" OFFSET 0)");
}

/// How many keys there are under each of the list's shortcuts; `COUNTED + 1` is "more".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Enabled and disabled ones.
    pub active: i64,
    /// Near a limit.
    pub near_limit: i64,
    /// Ending within 24 hours.
    pub expiring: i64,
    /// Unused for 90 days.
    pub idle: i64,
    /// Revoked ones.
    pub revoked: i64,
}

/// Counts the account's keys.
pub async fn tally(tx: &mut TenantTx) -> sqlx::Result<Tally> {
    let account = tx.account();
    sqlx::query_as!(
        Tally,
        r#"SELECT
             (SELECT count(*) FROM (SELECT FROM key_facets WHERE account_id = $1 AND live
                                    LIMIT $2::bigint + 1) AS n) AS "active!",
             (SELECT count(*) FROM (SELECT FROM key_facets WHERE account_id = $1 AND live AND share_used > 800
                                    AND share_used < 1000 AND enabled AND share_until > now()
                                    LIMIT $2::bigint + 1) AS n) AS "near_limit!",
             (SELECT count(*) FROM (SELECT FROM key_facets WHERE account_id = $1 AND live AND enabled
                                    AND expires_at > now() AND expires_at <= now() + interval '24 hours'
                                    LIMIT $2::bigint + 1) AS n) AS "expiring!",
             (SELECT count(*) FROM (SELECT FROM key_facets WHERE account_id = $1 AND live
                                    AND last_used_at < now() - interval '90 days'
                                    AND created_at < now() - interval '90 days'
                                    LIMIT $2::bigint + 1) AS n) AS "idle!",
             (SELECT count(*) FROM (SELECT FROM key_facets WHERE account_id = $1 AND NOT live
                                    LIMIT $2::bigint + 1) AS n) AS "revoked!""#,
        account as AccountId,
        COUNTED,
    )
    .fetch_one(tx.connection())
    .await
}

#[cfg(test)]
mod tests;
