//! The real program killed in the middle of its work, and asked to stop in the middle of it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use domain::limit::{Measure, Period};
use serde_json::json;
use store::limits::{self, Subject, Terms};
use store::{PgPool, TenantTx};
use tempfile::TempDir;

use crate::harness::program::Program;
use crate::harness::{TestGateway, TestKey, make_key};

const ROUNDS: usize = 17;
const GATEWAYS: usize = 3;
/// Two of each gateway.
const WORKERS: usize = 6;

/// One client with a key of its own, so that its rows can be told from everybody else's.
#[derive(Clone)]
struct Worker {
    number: usize,
    key: TestKey,
    client: reqwest::Client,
}

/// What a worker saw of one run of the program.
struct Seen {
    /// Ids of answers that came whole.
    answered: Vec<String>,
    /// The name of the request that was not answered.
    unanswered: String,
}

impl Worker {
    /// Asks until the program is gone: plain, streamed, plain, streamed…
    async fn run(self, round: usize, url: String) -> Seen {
        let mut answered = Vec::new();
        loop {
            let name = format!("worker-{}-{round}-{}", self.number, answered.len());
            let stream = answered.len() % 2 == 1;
            let body = json!({
                "model": "gpt-4o-mini", "stream": stream,
                "messages": [{ "role": "user", "content": "hello" }],
            });
            let request =
                self.client.post(&url).bearer_auth(&self.key.secret).header("user-agent", &name).json(&body);
            let Ok(response) = request.send().await else { return Seen { answered, unanswered: name } };
            if response.status() == 503 {
                // No lease in time: on a busy machine that happens, and nothing was served.
                continue;
            }
            assert_eq!(response.status(), 200);
            let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
            match response.text().await {
                // The last event of a stream is the client's "all is well"; from then on its end must be known.
                Ok(text) if !stream || text.contains("[DONE]") => answered.push(id),
                _ => return Seen { answered, unanswered: name },
            }
        }
    }
}

/// A number nobody chose, below `bound`.
fn any_below(bound: u64) -> u64 {
    u64::from_le_bytes(store::new_id().as_bytes()[8..].try_into().unwrap()) % bound
}

async fn rows_of(setting: &TestGateway, worker: &Worker) -> HashSet<String> {
    let rows = setting.ledger_now().await;
    let key = worker.key.id.to_string();
    rows.iter().filter(|row| row["key_id"] == key).map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

async fn workers(setting: &TestGateway) -> Vec<Worker> {
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let key = make_key(&setting.console, setting.account, &format!("worker {number}")).await;
        let limit = Terms { measure: Measure::Cost, amount: 1_000_000_000_000, period: Period::Never };
        let mut tx = TenantTx::begin(&setting.console, setting.account.id).await.unwrap();
        limits::put(&mut tx, Subject::Key(key.id), limit).await.unwrap();
        tx.commit().await.unwrap();
        workers.push(Worker { number, key, client: reqwest::Client::new() });
    }
    workers
}

/// Names of the requests the upstream has received, each once.
fn received(setting: &TestGateway) -> HashSet<String> {
    let all = setting.upstream.received();
    let names: HashSet<_> =
        all.iter().map(|received| received.header("user-agent").unwrap().to_owned()).collect();
    assert_eq!(names.len(), all.len(), "a request reached the upstream twice");
    names
}

async fn assert_counters_are_the_rows(setting: &TestGateway) {
    let sql = "SELECT to_jsonb(count(*)) FROM key_stats s
               LEFT JOIN (SELECT key_id, count(*) AS n, sum(cost_nano) AS cost FROM usage_records GROUP BY 1) u USING (key_id)
               WHERE s.requests <> coalesce(u.n, 0) OR s.cost_nano <> coalesce(u.cost, 0)";
    assert_eq!(setting.json(sql).await, 0, "counters and rows differ");
}

/// Starts every gateway on the spool it had.
async fn start_all(setting: &TestGateway, places: &[TempDir]) -> Vec<Program> {
    let mut programs = Vec::with_capacity(places.len());
    for place in places {
        programs.push(Program::start(&setting.owner, &setting.upstream, place.path()).await);
    }
    programs
}

