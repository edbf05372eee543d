//! The money storm: three gateways, many clients, limits of every kind, streams, clients that leave. Afterwards the
//! upstream, the clients, the ledger, the counters, the windows and the leases must all tell the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use domain::limit::{Measure, Period};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use store::PgPool;
use store::limits::{Subject, Terms};

use crate::harness::program::Program;
use crate::harness::{PRICE, TestGateway, TestKey, eventually, make_key};

const WORKERS: u64 = 200;
const TURNS: u64 = 20;
const KEYS: u64 = 12;
/// The smallest request that the end of each key is probed with.
const PROBE_CAP: u32 = 16;

/// Pseudo-random numbers that are the same in every run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a client knows of a request that was served.
struct Served {
    name: String,
    id: String,
    /// What the upstream said it consumed, where the client stayed to hear it.
    usage: Option<(i64, i64)>,
}

/// How often a client was told no.
#[derive(Default)]
struct Refused {
    by_limits: usize,
    for_now: usize,
}

struct Worker {
    number: u64,
    client: Client,
    gateways: Arc<Vec<String>>,
    keys: Arc<Vec<TestKey>>,
}

impl Worker {
    /// Asks again and again; gives what was served, and how often a limit said no.
    async fn run(self) -> (Vec<Served>, Refused) {
        let mut dice = Dice(self.number + 1);
        let (mut served, mut refused) = (Vec::new(), Refused::default());
        for turn in 0..TURNS {
            let key = &self.keys[usize::try_from(dice.below(KEYS)).unwrap()];
            let gateway = &self.gateways[usize::try_from(dice.below(3)).unwrap()];
            let (streams, leaves) = (dice.below(2) == 0, dice.below(4) == 0);
            let mut body = json!({
                "model": if dice.below(3) == 0 { "alias" } else { "gpt-4o-mini" }, "stream": streams,
                "messages": [{ "role": "user", "content": "Hello there".repeat(1 + usize::try_from(dice.below(5)).unwrap()) }],
            });
            if dice.below(5) > 0 {
                body["max_tokens"] = (PROBE_CAP + u32::try_from(dice.below(40)).unwrap()).into();
            }
            if streams {
                body["stream_options"] = json!({ "include_usage": true });
            }
            let name = format!("storm-{}-{turn}", self.number);
            let request =
                self.client.post(gateway).bearer_auth(&key.secret).header("user-agent", &name).json(&body);
            let response = request.send().await.unwrap();
            match response.status().as_u16() {
                200 => {
                    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
                    let usage = hear(response, streams, leaves).await;
                    served.push(Served { name, id, usage });
                }
                402 | 429 => refused.by_limits += 1,
                // A machine with too much to do grants no lease in time; that is never a yes.
                503 => refused.for_now += 1,
                other => panic!("{other}: {}", response.text().await.unwrap()),
            }
        }
        (served, refused)
    }
}

/// Reads an answer, or the beginning of it.
async fn hear(mut response: Response, streams: bool, leaves: bool) -> Option<(i64, i64)> {
    if leaves && streams {
        let _ = response.chunk().await;
        return None;
    }
    let text = response.text().await.unwrap();
    let whole: Value = if streams {
        assert!(text.contains("[DONE]"), "{text}");
        let events = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        let mut parsed = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        parsed.find(|event| event["usage"].is_object()).unwrap()
    } else {
        serde_json::from_str(&text).unwrap()
    };
    let usage = &whole["usage"];
    Some((usage["prompt_tokens"].as_i64().unwrap(), usage["completion_tokens"].as_i64().unwrap()))
}

