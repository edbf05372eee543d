//! The operator's own permissions: their routes go through the same decision, cost a price per call, and are gone when
//! they are archived.

use domain::limit::{Measure, Period};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::PgPool;
use store::limits::{Subject, Terms};
use testkit::upstream::{Answer, Ending, Gate, Step, Upstream};
use uuid::Uuid;

use crate::harness::TestGateway;
use crate::harness::raw::Raw;

/// Nano-dollars for a call of `GET /v1/characters/{id}`.
const PRICE: i64 = 2_000_001;

/// A gateway with the routes of `character_info`, which are served by an upstream of their own.
struct Bench {
    gateway: TestGateway,
    there: Upstream,
}

impl Bench {
    async fn new(pool: PgPool) -> Self {
        let gateway = TestGateway::start(pool).await;
        let there = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        there.require_key("upstream_characters");
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO upstreams (id, name, base_url, secret_name)
             VALUES (gen_random_uuid(), 'characters', $1, 'UPSTREAM_CHARACTERS') RETURNING id",
        )
        .bind(there.base_url())
        .fetch_one(&gateway.owner)
        .await
        .unwrap();
        gateway
            .execute(
                "INSERT INTO own_permissions (name, allows) VALUES ('character_info', 'Read characters')",
            )
            .await;
        let this = Self { gateway, there };
        this.route("GET", "/v1/characters/{id}", "/people/{id}", id, PRICE).await;
        this.route("DELETE", "/v1/characters/{id}", "/people/{id}", id, 0).await;
        this.route("POST", "/v1/characters", "/people", id, 7).await;
        this.gateway.until_enforced().await;
        this
    }

    async fn route(&self, method: &str, path: &str, upstream_path: &str, upstream: Uuid, price: i64) {
        let _: i64 = sqlx::query_scalar(
            "INSERT INTO own_routes (permission, method, path, upstream_id, upstream_path, price)
             VALUES ('character_info', $1, $2, $3, $4, $5) RETURNING price",
        )
        .bind(method)
        .bind(path)
        .bind(upstream)
        .bind(upstream_path)
        .bind(price)
        .fetch_one(&self.gateway.owner)
        .await
        .unwrap();
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.gateway.client.request(method, self.gateway.url(path)).bearer_auth(&self.gateway.key.secret)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    fn answers(&self) {
        self.there.enqueue(Answer::json(200, &json!({ "name": "Ada" })));
    }
}