/// What the limits have counted is what the ledger says, and whatever is still reserved belongs to nobody's request.
async fn assert_windows_are_the_rows(setting: &TestGateway) {
    let sql = "SELECT to_jsonb(count(*)) FROM limits l JOIN limit_windows w ON w.limit_id = l.id
               LEFT JOIN (SELECT key_id, sum(cost_nano) AS cost FROM usage_records GROUP BY 1) u ON u.key_id = l.key_id
               WHERE w.spent <> coalesce(u.cost, 0) OR w.excess <> 0";
    assert_eq!(setting.json(sql).await, 0, "windows and rows differ");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_gateway_killed_at_any_moment_loses_nothing_and_books_nothing_twice(pool: PgPool) {
    let mut setting = TestGateway::start(pool).await;
    setting.stop().await;
    let workers = workers(&setting).await;
    let places = [(); GATEWAYS].map(|()| tempfile::tempdir().unwrap());
    let mut before = vec![HashSet::new(); WORKERS];
    let (mut answered, mut interrupted) = (0, 0);
    let mut programs = start_all(&setting, &places).await;
    for round in 0..ROUNDS {
        let url = |worker: &Worker| programs[worker.number % GATEWAYS].url("/v1/chat/completions");
        let running: Vec<_> =
            workers.iter().map(|worker| tokio::spawn(worker.clone().run(round, url(worker)))).collect();
        for program in &mut programs {
            // Somewhere in the next requests, and somewhere in them.
            let served = setting.upstream.received().len();
            setting.upstream.nth_received(served + 1 + usize::try_from(any_below(40)).unwrap()).await;
            let moment = Instant::now() + Duration::from_micros(any_below(5_000));
            while Instant::now() < moment {
                tokio::task::yield_now().await;
            }
            program.kill();
        }
        let mut seen = Vec::new();
        for worker in running {
            seen.push(worker.await.unwrap());
        }
        programs = start_all(&setting, &places).await;
        // They take requests, so all that was owed is in the ledger.
        let received = received(&setting);
        for (worker, seen) in workers.iter().zip(&seen) {
            let rows = rows_of(&setting, worker).await;
            let new: HashSet<_> = rows.difference(&before[worker.number]).cloned().collect();
            let of_answers = seen.answered.iter().filter(|id| new.contains(*id)).count();
            assert_eq!(of_answers, seen.answered.len(), "round {round}: an answered request has no row");
            let of_the_last = new.len() - of_answers;
            assert!(of_the_last <= 1, "round {round}: a request has two rows");
            if received.contains(&seen.unanswered) {
                assert_eq!(of_the_last, 1, "round {round}: {} was served and has no row", seen.unanswered);
            }
            answered += of_answers;
            interrupted += of_the_last;
            before[worker.number] = rows;
        }
        assert_counters_are_the_rows(&setting).await;
        assert_windows_are_the_rows(&setting).await;
    }
    let of_answers = "SELECT to_jsonb(count(*)) FROM usage_records WHERE NOT interrupted AND NOT estimated";
    assert!(setting.json(of_answers).await.as_u64().unwrap() >= answered as u64);
    report(&format!(
        "kill -9: {GATEWAYS} gateways, {ROUNDS} times each, under {WORKERS} clients: {answered} answered and {interrupted} unanswered requests booked, \
         none lost, none twice"
    ));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_gateway_told_to_stop_settles_everything_and_leaves_nothing(pool: PgPool) {
    let mut setting = TestGateway::start(pool).await;
    setting.stop().await;
    let workers = workers(&setting).await;
    let place = tempfile::tempdir().unwrap();
    let mut program = Program::start(&setting.owner, &setting.upstream, place.path()).await;
    let url = program.url("/v1/chat/completions");
    let running: Vec<_> =
        workers.iter().map(|worker| tokio::spawn(worker.clone().run(0, url.clone()))).collect();
    setting.upstream.nth_received(50).await;
    program.terminate();
    let mut answered = HashSet::new();
    for worker in running {
        answered.extend(worker.await.unwrap().answered);
    }
    assert!(program.ended().await.success(), "{}", program.log());
    let rows = setting.ledger_now().await;
    let booked: HashSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(booked.difference(&answered).count(), 0, "an orderly stop lets requests end");
    assert_eq!(answered.difference(&booked).count(), 0, "an answered request has no row");
    assert_eq!(received(&setting).len(), booked.len());
    assert_counters_are_the_rows(&setting).await;
    let left = std::fs::read_dir(place.path().join("spool")).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(HashSet::from_iter(left), HashSet::from(["lock".to_owned(), "gateway-id".to_owned()]));
}

/// Past the test harness, which keeps the output of a test that passes to itself.
fn report(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}