/// Keys with limits of every kind, under a budget of their group and a credit line of their account.
async fn limited_keys(gateway: &TestGateway) -> Vec<TestKey> {
    let mut keys = Vec::new();
    let limit = |measure, amount| Terms { measure, amount, period: Period::Never };
    let mut dice = Dice(2_026);
    for number in 0..KEYS {
        let key = make_key(&gateway.console, gateway.account, &format!("storm {number}")).await;
        let (subject, account) = (Subject::Key(key.id), gateway.account.id);
        let some = i64::try_from(dice.below(1_500_000)).unwrap();
        if number % 4 != 3 {
            gateway.set_limit_of(account, subject, limit(Measure::Cost, 500_000 + some)).await;
        }
        if number % 4 == 2 {
            gateway.set_limit_of(account, subject, limit(Measure::Tokens, 1_000 + some / 500)).await;
        }
        keys.push(key);
    }
    gateway.set_limit(Subject::Group(gateway.account.group), 22_000_000).await;
    gateway.set_limit(Subject::Account, 20_000_000).await;
    gateway
        .execute(
            "UPDATE api_keys SET fit = 'strict' WHERE name LIKE 'storm %' AND substr(name, 7)::int % 2 = 0",
        )
        .await;
    gateway.execute("UPDATE models SET max_output = 256").await;
    gateway.until_enforced_by(3).await;
    keys
}

