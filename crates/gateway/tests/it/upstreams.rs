//! Several providers: where a model's requests go, and what happens when one of them fails.

use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::{Answer, Step, Upstream};

use crate::harness::{TestGateway, UPSTREAM_KEY, eventually};

/// A gateway whose model `shared` has two providers of its own, beside the one of the settings.
pub struct Bench {
    pub gateway: TestGateway,
    pub first: Upstream,
    pub second: Upstream,
}

impl Bench {
    async fn new(pool: PgPool) -> Self {
        Self::around(TestGateway::start(pool).await).await
    }

    /// The same, behind any gateway.
    pub async fn around(gateway: TestGateway) -> Self {
        let (first, second) = (provider("upstream_first").await, provider("upstream_second").await);
        for (name, upstream, rank) in [("first", &first, 1), ("second", &second, 2)] {
            let sql = "WITH made AS (
                           INSERT INTO upstreams (id, name, base_url, secret_name)
                           VALUES (gen_random_uuid(), $1, $2, 'UPSTREAM_' || upper($1)) RETURNING id
                       ), model AS (
                           INSERT INTO models (id, upstream_model, input_price, cached_input_price, output_price)
                           VALUES ('shared', 'nowhere', 1000000, 1000000, 1000000) ON CONFLICT DO NOTHING
                       )
                       SELECT id FROM made";
            let id: uuid::Uuid = sqlx::query_scalar(sql)
                .bind(name)
                .bind(upstream.base_url())
                .fetch_one(&gateway.owner)
                .await
                .unwrap();
            let sql = "INSERT INTO model_upstreams (model_id, upstream_id, upstream_model, rank)
                       VALUES ('shared', $1, $2, $3) RETURNING rank";
            let _: i16 = sqlx::query_scalar(sql)
                .bind(id)
                .bind(format!("shared-at-{name}"))
                .bind(rank)
                .fetch_one(&gateway.owner)
                .await
                .unwrap();
        }
        gateway.execute("INSERT INTO model_aliases VALUES ('nick', 'shared')").await;
        gateway.until_enforced().await;
        Self { gateway, first, second }
    }

    async fn ask(&self, model: &str) -> (u16, Value) {
        let response = self.gateway.chat(&hello(model)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

async fn provider(key: &str) -> Upstream {
    let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    upstream.require_key(key);
    upstream
}

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] })
}

