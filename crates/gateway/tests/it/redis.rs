//! Requests per minute of several gateways, counted by a real redis-server, and what becomes of them without it.
//!
//! `cargo xtask test` runs these as a step of its own, which says so loudly where there is no redis-server.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use gateway::config::Redis as RedisSettings;
use gateway::server::Gateway;
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use store::connect::as_role;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::harness::minutes::{self, ask, assert_none_over};
use crate::harness::redis::Redis;
use crate::harness::{TestGateway, eventually, make_key};

/// A gateway that counts in `redis`, which may take its time on a busy machine, and a key with a limit.
async fn first(pool: PgPool, redis: &Redis, limit: &'static str) -> TestGateway {
    let gateway = TestGateway::start_as(pool, |config| {
        config.redis =
            Some(RedisSettings { client: redis.client(), answer_time: Duration::from_millis(500) });
        config.edge.metrics = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    gateway.execute(limit).await;
    gateway.until_enforced().await;
    gateway
}

async fn statuses(gateway: &TestGateway, addresses: &[SocketAddr], count: usize) -> Vec<u16> {
    let asking = addresses.iter().cycle().take(count);
    let asking = asking.map(|address| ask(&gateway.client, *address, &gateway.key));
    join_all(asking).await.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect()
}

fn admitted(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status == 200).count()
}

fn header(response: &Response, name: &str) -> u64 {
    response.headers()[name].to_str().unwrap().parse().unwrap()
}

async fn code(response: Response) -> String {
    response.json::<Value>().await.unwrap()["error"]["code"].as_str().unwrap().to_owned()
}

async fn metric(gateway: &TestGateway, name: &str) -> String {
    let url = format!("http://{}/metrics", gateway.metrics_address().unwrap());
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let prefix = format!("latchkey_gateway_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn three_gateways_admit_exactly_the_limit_together(pool: PgPool) {
    let redis = Redis::start().await;
    let one = first(pool, &redis, "UPDATE api_keys SET requests_per_minute = 20").await;
    let (two, _spool) = one.neighbour().await;
    let (three, _spool) = one.neighbour().await;
    let gateways = [one.address(), two.address(), three.address()];
    // Nobody waits for a share: what one admits, another knows.
    for address in &gateways[1..] {
        assert_eq!(one.client.get(format!("http://{address}/readyz")).send().await.unwrap().status(), 200);
    }
    for (address, left) in gateways.into_iter().zip([19, 18, 17]) {
        let response = ask(&one.client, address, &one.key).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "x-ratelimit-remaining-requests")),
            (200, left)
        );
    }
    // A later step that refuses gives the slot back, in Redis too.
    for _ in 0..5 {
        let unknown = json!({ "model": "nobody", "messages": [] });
        assert_eq!(one.chat(&unknown).send().await.unwrap().status(), 404);
    }
    eventually("what was refused is given back", || async {
        let about = one.client.get(format!("http://{}/v1/key", gateways[1])).bearer_auth(&one.key.secret);
        let about: Value = about.send().await.unwrap().json().await.unwrap();
        (about["limits"][0]["left"] == 17).then_some(())
    })
    .await;
    let statuses = statuses(&one, &gateways, 60).await;
    assert_eq!(admitted(&statuses), 17, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 43, "{statuses:?}");
    let refused = ask(&one.client, gateways[2], &one.key).await.unwrap();
    let seconds = header(&refused, "retry-after");
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(refused.headers()["ratelimit"], format!("\"requests\";r=0;t={seconds}"));
    // A gateway that comes later has not missed anything.
    let (late, _spool) = one.neighbour().await;
    assert_eq!(ask(&one.client, late.address(), &one.key).await.unwrap().status(), 429);
    one.execute("UPDATE api_keys SET requests_per_minute = 21").await;
    one.until_enforced_by(4).await;
    assert_eq!(admitted(&self::statuses(&one, &[late.address(), gateways[0]], 10).await), 1);
    one.ledger(21).await;
    assert_eq!(assert_none_over(&one, &one.key, 21).await, 21);
    for (name, value) in [("redis_up", "1"), ("rates_in_redis", "1"), ("redis_unanswered_total", "0")] {
        assert_eq!(metric(&one, name).await, value, "{name}");
    }
    join_all([two, three, late].map(Gateway::stop)).await;
}

enum Fault {
    Killed,
    Frozen,
    Emptied,
    Restarted,
}