fn probe(model: &str) -> Value {
    json!({ "model": model, "max_tokens": PROBE_CAP, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// Spends what a key has left in small requests, until a limit says that nothing is: gives its code.
async fn spend_the_rest(client: &Client, gateway: &str, key: &TestKey, names: &mut Vec<Served>) -> String {
    loop {
        let name = format!("probe-{}-{}", key.public_id, names.len());
        let ask = || client.post(gateway).bearer_auth(&key.secret).header("user-agent", &name);
        // What is left may be reserved by somebody, who is asked for it: until then it is neither granted nor refused.
        let response = eventually("the rest is granted or refused", || async {
            let response = ask().json(&probe("gpt-4o-mini")).send().await.unwrap();
            let is_final = response.status() == 200 || response.headers().contains_key("x-should-retry");
            is_final.then_some(response)
        })
        .await;
        if response.status() != 200 {
            return response.json::<Value>().await.unwrap()["error"]["code"].as_str().unwrap().to_owned();
        }
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let usage = hear(response, false, false).await;
        names.push(Served { name, id, usage });
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn three_gateways_and_two_hundred_clients_agree_to_the_last_unit(pool: PgPool) {
    let mut setting = TestGateway::start(pool).await;
    setting.stop().await;
    let places = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut programs = Vec::new();
    for place in &places {
        programs.push(Program::start(&setting.owner, &setting.upstream, place.path()).await);
    }
    let keys = Arc::new(limited_keys(&setting).await);
    let gateways: Vec<String> = programs.iter().map(|program| program.url("/v1/chat/completions")).collect();
    let gateways = Arc::new(gateways);
    let client = Client::new();
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    // A client of its own each: a shared one keeps more connections than one address may have.
    for number in 0..WORKERS {
        let worker = Worker { number, client: Client::new(), gateways: gateways.clone(), keys: keys.clone() };
        running.spawn(worker.run());
    }
    let (mut served, mut refused) = (Vec::new(), Refused::default());
    while let Some(done) = running.join_next().await {
        let (theirs, no) = done.unwrap();
        served.extend(theirs);
        refused.by_limits += no.by_limits;
        refused.for_now += no.for_now;
    }
    let took = began.elapsed();
    let mut ends = HashMap::new();
    for key in keys.iter() {
        let code = spend_the_rest(&client, &gateways[0], key, &mut served).await;
        ends.entry(code).or_insert_with(Vec::new).push(key.clone());
    }
    for program in &mut programs {
        program.terminate();
        assert!(program.ended().await.success(), "{}", program.log());
    }
    check_requests(&setting, &served).await;
    check_sums(&setting).await;
    let unused = check_saturation(&setting, &ends).await;
    report(&format!(
        "money storm: 3 gateways, {WORKERS} clients: {} served in {took:.1?}, {} refused by limits and {} for lack \
         of time; overshoot 0, unused at saturation at most {unused:.2} %",
        served.len(),
        refused.by_limits,
        refused.for_now
    ));
}

/// Whatever the upstream has served has one row, and what the client heard is in it.
async fn check_requests(gateway: &TestGateway, served: &[Served]) {
    let rows = gateway.ledger_now().await;
    let by_id: HashMap<&str, &Value> = rows.iter().map(|row| (row["id"].as_str().unwrap(), row)).collect();
    assert_eq!(by_id.len(), rows.len());
    let received = gateway.upstream.received();
    let names: HashSet<&str> = received.iter().map(|request| request.header("user-agent").unwrap()).collect();
    assert_eq!(names.len(), received.len(), "a request reached the upstream twice");
    assert_eq!(names, served.iter().map(|served| served.name.as_str()).collect());
    assert_eq!(rows.len(), served.len(), "rows and requests differ");
    for Served { name, id, usage } in served {
        let row = by_id.get(id.as_str()).unwrap_or_else(|| panic!("{name} has no row"));
        if let Some(usage) = usage {
            let booked = (row["input_tokens"].as_i64().unwrap(), row["output_tokens"].as_i64().unwrap());
            assert_eq!((booked, &row["estimated"]), (*usage, &json!(false)), "{name}");
        }
    }
}

/// Ledger, counters and windows say the same; nothing is held any more, and nothing was overshot.
async fn check_sums(gateway: &TestGateway) {
    for (what, sql) in [
        (
            "counters and ledger differ",
            "SELECT to_jsonb(count(*)) FROM key_stats s
             LEFT JOIN (SELECT key_id, count(*) AS n, sum(cost_nano) AS cost FROM usage_records GROUP BY 1) u USING (key_id)
             WHERE s.requests <> coalesce(u.n, 0) OR s.cost_nano <> coalesce(u.cost, 0)",
        ),
        (
            "windows and ledger differ",
            "SELECT to_jsonb(count(*)) FROM limits l JOIN limit_windows w ON w.limit_id = l.id
             LEFT JOIN LATERAL (
                 SELECT coalesce(sum(CASE l.measure WHEN 'cost' THEN cost_nano ELSE input_tokens + output_tokens END), 0) AS sum
                 FROM usage_records u
                 WHERE u.account_id = l.account_id AND (l.key_id IS NULL OR u.key_id = l.key_id)
                       AND (l.group_id IS NULL OR u.group_id = l.group_id)
             ) u ON true
             WHERE w.spent <> u.sum",
        ),
        ("overshot", "SELECT to_jsonb(count(*)) FROM limit_windows WHERE spent > amount OR excess <> 0"),
        ("still reserved", "SELECT to_jsonb(count(*)) FROM limit_windows WHERE reserved <> 0"),
        ("still leased", "SELECT to_jsonb(count(*)) FROM leases WHERE amount <> 0"),
    ] {
        assert_eq!(gateway.json(sql).await, 0, "{what}");
    }
}

/// Of the limits that ended their keys, less is unused than 5 % or one worst case. Gives the largest part, in percent.
async fn check_saturation(gateway: &TestGateway, ends: &HashMap<String, Vec<TestKey>>) -> f64 {
    let sql = "SELECT jsonb_agg(to_jsonb(l) || to_jsonb(w)) FROM limits l JOIN limit_windows w ON w.limit_id = l.id";
    let windows = gateway.json(sql).await;
    let length = i64::try_from(probe("gpt-4o-mini").to_string().len()).unwrap();
    let (tokens, cost) = (
        length + i64::from(PROBE_CAP),
        (length * PRICE.input + i64::from(PROBE_CAP) * PRICE.output + 999_999) / 1_000_000,
    );
    let mut most = 0.0_f64;
    for (code, keys) in ends {
        for key in keys {
            let ended = windows.as_array().unwrap().iter().find(|window| match code.as_str() {
                "cost_limit_exceeded" => {
                    window["measure"] == "cost" && window["key_id"] == key.id.to_string()
                }
                "token_limit_exceeded" => {
                    window["measure"] == "tokens" && window["key_id"] == key.id.to_string()
                }
                "group_limit_exceeded" => !window["group_id"].is_null(),
                "insufficient_balance" => window["group_id"].is_null() && window["key_id"].is_null(),
                other => panic!("{other}"),
            });
            let window = ended.unwrap_or_else(|| panic!("{code} without such a limit"));
            let (amount, spent) = (window["amount"].as_i64().unwrap(), window["spent"].as_i64().unwrap());
            let worst = if window["measure"] == "tokens" { tokens } else { cost };
            let unused = amount - spent;
            assert!(
                unused <= worst.max(amount / 20),
                "{code}: {unused} of {amount} unused, one is {worst}: {window}"
            );
            #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
            let part = unused as f64 * 100.0 / amount as f64;
            most = most.max(part);
        }
    }
    most
}

/// Past the test harness, which keeps the output of a test that passes to itself.
fn report(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}
