//! Every route that goes to the upstream: served, refused, booked, in the words of its clients.

use gateway::router::{ROUTES, Served};
use http::Method;
use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;
use testkit::upstream::Answer;

use crate::harness::{TestGateway, UPSTREAM_KEY, make_key};

/// A good request of each JSON route, by a model that is offered as `m`.
fn requests() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/chat/completions", json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] })),
        ("/v1/completions", json!({ "model": "m", "prompt": "hi", "max_tokens": 5 })),
        ("/v1/responses", json!({ "model": "m", "input": "hi" })),
        (
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] }),
        ),
        ("/v1/embeddings", json!({ "model": "m", "input": "hi" })),
        ("/v1/images/generations", json!({ "model": "m", "prompt": "a cat", "n": 2, "size": "1024x1024" })),
        ("/v1/moderations", json!({ "model": "m", "input": "hi" })),
    ]
}

async fn error_of(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status, "{response:?}");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let request_id = response.headers().get("request-id").map(|id| id.to_str().unwrap().to_owned());
    let mut body: Value = response.json().await.unwrap();
    if let Some(request_id) = request_id {
        assert_eq!((&body["request_id"], &request_id), (&json!(id), &id));
        assert_eq!(body["type"], "error");
        assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
        assert_eq!(body["error"].as_object().unwrap().len(), 2, "{body}");
    }
    body["error"].take()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn each_json_route_is_served_by_its_upstream_and_booked(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m=gpt-4o"]).await;
    let requests = requests();
    for (path, body) in &requests {
        gateway.upstream.clear_received();
        let response = gateway.ask(path, body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
        let received = gateway.upstream.nth_received(1).await;
        assert_eq!(received.path, *path);
        let mut expected = body.clone();
        expected["model"] = json!("gpt-4o");
        assert_eq!(received.json().unwrap(), expected, "{path}");
        let key =
            if *path == "/v1/messages" { UPSTREAM_KEY.to_owned() } else { format!("Bearer {UPSTREAM_KEY}") };
        let header = if *path == "/v1/messages" { "x-api-key" } else { "authorization" };
        let credentials: Vec<_> =
            ["x-api-key", "authorization"].iter().filter_map(|name| received.header(name)).collect();
        assert_eq!(
            (received.header(header), credentials),
            (Some(key.as_str()), vec![key.as_str()]),
            "{path}"
        );
    }
    let rows = gateway.ledger(requests.len()).await;
    for (row, (path, _)) in rows.iter().zip(&requests) {
        assert_eq!((&row["route"], &row["model"], &row["status"]), (&json!(path), &json!("m"), &json!(200)));
        let is_free_of_report = *path == "/v1/moderations";
        assert_eq!(row["estimated"], is_free_of_report, "{row}");
        assert!(row["input_tokens"].as_i64().unwrap() > 0, "{row}");
        let has_output = !matches!(*path, "/v1/embeddings" | "/v1/moderations");
        assert_eq!(row["output_tokens"].as_i64().unwrap() > 0, has_output, "{row}");
    }
    assert_eq!(rows[5]["output_tokens"], 544, "two small pictures");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_route_takes_one_method(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    for route in &ROUTES {
        let path = route.path.replace("{id}", "gpt-4o-mini");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS]
        {
            if method.as_str() == route.method {
                continue;
            }
            let request = gateway.client.request(method, gateway.url(&path)).bearer_auth(&gateway.key.secret);
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["allow"], route.method, "{path}");
            let error = error_of(response, 405).await;
            assert_eq!(error["type"], "invalid_request_error", "{path}");
        }
    }
    for path in [
        "/v1/files",
        "/v1/messages/",
        "/v1/messages/count_tokens",
        "/v1/audio",
        "/v1/key/x",
        "/v1/responses/1",
    ] {
        let error = error_of(gateway.ask(path, &json!({})).send().await.unwrap(), 404).await;
        assert_eq!(error["code"], "path_not_found", "{path}");
    }
    assert!(gateway.upstream.received().is_empty() && gateway.ledger_now().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn wrong_bodies_are_told_before_anything_is_sent_on(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    let requests = requests();
    for (path, field, wrong) in [
        ("/v1/chat/completions", "max_tokens", json!(0)),
        ("/v1/chat/completions", "max_completion_tokens", json!(1.5)),
        ("/v1/chat/completions", "n", json!(129)),
        ("/v1/completions", "best_of", json!("2")),
        ("/v1/completions", "max_tokens", json!(-1)),
        ("/v1/responses", "max_output_tokens", json!("10")),
        ("/v1/responses", "stream", json!("yes")),
        ("/v1/responses", "tools", json!([{ "type": "image_generation", "model": "other" }])),
        ("/v1/messages", "max_tokens", json!(0)),
        ("/v1/messages", "fallback_model", json!("other")),
        ("/v1/embeddings", "dimensions", json!(0)),
        ("/v1/images/generations", "n", json!(11)),
        ("/v1/images/generations", "size", json!("1024")),
        ("/v1/moderations", "models", json!(["other"])),
        ("/v1/moderations", "model", json!(null)),
    ] {
        let mut body = requests.iter().find(|(other, _)| *other == path).unwrap().1.clone();
        body[field] = wrong;
        let error = error_of(gateway.ask(path, &body).send().await.unwrap(), 400).await;
        assert_eq!(error["type"], "invalid_request_error", "{path} {field}");
        if path != "/v1/messages" {
            assert_eq!(
                (&error["code"], &error["param"]),
                (&json!("invalid_request"), &json!(field)),
                "{path}"
            );
        }
    }
    for (path, body) in &requests {
        let mut unknown = body.clone();
        unknown["model"] = json!("nobody");
        let error = error_of(gateway.ask(path, &unknown).send().await.unwrap(), 404).await;
        assert!(error["message"].as_str().unwrap().contains("nobody"), "{path}");
        let twice = body.to_string().replacen('{', "{\"model\":\"m\",", 1);
        let request = gateway.post(path).bearer_auth(&gateway.key.secret);
        let request = request.header("content-type", "application/json").body(twice);
        error_of(request.send().await.unwrap(), 400).await;
        let request = gateway.post(path).bearer_auth(&gateway.key.secret).body(body.to_string());
        let error = error_of(request.header("content-type", "text/plain").send().await.unwrap(), 415).await;
        assert!(error["message"].as_str().unwrap().contains("application/json"), "{path}");
    }
    assert!(gateway.upstream.received().is_empty() && gateway.ledger_now().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn anthropics_clients_are_told_in_their_own_words(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    let secret = gateway.key.secret.as_str();
    let body = requests().remove(3).1;
    let send = |headers: Vec<(&'static str, String)>, body: &Value| {
        let request = gateway.post("/v1/messages").header("anthropic-version", "2023-06-01").json(body);
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).send()
    };
    let response = send(vec![("x-api-key", secret.to_owned())], &body).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["request-id"], response.headers()["x-request-id"]);
    let message: Value = response.json().await.unwrap();
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    let received = gateway.upstream.nth_received(1).await;
    assert_eq!(received.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(received.header("x-api-key"), Some(UPSTREAM_KEY));

    let both = vec![("x-api-key", secret.to_owned()), ("authorization", format!("Bearer {secret}"))];
    let error = error_of(send(both, &body).await.unwrap(), 400).await;
    assert_eq!(error["type"], "invalid_request_error");
    for headers in [vec![], vec![("x-api-key", "sk-ant-1".to_owned())], vec![("api-key", secret.to_owned())]]
    {
        let response = send(headers, &body).await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let error = error_of(response, 401).await;
        assert_eq!(error["type"], "authentication_error");
        assert!(error["message"].as_str().unwrap().starts_with("Invalid API key provided"));
    }
    let key = || vec![("x-api-key", secret.to_owned())];
    let mut unknown = body.clone();
    unknown["model"] = json!("nobody");
    assert_eq!(error_of(send(key(), &unknown).await.unwrap(), 404).await["type"], "not_found_error");
    let large = json!({ "model": "m", "x": "y".repeat(11 * 1024 * 1024) });
    assert_eq!(error_of(send(key(), &large).await.unwrap(), 413).await["type"], "request_too_large");
    let get = gateway.client.get(gateway.url("/v1/messages")).header("x-api-key", secret);
    assert_eq!(error_of(get.send().await.unwrap(), 405).await["type"], "invalid_request_error");
    let elsewhere = gateway.post("/v1/chat/completions").header("x-api-key", secret).json(&body);
    assert_eq!(error_of(elsewhere.send().await.unwrap(), 401).await["code"], "invalid_api_key");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unpaid_or_expired_key_is_refused_on_every_route(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    gateway.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'first'").await;
    let unpaid =
        crate::harness::open_account(&gateway.owner, "unpaid", store::accounts::BillingMode::None).await;
    let unpaid = make_key(&gateway.console, unpaid, "key").await;
    gateway.until_enforced().await;
    for (path, body) in &requests() {
        let error = error_of(gateway.ask(path, body).send().await.unwrap(), 401).await;
        assert!(error["message"].as_str().unwrap().contains("expired"), "{path}");
        let response = gateway.post(path).bearer_auth(&unpaid.secret).json(body).send().await.unwrap();
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(error_of(response, 402).await["type"], "billing_error", "{path}");
    }
    assert!(gateway.upstream.received().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_upstreams_errors_come_in_the_clients_dialect(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    let openai = json!({ "error": { "message": "as it is", "type": "x", "code": null, "param": null } });
    let anthropic =
        json!({ "type": "error", "error": { "type": "y", "message": "as it is" }, "request_id": "req_1" });
    let mut statuses = Vec::new();
    for (path, body) in &requests() {
        for said in [&openai, &anthropic] {
            for (status, word) in
                [(400, "invalid_request_error"), (429, "rate_limit_error"), (529, "overloaded_error")]
            {
                gateway.upstream.enqueue(Answer::json(status, said).header("retry-after", "7"));
                let response = gateway.ask(path, body).send().await.unwrap();
                assert_eq!(response.headers()["retry-after"], "7");
                let error = error_of(response, status).await;
                assert_eq!(error["message"], "as it is", "{path}");
                if *path == "/v1/messages" {
                    assert_eq!(error["type"], word);
                } else {
                    assert_eq!(error, said["error"]);
                }
                statuses.push(status);
            }
        }
        for status in [401, 402, 403] {
            gateway.upstream.enqueue(Answer::json(status, &anthropic));
            let error = error_of(gateway.ask(path, body).send().await.unwrap(), 502).await;
            let word = if *path == "/v1/messages" { "api_error" } else { "upstream_error" };
            assert_eq!((&error["type"], error["message"] == "as it is"), (&json!(word), false), "{path}");
            statuses.push(502);
        }
        gateway.upstream.enqueue(Answer::whole(200, "text/html", "<h1>Welcome to nginx!</h1>"));
        error_of(gateway.ask(path, body).send().await.unwrap(), 502).await;
        statuses.push(502);
    }
    let rows = gateway.ledger(statuses.len()).await;
    assert!(rows.iter().all(|row| row["cost_nano"] == 0), "{rows:#?}");
    let booked: Vec<u16> =
        rows.iter().map(|row| u16::try_from(row["status"].as_u64().unwrap()).unwrap()).collect();
    assert_eq!(booked, statuses);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_report_is_read_or_not_believed_in_every_dialect(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    let requests = requests();
    let body = |path: &str| requests.iter().find(|(other, _)| *other == path).unwrap().1.clone();
    let text = json!([{ "type": "text", "text": "twelve bytes" }]);
    let output = json!([{ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "twelve bytes" }] }]);
    let cases = [
        (
            "/v1/messages",
            json!({ "content": text, "usage": { "input_tokens": 3, "cache_read_input_tokens": 50,
            "cache_creation_input_tokens": 7, "output_tokens": 5 } }),
            Some((60, 50, 5)),
        ),
        (
            "/v1/messages",
            json!({ "content": text, "usage": { "input_tokens": -3, "output_tokens": 5 } }),
            None,
        ),
        (
            "/v1/messages",
            json!({ "content": text, "usage": { "input_tokens": 3, "output_tokens": 4_000_000_000_u64 } }),
            None,
        ),
        (
            "/v1/responses",
            json!({ "output": output, "usage": { "input_tokens": 9, "output_tokens": 4,
            "input_tokens_details": { "cached_tokens": 8 } } }),
            Some((9, 8, 4)),
        ),
        (
            "/v1/responses",
            json!({ "output": output, "usage": { "input_tokens": "9", "output_tokens": 4 } }),
            None,
        ),
        ("/v1/responses", json!({ "output": output, "usage": null }), None),
        (
            "/v1/completions",
            json!({ "choices": [{ "text": "twelve bytes" }], "usage": { "prompt_tokens": 2,
            "completion_tokens": 3 } }),
            Some((2, 0, 3)),
        ),
        ("/v1/completions", json!({ "choices": [{ "text": "twelve bytes" }] }), None),
    ];
    for (path, answer, _) in &cases {
        gateway.upstream.enqueue(Answer::json(200, answer));
        let response = gateway.ask(path, &body(path)).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap(), *answer);
    }
    for (row, (path, answer, expected)) in gateway.ledger(cases.len()).await.iter().zip(&cases) {
        assert_eq!(row["estimated"], expected.is_none(), "{path} {answer}: {row}");
        if let Some((input, cached, output)) = expected {
            let figures = (&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"]);
            assert_eq!(figures, (&json!(input), &json!(cached), &json!(output)), "{path}");
        } else {
            // Two bytes a token, but no more than the request allows: a guess charges nobody beyond his own cap.
            let asked = body(path);
            let cap = ["max_tokens", "max_output_tokens"].iter().find_map(|name| asked[*name].as_i64());
            assert_eq!(row["output_tokens"], cap.unwrap_or(6).min(6), "{path} {answer}");
            assert!(row["input_tokens"].as_i64().unwrap() > 5, "{path} {answer}");
        }
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_alias_of_the_base_path_leads_to_the_same_routes(pool: PgPool) {
    let gateway = TestGateway::start(pool).await;
    gateway.offer(&["m"]).await;
    let body = requests().remove(0).1;
    let response = gateway.ask("/api/openai/v1/chat/completions", &body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(gateway.upstream.nth_received(1).await.path, "/v1/chat/completions");
    for path in [
        "/api/openai/v1",
        "/api/openai/v1//chat/completions",
        "/API/openai/v1/chat/completions",
        "/api/openai/v1/v1/chat/completions",
    ] {
        let error = error_of(gateway.ask(path, &body).send().await.unwrap(), 404).await;
        assert_eq!(error["code"], "path_not_found", "{path}");
    }
    assert_eq!(gateway.ledger(1).await[0]["route"], "/v1/chat/completions");
}

#[test]
fn every_forwarded_route_is_tested_here() {
    let forms = ["/v1/audio/speech", "/v1/audio/transcriptions"];
    for route in ROUTES.iter().filter(|route| matches!(route.served, Served::Upstream(_))) {
        let is_tested = requests().iter().any(|(path, _)| *path == route.path) || forms.contains(&route.path);
        assert!(is_tested, "{} has no request in this file", route.path);
    }
}
