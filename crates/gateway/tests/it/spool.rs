//! What is owed to the ledger outlasts the database's absence, a restart, and too little memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use domain::RequestId;
use gateway::config::Config;
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use store::connect::as_role;

use crate::harness::cable::Cable;
use crate::harness::program::Program;
use crate::harness::{TestGateway, eventually, logs};

fn prompt() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] })
}

async fn serve(gateway: &TestGateway) -> String {
    let response = gateway.chat(&prompt()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    response.bytes().await.unwrap();
    id
}

fn segments(spool: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(spool).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "spool")).collect();
    found.sort();
    found
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

/// The counters say what the rows say.
async fn is_consistent(gateway: &TestGateway) {
    let sql = "SELECT to_jsonb(bool_and(s.requests = u.n AND s.cost_nano = u.cost)) FROM key_stats s
               JOIN (SELECT key_id, count(*) AS n, sum(cost_nano) AS cost FROM usage_records GROUP BY 1) u USING (key_id)";
    assert_eq!(gateway.json(sql).await, true);
}

async fn with_cable(pool: PgPool, change: impl FnOnce(&mut Config)) -> (TestGateway, Cable) {
    let cable = Cable::to(&pool, true).await;
    let gateway_pool = cable.pool(&pool);
    let gateway = TestGateway::start_configured(pool, gateway_pool, change).await;
    gateway.until_ready().await;
    (gateway, cable)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stop_without_the_database_loses_nothing(pool: PgPool) {
    let (mut gateway, cable) =
        with_cable(pool, |config| config.limits.drain = Duration::from_millis(1_200)).await;
    let mut served = vec![serve(&gateway).await];
    gateway.ledger(1).await;
    cable.pull();
    for _ in 0..5 {
        served.push(serve(&gateway).await);
    }
    gateway.stop().await;
    assert_eq!(gateway.ledger_now().await.len(), 1);
    assert!(logs::so_far().contains("they stay in the spool and are sent at the next start"));
    let gateway_pool = as_role(&gateway.owner, "latchkey_gateway").await.unwrap();
    gateway.start_again(gateway_pool).await;
    // Requests are taken when all of it is in the ledger, not before.
    let rows = gateway.ledger_now().await;
    assert_eq!(ids(&rows), served);
    assert!(rows.iter().all(|row| row["interrupted"] == false), "{rows:#?}");
    is_consistent(&gateway).await;
    gateway.stop().await;
    assert_eq!(segments(gateway.spool.path()), Vec::<std::path::PathBuf>::new());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_restart_is_the_same_gateway(pool: PgPool) {
    let mut gateway = TestGateway::start(pool).await;
    let sql = "SELECT jsonb_agg(id) FROM gateways";
    let first = gateway.json(sql).await;
    gateway.stop().await;
    let stopped = "SELECT to_jsonb(count(*)) FROM gateways WHERE stopped_at IS NOT NULL";
    assert_eq!(gateway.json(stopped).await, 1);
    let gateway_pool = as_role(&gateway.owner, "latchkey_gateway").await.unwrap();
    gateway.start_again(gateway_pool).await;
    assert_eq!(gateway.json(sql).await, first);
    eventually("it lives again", || async { (gateway.json(stopped).await == 0).then_some(()) }).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_memory_has_no_room_for_waits_in_the_spool(pool: PgPool) {
    let (gateway, cable) = with_cable(pool, |config| config.limits.unsettled = 1).await;
    cable.pull();
    let mut served = Vec::new();
    // Longer than the writer waits for company: from then on it has its hands full, and the queue too.
    let start = Instant::now();
    while served.len() < 8 || start.elapsed() < Duration::from_millis(500) {
        served.push(serve(&gateway).await);
    }
    cable.plug_in();
    let rows = gateway.ledger(served.len()).await;
    assert_eq!(ids(&rows), served);
    is_consistent(&gateway).await;
    // Nothing of it is needed any more, so the first segment goes.
    eventually("the segment that was read back is deleted", || async {
        (!segments(gateway.spool.path()).iter().any(|path| path.ends_with("0000000000000001.spool")))
            .then_some(())
    })
    .await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn replaying_everything_twice_changes_nothing(pool: PgPool) {
    let (mut gateway, _cable) = with_cable(pool, |_| {}).await;
    for _ in 0..4 {
        serve(&gateway).await;
    }
    let kept: Vec<_> = segments(gateway.spool.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    assert!(!kept.is_empty());
    let rows = gateway.ledger(4).await;
    let stats = gateway.stats().await;
    gateway.stop().await;
    for round in 0..2 {
        for (path, bytes) in &kept {
            // The second time with what a crash leaves of a last write.
            let torn = if round == 1 { &bytes[..bytes.len() / 8] } else { &[] };
            fs::write(path, [bytes.as_slice(), torn].concat()).unwrap();
        }
        let gateway_pool = as_role(&gateway.owner, "latchkey_gateway").await.unwrap();
        gateway.start_again(gateway_pool).await;
        assert_eq!(gateway.ledger_now().await, rows);
        assert_eq!(gateway.stats().await, stats);
        gateway.stop().await;
        assert_eq!(segments(gateway.spool.path()), Vec::<std::path::PathBuf>::new());
    }
    assert!(logs::so_far().contains("the spool ends in half a record"));
}

async fn refused(response: Response) -> bool {
    if response.status() == 200 {
        response.bytes().await.unwrap();
        return false;
    }
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "overloaded");
    true
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_full_spool_refuses_work_until_the_database_has_taken_some(pool: PgPool) {
    const BOUND: u64 = 64 * 1024;
    let (gateway, cable) = with_cable(pool, |config| config.spool.max_bytes = BOUND).await;
    cable.pull();
    let mut served = 0;
    while !refused(gateway.chat(&prompt()).send().await.unwrap()).await {
        served += 1;
        assert!(served < 1_000, "it has no bound");
    }
    assert!(served > 20, "only {served} requests fit");
    let used: u64 = segments(gateway.spool.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(used <= BOUND, "{used}");
    let ready = gateway.client.get(gateway.url("/readyz")).send().await.unwrap();
    assert_eq!(
        (ready.status().as_u16(), ready.text().await.unwrap()),
        (503, "the spool is full\n".to_owned())
    );
    let health = gateway.client.get(gateway.url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    cable.plug_in();
    gateway.ledger(served).await;
    eventually("requests are taken again", || async {
        (!refused(gateway.chat(&prompt()).send().await.unwrap()).await).then_some(())
    })
    .await;
    assert_eq!(gateway.ledger(served + 1).await.len(), gateway.upstream.received().len());
    is_consistent(&gateway).await;
    let log = logs::so_far();
    assert!(log.contains("the spool is filling up") && log.contains("the spool is full"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_second_gateway_does_not_start_on_the_same_spool(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(gateway.spool.path(), place.path().join("spool")).unwrap();
    let binary = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey-gateway"));
    let mut program = Program::spawn(binary, &gateway.owner, &gateway.upstream, place.path());
    assert_eq!(program.ended().await.code(), Some(1));
    let log = program.log();
    assert!(log.contains("is in use by another gateway") && log.contains("SPOOL_DIR"), "{log}");
    // The first one has not noticed.
    let id: RequestId = serve(&gateway).await.parse().unwrap();
    assert_eq!(gateway.ledger(1).await[0]["id"], id.to_string());
}