async fn code(response: Response, status: u16) -> Value {
    let (found, body) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!(found, status, "{body}");
    body["error"]["code"].clone()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_call_goes_to_its_upstream_as_it_came_and_costs_its_price(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.answers();
    let response = bench
        .request(Method::GET, "/api/openai/v1/characters/Zo%C3%AB?lang=en&q=%2F")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "1.2.3.4")
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "name": "Ada" }));
    let sent = bench.there.received().remove(0);
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("GET", "/v1/people/Zo%C3%AB?lang=en&q=%2F"));
    assert_eq!(sent.header("authorization"), Some("Bearer upstream_characters"));
    assert_eq!(sent.header("accept"), Some("application/json"));
    assert!(sent.header("cookie").is_none() && sent.header("x-forwarded-for").is_none());

    bench.there.enqueue(Answer::whole(201, "text/plain", "made"));
    let body = "not { json \u{0}";
    let made = bench.request(Method::POST, "/v1/characters").header("content-type", "text/csv").body(body);
    let made = made.send().await.unwrap();
    assert_eq!((made.status().as_u16(), made.text().await.unwrap().as_str()), (201, "made"));
    let sent = bench.there.received().remove(1);
    assert_eq!((sent.path.as_str(), sent.body.as_ref()), ("/v1/people", body.as_bytes()));
    assert_eq!(sent.header("content-type"), Some("text/csv"));

    bench.there.enqueue(Answer::whole(204, "text/plain", ""));
    let gone = bench.request(Method::DELETE, "/v1/characters/7").send().await.unwrap();
    assert_eq!((gone.status().as_u16(), gone.text().await.unwrap().as_str()), (204, ""));

    let rows = bench.gateway.ledger(3).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["route"].as_str().unwrap(), row["status"].as_i64(), row["cost_nano"].as_i64()))
        .collect();
    assert_eq!(
        told,
        [
            ("/v1/characters/{id}", Some(200), Some(PRICE)),
            ("/v1/characters", Some(201), Some(7)),
            ("/v1/characters/{id}", Some(204), Some(0)),
        ]
    );
    assert_eq!((&rows[0]["id"], &rows[0]["model"]), (&json!(id), &json!("")));
    assert_eq!((&rows[0]["price_per_call"], &rows[0]["input_tokens"]), (&json!(PRICE), &json!(0)));
    assert!(rows.iter().all(|row| row["estimated"] == false && row["interrupted"] == false), "{rows:#?}");
    let stats = bench.gateway.stats().await;
    assert_eq!((&stats["requests"], &stats["cost_nano"]), (&json!(3), &json!(PRICE + 7)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_with_a_list_needs_it_on_the_list_and_so_does_its_group(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.answers();
    assert_eq!(bench.get("/v1/characters/7").await.status(), 200, "all permissions, later ones included");
    let about: Value = bench.get("/v1/key").await.json().await.unwrap();
    assert!(about["permissions"].as_array().unwrap().contains(&json!("character_info")), "{about}");
    for (sql, status) in [
        ("UPDATE api_keys SET permissions = '{chat:read}'", 403),
        ("UPDATE api_keys SET permissions = '{chat:read,character_info}'", 200),
        ("UPDATE groups SET permissions = '{chat:read}'", 403),
    ] {
        bench.gateway.execute(sql).await;
        bench.gateway.until_enforced().await;
        bench.answers();
        let response = bench.get("/v1/characters/7").await;
        assert_eq!(response.status(), status, "{sql}");
        if status == 403 {
            assert_eq!(code(response, 403).await, "insufficient_permissions");
        }
    }
    let about: Value = bench.get("/v1/key").await.json().await.unwrap();
    assert_eq!(about["permissions"], json!(["chat:read"]));
    assert_eq!(bench.there.received().len(), 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_archived_or_was_never_there_is_not_found(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let nobody = bench.gateway.client.get(bench.gateway.url("/v1/characters/7")).send().await.unwrap();
    assert_eq!(nobody.status(), 401, "who has no key learns nothing");
    let put = bench.request(Method::PUT, "/v1/characters/7").send().await.unwrap();
    assert_eq!(put.headers()["allow"], "GET, DELETE");
    assert_eq!(code(put, 405).await, "method_not_allowed");
    for path in ["/v1/characters", "/v1/characters/7/x", "/v1/character/7", "/characters/7", "/v1/people/7"] {
        let response = bench.get(path).await;
        let status = if path == "/v1/characters" { 405 } else { 404 };
        assert_eq!(response.status(), status, "{path}");
    }
    bench.gateway.execute("UPDATE own_permissions SET enabled = false").await;
    bench.gateway.until_enforced().await;
    assert_eq!(code(bench.get("/v1/characters/7").await, 404).await, "path_not_found");
    bench.gateway.execute("UPDATE own_permissions SET enabled = true").await;
    bench.gateway.until_enforced().await;
    bench.answers();
    assert_eq!(bench.get("/v1/characters/7").await.status(), 200);
    bench.gateway.execute("DELETE FROM own_routes WHERE method = 'GET'").await;
    bench.gateway.until_enforced().await;
    assert_eq!(bench.get("/v1/characters/7").await.status(), 405);
    assert_eq!(bench.there.received().len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_could_be_read_as_another_path_goes_nowhere(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let key = &bench.gateway.key.secret;
    for path in [
        "/v1/characters/..",
        "/v1/characters/.",
        "/v1/characters/%2e%2e",
        "/v1/characters/.%2E",
        "/v1/characters/",
        "/v1/characters//7",
        "/v1//characters/7",
        "/v1/characters/7/",
        "/v1/characters/a%2Fb",
        "/v1/characters/a%2fb",
        "/v1/characters/..%2f..%2fadmin",
        "/v1/characters/a%5cb",
        "/v1/characters/7;x",
        "/v1/characters/7%3bx",
        "/v1/characters/%252e%252e",
        "/v1/characters/7%00",
        "/v1/characters/7%0d%0aX:y",
        "/v1/characters/%c0%af",
        "/v1/%63haracters/7",
        "/v1/x/../characters/7",
        "/v1/characters/..%20",
        "/V1/characters/7",
        "/v1/characters/a%23b",
        "/v1/characters/a%3fb",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        );
        let mut connection = Raw::connect(bench.gateway.address()).await;
        connection.send(&request).await;
        let answer = connection.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    let query = bench.get(&format!("/v1/characters/7?{}", "a".repeat(5_000))).await;
    assert_eq!(code(query, 400).await, "invalid_request");
    let packed = bench.request(Method::POST, "/v1/characters").header("content-encoding", "gzip").body("x");
    assert_eq!(code(packed.send().await.unwrap(), 415).await, "unsupported_media_type");
    let body = bench.request(Method::GET, "/v1/characters/7").body("x").send().await.unwrap();
    assert_eq!(code(body, 400).await, "invalid_request");
    let large = bench.request(Method::POST, "/v1/characters").body(vec![b'x'; 10 * 1024 * 1024 + 1]);
    assert_eq!(code(large.send().await.unwrap(), 413).await, "body_too_large");
    assert!(bench.there.received().is_empty());
    assert!(bench.gateway.ledger_now().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_cost_limit_ends_it_at_the_right_count(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let key = Subject::Key(bench.gateway.key.id);
    bench.gateway.set_limit(key, 3 * PRICE + 6).await;
    // Its calls have no tokens, so a limit of those does not matter.
    let tokens = Terms { measure: Measure::Tokens, amount: 0, period: Period::Daily };
    bench.gateway.set_limit_of(bench.gateway.account.id, key, tokens).await;
    for count in 1..=3 {
        bench.answers();
        assert_eq!(bench.get("/v1/characters/7").await.status(), 200);
        bench.gateway.ledger(count).await;
    }
    assert_eq!(code(bench.get("/v1/characters/7").await, 429).await, "cost_limit_exceeded");
    let post = bench.request(Method::POST, "/v1/characters").body("{}").send().await.unwrap();
    assert_eq!(code(post, 429).await, "cost_limit_exceeded", "six are left and it costs seven");
    bench.there.enqueue(Answer::whole(200, "text/plain", ""));
    let free = bench.request(Method::DELETE, "/v1/characters/7").send().await.unwrap();
    assert_eq!(free.status(), 200, "what costs nothing always passes");
    bench.gateway.ledger(4).await;
    let spent = bench
        .gateway
        .json("SELECT to_jsonb(w.spent) FROM limit_windows w JOIN limits l ON l.id = w.limit_id WHERE l.measure = 'cost'")
        .await;
    assert_eq!(spent, json!(3 * PRICE));
    assert_eq!(bench.there.received().len(), 4);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_the_upstream_refuses_or_fails_costs_nothing(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.gateway.set_limit(Subject::Key(bench.gateway.key.id), PRICE).await;
    let detail = |text: &str| json!({ "detail": text });
    for (answer, status, told) in [
        (Answer::json(404, &detail("no such character")), 404, "no such character"),
        (Answer::json(500, &detail("oh")), 500, "oh"),
        (Answer::json(401, &detail("your key")), 502, "failed to answer"),
        (
            Answer::whole(302, "text/html", "").header("location", "http://127.0.0.1/"),
            502,
            "failed to answer",
        ),
        (Answer::die(), 502, "failed to answer"),
    ] {
        bench.there.enqueue(answer);
        let response = bench.get("/v1/characters/7").await;
        let (found, body) = (response.status(), response.json::<Value>().await.unwrap());
        assert_eq!(found, status, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(told), "{body}");
    }
    let rows = bench.gateway.ledger(5).await;
    assert!(rows.iter().all(|row| row["cost_nano"] == 0 && row["price_per_call"] == PRICE), "{rows:#?}");
    bench.answers();
    assert_eq!(bench.get("/v1/characters/7").await.status(), 200, "all of the limit is there still");

    bench.gateway.execute("UPDATE upstreams SET enabled = false").await;
    bench.gateway.execute("DELETE FROM limits").await;
    bench.gateway.until_enforced().await;
    assert_eq!(code(bench.get("/v1/characters/7").await, 502).await, "upstream_failed");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_passes_as_it_comes_and_costs_its_price_however_it_ends(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let gate = Gate::closed();
    let steps = [Step::event("one"), Step::Wait(gate.clone()), Step::event("[DONE]"), Step::event("more")];
    bench.there.enqueue(Answer::events(steps));
    let mut response = bench.get("/v1/characters/7").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: one\n\n", "it is not held back");
    gate.open();
    let mut rest = Vec::new();
    while let Some(bytes) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&bytes);
    }
    assert_eq!(String::from_utf8(rest).unwrap(), "data: [DONE]\n\ndata: more\n\n");
    let row = bench.gateway.ledger(1).await.remove(0);
    assert_eq!((&row["streamed"], &row["cost_nano"]), (&json!(true), &json!(PRICE)));

    bench.there.enqueue(Answer::whole(200, "text/csv", "").in_steps([Step::send("a,b\n"), Step::Hang]));
    let mut response = bench.get("/v1/characters/7").await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "a,b\n");
    drop(response);
    assert_eq!(bench.there.nth_received(2).await.ended().await, Ending::Abandoned);
    let row = bench.gateway.ledger(2).await.remove(1);
    assert_eq!(
        (&row["status"], &row["interrupted"], &row["cost_nano"]),
        (&json!(499), &json!(true), &json!(PRICE))
    );

    // Nobody will learn whether the upstream would have done it.
    bench.there.enqueue(Answer::hang());
    let asking = tokio::spawn(bench.request(Method::GET, "/v1/characters/7").send());
    bench.there.nth_received(3).await;
    asking.abort();
    let row = bench.gateway.ledger(3).await.remove(2);
    assert_eq!((&row["status"], &row["cost_nano"]), (&json!(499), &json!(PRICE)));
    assert_eq!((&row["estimated"], &row["input_tokens"]), (&json!(true), &json!(0)));

    // Of this one it is known.
    let no = Answer::whole(500, "application/json", "").in_steps([Step::send("{"), Step::Hang]);
    bench.there.enqueue(no);
    let client = bench.request(Method::GET, "/v1/characters/7").timeout(std::time::Duration::from_secs(2));
    assert!(client.send().await.is_err(), "the error's body does not end");
    let row = bench.gateway.ledger(4).await.remove(3);
    assert_eq!((&row["status"], &row["cost_nano"]), (&json!(499), &json!(0)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn requests_per_minute_count_them_too(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.gateway.execute("UPDATE api_keys SET requests_per_minute = 2").await;
    bench.gateway.until_enforced().await;
    for left in ["1", "0"] {
        bench.answers();
        let response = bench.get("/v1/characters/7").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-ratelimit-remaining-requests"], left);
    }
    assert_eq!(code(bench.get("/v1/characters/7").await, 429).await, "rate_limit_exceeded");
}