fn trouble(status: u16) -> Answer {
    Answer::json(status, &json!({ "error": { "message": "trouble", "type": "x", "code": "y" } }))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_model_goes_to_its_first_provider_by_its_name_there(pool: PgPool) {
    let bench = Bench::new(pool).await;
    assert_eq!(bench.ask("shared").await.0, 200);
    let received = bench.first.received();
    assert_eq!(received[0].json().unwrap()["model"], "shared-at-first");
    assert_eq!(received[0].header("authorization"), Some("Bearer upstream_first"));
    assert!(bench.second.received().is_empty() && bench.gateway.upstream.received().is_empty());
    // The others go where the settings say.
    assert_eq!(bench.ask("gpt-4o-mini").await.0, 200);
    let bearer = format!("Bearer {UPSTREAM_KEY}");
    assert_eq!(bench.gateway.upstream.received()[0].header("authorization"), Some(bearer.as_str()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn another_name_is_the_same_model_to_rules_and_ledger(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.gateway.execute("UPDATE api_keys SET models = '{shared}'").await;
    bench.gateway.until_enforced().await;
    assert_eq!(bench.ask("nick").await.0, 200);
    assert_eq!(bench.first.received()[0].json().unwrap()["model"], "shared-at-first");
    assert_eq!(bench.gateway.ledger(1).await[0]["model"], "shared");
    assert_eq!(bench.ask("alias").await.0, 403);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_next_provider_is_asked_before_the_first_byte(pool: PgPool) {
    let bench = Bench::new(pool).await;
    for status in [500, 502, 503, 529, 429, 401, 402, 403] {
        bench.first.enqueue(trouble(status));
        let (found, answer) = bench.ask("shared").await;
        assert_eq!(found, 200, "{status}: {answer}");
        // It answers well in between, so it is still asked first.
        assert_eq!(bench.ask("shared").await.0, 200);
    }
    assert_eq!((bench.first.received().len(), bench.second.received().len()), (16, 8));
    assert_eq!(bench.second.received()[0].json().unwrap()["model"], "shared-at-second");
    // What is wrong with the request is wrong everywhere.
    for status in [400, 404, 413, 422] {
        bench.first.enqueue(trouble(status));
        assert_eq!(bench.ask("shared").await.0, status);
    }
    assert_eq!(bench.second.received().len(), 8);
    let rows = bench.gateway.ledger(20).await;
    assert_eq!(
        rows.iter().filter(|row| row["status"] == 200).count(),
        16,
        "one row a request, whoever served it"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_the_last_one_says_is_the_answer(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.first.enqueue(trouble(500));
    bench.second.enqueue(trouble(503));
    assert_eq!(bench.ask("shared").await.0, 503);
    bench.first.enqueue(trouble(500));
    bench.second.enqueue(trouble(401));
    let (status, answer) = bench.ask("shared").await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("upstream_failed")));
    assert!(!answer.to_string().contains("trouble"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_that_cannot_be_reached_is_passed_over_and_then_rests(pool: PgPool) {
    let bench = Bench::new(pool).await;
    // Nobody listens there.
    bench
        .gateway
        .execute("UPDATE upstreams SET base_url = 'http://127.0.0.1:9/v1' WHERE name = 'first'")
        .await;
    bench.gateway.until_enforced().await;
    for _ in 0..5 {
        assert_eq!(bench.ask("shared").await.0, 200);
    }
    assert_eq!(bench.second.received().len(), 5);
    // With the second switched off, the resting one is asked all the same.
    bench.gateway.execute("UPDATE upstreams SET enabled = false WHERE name = 'second'").await;
    bench.gateway.until_enforced().await;
    assert_eq!(bench.ask("shared").await.0, 502);
    bench.gateway.execute("UPDATE upstreams SET enabled = false").await;
    bench.gateway.until_enforced().await;
    assert_eq!(bench.ask("shared").await.0, 502);
    assert!(bench.gateway.upstream.received().is_empty(), "a model with providers never goes to another");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nobody_is_asked_twice_for_what_may_have_been_done(pool: PgPool) {
    let bench = Bench::new(pool).await;
    // The first has the request, and dies before it says anything: it may be at work, and paid for it.
    bench.first.enqueue(Answer::die());
    assert_eq!(bench.ask("shared").await.0, 502);
    assert!(bench.second.received().is_empty());
    // A stream that has begun is the answer, whatever becomes of it.
    let word = r#"{"choices":[{"index":0,"delta":{"content":"word "}}]}"#;
    bench.first.enqueue(Answer::events([Step::event(word), Step::Die]));
    let mut body = hello("shared");
    body["stream"] = json!(true);
    let text = bench.gateway.chat(&body).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("word ") && text.contains("upstream_failed"), "{text}");
    assert!(bench.second.received().is_empty());
    eventually("both are booked", || async { (bench.gateway.ledger_now().await.len() == 2).then_some(()) })
        .await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_row_cannot_name_other_secrets(pool: PgPool) {
    let bench = Bench::new(pool).await;
    for name in ["KEY_PEPPER", "DATABASE_URL", "UPSTREAM_", "upstream_x", "UPSTREAM_X_FILE"] {
        let sql = "UPDATE upstreams SET secret_name = $1 RETURNING name";
        let refused = sqlx::query_scalar::<_, String>(sql).bind(name).fetch_one(&bench.gateway.owner).await;
        assert!(refused.unwrap_err().to_string().contains("secret_name"), "{name}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_request_goes_where_no_provider_can_be(pool: PgPool) {
    let bench = Bench::new(pool).await;
    // By its name: this machine is where the operator says it is.
    let address = bench.second.address();
    let named = format!("http://localhost:{}/v1", address.port());
    sqlx::query_scalar::<_, i32>("UPDATE upstreams SET base_url = $1 WHERE name = 'second' RETURNING 1")
        .bind(named)
        .fetch_one(&bench.gateway.owner)
        .await
        .unwrap();
    bench
        .gateway
        .execute("UPDATE upstreams SET base_url = 'http://169.254.169.254/v1' WHERE name = 'first'")
        .await;
    bench.gateway.until_enforced().await;
    assert_eq!(bench.ask("shared").await.0, 200);
    assert!(bench.first.received().is_empty() && bench.second.received().len() == 1);
    bench.gateway.execute("UPDATE upstreams SET enabled = false WHERE name = 'second'").await;
    bench.gateway.until_enforced().await;
    let (status, body) = bench.ask("shared").await;
    assert_eq!((status, &body["error"]["code"]), (502, &json!("upstream_failed")));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_heartbeat_tells_the_operator_what_cannot_be_used(pool: PgPool) {
    let bench = Bench::new(pool).await;
    // Nobody listens at the first, and the second's key is not here.
    bench
        .gateway
        .execute(
            "UPDATE upstreams SET base_url = 'http://127.0.0.1:9/v1' WHERE name = 'first';
             UPDATE upstreams SET secret_name = 'UPSTREAM_OF_NOBODY' WHERE name = 'second'",
        )
        .await;
    bench.gateway.until_enforced().await;
    for _ in 0..3 {
        assert_eq!(bench.ask("shared").await.0, 502);
    }
    let told = eventually("a heartbeat with all of it", || async {
        let told = bench
            .gateway
            .json(
                "SELECT jsonb_build_object('address', address, 'bytes', spool_bytes, 'waiting', spool_waiting,
                     'started', started_at > now() - interval '5 minutes',
                     'resting', ARRAY(SELECT name FROM upstreams WHERE id = ANY (upstreams_resting)),
                     'unusable', ARRAY(SELECT name FROM upstreams WHERE id = ANY (upstreams_unusable)))
                 FROM gateways",
            )
            .await;
        (told["resting"] == json!(["first"])).then_some(told)
    })
    .await;
    assert_eq!(told["unusable"], json!(["second"]));
    assert_eq!(told["address"], bench.gateway.address().to_string());
    assert_eq!(told["started"], true);
    assert!(told["bytes"].as_i64().is_some() && told["waiting"].as_i64().is_some(), "{told}");
}