/// Two gateways that have admitted four of ten when something happens to Redis.
async fn something_happens(pool: PgPool, fault: Fault) -> (TestGateway, Redis, Gateway, TempDir) {
    let mut redis = Redis::start().await;
    let one = first(pool, &redis, "UPDATE api_keys SET requests_per_minute = 10").await;
    let free = make_key(&one.console, one.account, "free").await;
    let (two, spool) = one.neighbour().await;
    one.until_enforced_by(2).await;
    let gateways = [one.address(), two.address()];
    assert_eq!(admitted(&statuses(&one, &gateways, 4).await), 4);
    match fault {
        Fault::Killed => redis.kill(),
        Fault::Frozen => redis.freeze(),
        Fault::Emptied => redis.flush().await,
        Fault::Restarted => {
            redis.kill();
            redis.start_again().await;
        }
    }
    // Nothing is admitted by nobody's count, nobody waits for long, and who has no such limit does not notice.
    let began = Instant::now();
    let refused = ask(&one.client, gateways[0], &one.key).await.unwrap();
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, 5));
    assert_eq!(code(refused).await, "policy_unavailable");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ask(&one.client, gateways[1], &free).await.unwrap().status(), 200);
    // Then each goes by its part of what was left: six, shared by two.
    for address in gateways {
        let first = eventually("it goes by its share", || async {
            let response = ask(&one.client, address, &one.key).await.unwrap();
            (response.status() == 200).then_some(response)
        })
        .await;
        assert_eq!(header(&first, "x-ratelimit-limit-requests"), 10);
        let statuses = statuses(&one, &[address], 8).await;
        assert_eq!((admitted(&statuses), statuses.contains(&503)), (2, false), "{statuses:?}");
    }
    assert_eq!(code(ask(&one.client, gateways[1], &one.key).await.unwrap()).await, "rate_limit_exceeded");
    assert_eq!(metric(&one, "rates_in_redis").await, "0");
    assert_eq!(metric(&one, "rate_fallbacks_total").await, "1");
    assert_ne!(metric(&one, "redis_unanswered_total").await, "0");
    (one, redis, two, spool)
}

/// Whatever Redis says now, the minute's ten are used.
async fn nothing_is_left(one: TestGateway, two: Gateway) {
    assert_eq!(admitted(&statuses(&one, &[one.address(), two.address()], 20).await), 0);
    one.ledger(11).await;
    assert_eq!(assert_none_over(&one, &one.key, 10).await, 10);
    two.stop().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn a_killed_redis_leaves_each_its_share_of_the_rest(pool: PgPool) {
    let (one, mut redis, two, _spool) = something_happens(pool, Fault::Killed).await;
    assert_eq!(metric(&one, "redis_up").await, "0");
    redis.start_again().await;
    eventually("it is seen again", || async { (metric(&one, "redis_up").await == "1").then_some(()) }).await;
    nothing_is_left(one, two).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn a_redis_that_hangs_leaves_each_its_share_of_the_rest(pool: PgPool) {
    let (one, redis, two, _spool) = something_happens(pool, Fault::Frozen).await;
    redis.thaw();
    eventually("it is seen again", || async { (metric(&one, "redis_up").await == "1").then_some(()) }).await;
    nothing_is_left(one, two).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn an_emptied_redis_leaves_each_its_share_of_the_rest(pool: PgPool) {
    let (one, _redis, two, _spool) = something_happens(pool, Fault::Emptied).await;
    nothing_is_left(one, two).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn a_restarted_redis_leaves_each_its_share_of_the_rest(pool: PgPool) {
    let (one, _redis, two, _spool) = something_happens(pool, Fault::Restarted).await;
    nothing_is_left(one, two).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn a_redis_that_would_forget_does_not_count(pool: PgPool) {
    let redis = Redis::start().await;
    redis.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    redis.tell(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let one = first(pool, &redis, "UPDATE api_keys SET requests_per_minute = 3").await;
    assert_eq!(
        (metric(&one, "redis_up").await, metric(&one, "rates_in_redis").await),
        ("0".into(), "0".into())
    );
    assert_eq!(admitted(&statuses(&one, &[one.address()], 5).await), 3, "it goes by its share, which is all");
    redis.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    eventually("it may count", || async { (metric(&one, "redis_up").await == "1").then_some(()) }).await;
    // Full: it takes no write, so it cannot count.
    redis.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    eventually("it is full", || async { (metric(&one, "redis_up").await == "0").then_some(()) }).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
#[ignore = "needs redis-server: `cargo xtask test --only redis`"]
async fn no_minute_is_over_while_redis_and_a_gateway_come_and_go(pool: PgPool) {
    let mut redis = Redis::start().await;
    let mut one = first(pool, &redis, "UPDATE api_keys SET requests_per_minute = 12").await;
    let (two, _spool) = one.neighbour().await;
    let (begin, client, key) = (Instant::now(), one.client.clone(), one.key.clone());
    let at = |seconds| begin + Duration::from_secs(seconds);
    let press = |address, end| tokio::spawn(minutes::press(client.clone(), address, key.clone(), end));
    let (first_run, second) = (press(one.address(), at(25)), press(two.address(), at(75)));
    tokio::time::sleep_until(at(5)).await;
    redis.kill();
    tokio::time::sleep_until(at(15)).await;
    redis.start_again().await;
    let mut answered = first_run.await.unwrap();
    one.stop().await;
    let pool = as_role(&one.owner, "latchkey_gateway").await.unwrap();
    one.start_again(pool).await;
    // The shares of the whole limit count a minute after the loss.
    let again = press(one.address(), at(75));
    answered += again.await.unwrap() + second.await.unwrap();
    one.ledger(answered).await;
    let admitted = assert_none_over(&one, &one.key, 12).await;
    assert!(admitted > 12, "{admitted}: the first minute's slots come back after it");
    two.stop().await;
}
