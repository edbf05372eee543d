//! The operator's pages: there for operators alone, forms that lose nothing, changes that gateways follow.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{Method, StatusCode};
use latchkey::operator::{LoadOperatorModels, ReleaseGateway};
use leptos::server_fn::ServerFn;
use sqlx::PgPool;
use store::gateways;
use uuid::Uuid;

use crate::support::{Browser, Page, TestConsole};
use crate::tenancy::bytes;

const ADA: &str = "ada@example.com";
const OPERATORS: &[&str] = &["--operator-emails", "root@example.com, Ada@Example.com"];

async fn operator(pool: PgPool) -> (TestConsole, Browser) {
    let console = TestConsole::with(pool, OPERATORS).await;
    let (browser, _) = console.signed_in(ADA).await;
    (console, browser)
}

/// A model's form, filled in.
fn model<'a>(id: &'a str, price: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("id", id),
        ("row_version", "0"),
        ("aliases", "mini\r\nsmall"),
        ("upstream_model", ""),
        ("input_price", price),
        ("cached_input_price", "0.075"),
        ("output_price", "0.6"),
        ("price_per_image", "0.04"),
        ("price_per_second", ""),
        ("context_window", "128000"),
        ("max_output", "16384"),
        ("enabled", "on"),
    ]
}

/// The fields with one of them another.
fn with<'a>(mut fields: Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    fields.retain(|(field, _)| *field != name);
    fields.push((name, value));
    fields
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn for_everybody_else_there_is_nothing(pool: PgPool) {
    let (console, _) = operator(pool).await;
    let (mut bob, slug) = console.signed_in("bob@example.com").await;
    let mut stranger = console.browser();
    for browser in [&mut bob, &mut stranger] {
        let missing = browser.get("/nothing-of-this-name").await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        for path in [
            "/operator",
            "/operator/",
            "/operator/models",
            "/operator/models/new",
            "/operator/models/edit?model=x",
            "/operator/upstreams",
            "/operator/upstreams/01932f2a-0000-7000-8000-000000000001",
            "/operator/permissions",
            "/operator/permissions/new",
            "/operator/permissions/edit?permission=x",
            "/operator/gateways",
            "/operator/gateways/01932f2a-0000-7000-8000-000000000001/release",
            "/operator/nothing",
            "/%6fperator",
        ] {
            assert_eq!(bytes(&browser.get(path).await), bytes(&missing), "{path}");
        }
        let missing = browser.post("/nothing-of-this-name", &[]).await;
        for path in ["/operator/models", "/operator/models/edit?model=x", "/operator/upstreams"] {
            let posted = browser.post(path, &model("planted", "0")).await;
            assert_eq!(bytes(&posted), bytes(&missing), "{path}");
        }
    }
    assert!(!bob.get(&format!("/a/{slug}/keys")).await.body.contains("/operator"));
    assert_eq!(bob.call(LoadOperatorModels::PATH, &[]).await.body, r#"{"kind":"not_found"}"#);
    assert_eq!(console.count("SELECT count(*) FROM models").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn without_the_setting_nobody_is_an_operator(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let (mut ada, _) = console.signed_in(ADA).await;
    assert_eq!(ada.get("/operator").await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_model_is_added_and_its_price_edited(pool: PgPool) {
    let (console, mut ada) = operator(pool).await;
    assert!(ada.get("/a/ada/keys").await.body.contains("href=\"/operator\""));
    gateways::acknowledge(&console.owner, Uuid::from_u128(1), "gateway-1", i64::MAX).await.unwrap();

    let form = ada.get("/operator/models/new").await;
    assert_eq!((form.status, form.input("max_output").as_str()), (StatusCode::OK, "16384"));
    let saved = ada.post("/operator/models", &model("acme/big+1", "0.15")).await;
    assert_eq!(
        (saved.status, saved.location()),
        (StatusCode::SEE_OTHER, "/operator/models"),
        "{}",
        saved.text()
    );
    let list = ada.follow(&saved).await;
    let text = list.text();
    assert!(text.contains("Saved acme/big+1. Enforced on 1/1 gateways in"), "{text}");
    assert!(text.contains("$0.15") && text.contains("$0.075") && text.contains("also mini, small"), "{text}");
    assert!(text.contains("$0.04 per image") && !text.contains("per second"), "{text}");
    let again = ada.post("/operator/models", &model("acme/big+1", "0.15")).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "the same form, sent twice");

    let edit = "/operator/models/edit?model=acme%2Fbig%2B1";
    assert!(list.body.contains(&format!("href=\"{edit}\"")), "{}", list.body);
    let form = ada.get(edit).await;
    assert_eq!((form.input("input_price"), form.input("row_version")), ("0.15".to_owned(), "1".to_owned()));
    assert_eq!(
        (form.input("price_per_image"), form.input("price_per_second")),
        ("0.04".to_owned(), String::new())
    );
    let dearer = with(model("acme/big+1", "0.2"), "row_version", "1");
    let dearer = with(with(dearer, "price_per_image", ""), "price_per_second", "0.000100");
    assert_eq!(ada.post(edit, &dearer).await.status, StatusCode::SEE_OTHER);
    let stored = "SELECT count(*) FROM models
                  WHERE input_price = 200000000 AND price_per_image IS NULL AND price_per_second = 100000";
    assert_eq!(console.count(stored).await, 1);
    let text = ada.get("/operator/models").await.text();
    assert!(text.contains("$0.0001 per second") && !text.contains("per image"), "{text}");
    let overview = ada.get("/operator").await.text();
    assert!(overview.contains("Changed model acme/big+1input price $0.15 \u{2192} $0.20"), "{overview}");
    assert!(overview.contains("price per second $0.0001"), "{overview}");
    assert!(overview.contains("price per image $0.04 \u{2192} "), "{overview}");
    assert!(overview.contains(ADA) && overview.contains("1 offered"), "{overview}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(pool: PgPool) {
    let (console, mut ada) = operator(pool).await;
    ada.post("/operator/models", &model("taken", "0.15")).await;
    let odd = "<b>\"&";
    for (field, typed, told) in [
        ("input_price", "-1", "cannot be negative"),
        ("input_price", "0,15", "with a point"),
        ("output_price", "99999999999999999999", "at most 1000000 dollars"),
        ("cached_input_price", "", "all three prices"),
        ("price_per_image", "100.5", "at most 100 dollars"),
        ("price_per_image", "0.0000000001", "at most nine digits"),
        ("price_per_second", "-0.1", "cannot be negative"),
        ("price_per_second", "1e-4", "with a point"),
        ("id", "taken", "is called so already"),
        ("id", "mini", "is called so already"),
        ("id", odd, "letters, digits"),
        ("context_window", "0", "From 1 to"),
        ("max_output", "200000", "at most the context window"),
    ] {
        let refused = ada
            .post("/operator/models", &with(with(model("new", "0.15"), "aliases", "n"), field, typed))
            .await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {typed}");
        let at = refused
            .body
            .find(&format!("id=\"{field}-error\""))
            .unwrap_or_else(|| panic!("{field}: {}", refused.body));
        assert!(refused.body[at..].contains(told), "{field} {typed}: {}", refused.text());
        assert_eq!(refused.input(field), typed);
        assert_eq!(refused.input("output_price"), if field == "output_price" { typed } else { "0.6" });
    }
    let refused = ada.post("/operator/models", &model("other", "1")).await;
    assert!(refused.text().contains("mini is the name of another model"), "{}", refused.text());
    assert_eq!(console.count("SELECT count(*) FROM models").await, 1);

    let upstream = |name: &'static str, url: &'static str, secret: &'static str| {
        [
            ("id", "01932f2a-0000-7000-8000-000000000001"),
            ("row_version", "0"),
            ("name", name),
            ("base_url", url),
            ("secret_name", secret),
            ("answer_seconds", "60"),
            ("enabled", "on"),
        ]
    };
    for (field, fields) in [
        ("base_url", upstream("e", "http://api.example.com/v1", "UPSTREAM_E_KEY")),
        ("base_url", upstream("e", "https://user:pw@api.example.com/v1", "UPSTREAM_E_KEY")),
        ("secret_name", upstream("e", "https://api.example.com/v1", "KEY_PEPPER")),
        ("name", upstream(" ", "https://api.example.com/v1", "UPSTREAM_E_KEY")),
    ] {
        let refused = ada.post("/operator/upstreams", &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(refused.body.contains(&format!("id=\"{field}-error\"")), "{}", refused.text());
    }
    assert_eq!(console.count("SELECT count(*) FROM upstreams").await, 0);
    let good = upstream("europe", "https://api.example.com/v1", "UPSTREAM_E_KEY");
    for _ in 0..2 {
        assert_eq!(ada.post("/operator/upstreams", &good).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(console.count("SELECT count(*) FROM upstreams").await, 1, "the same form, sent twice");
    let taken = with(good.to_vec(), "id", "01932f2a-0000-7000-8000-000000000002");
    assert!(ada.post("/operator/upstreams", &taken).await.body.contains("id=\"name-error\""));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stale_edit_shows_both_values(pool: PgPool) {
    let (console, mut ada) = operator(pool).await;
    ada.post("/operator/models", &model("m", "0.15")).await;
    let mut tab = ada.tab();
    let (path, read) = ("/operator/models/edit?model=m", |price| with(model("m", price), "row_version", "1"));
    assert_eq!(ada.post(path, &read("0.2")).await.status, StatusCode::SEE_OTHER);
    let stale = tab.post(path, &with(read("0.3"), "price_per_second", "0.01")).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = stale.text();
    assert!(text.contains("Input price0.200.30") && !text.contains("Output price"), "{text}");
    assert!(text.contains("Price per second of sound") && !text.contains("Price per image"), "{text}");
    assert_eq!((stale.input("input_price"), stale.input("row_version")), ("0.3".to_owned(), "2".to_owned()));
    assert_eq!(console.count("SELECT count(*) FROM models WHERE input_price = 200000000").await, 1);
    let anyway = with(model("m", "0.3"), "row_version", "2");
    assert_eq!(tab.post(path, &anyway).await.status, StatusCode::SEE_OTHER);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_form_from_another_site_changes_nothing(pool: PgPool) {
    let (console, mut ada) = operator(pool).await;
    for path in
        ["/operator/models", "/operator/models/edit?model=m", "/operator/upstreams", ReleaseGateway::PATH]
    {
        let request = ada
            .request(Method::POST, path)
            .header(ORIGIN, "https://evil.example")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("id=m&input_price=0&cached_input_price=0&output_price=0&max_output=1"))
            .unwrap();
        assert_eq!(ada.send(request).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(console.count("SELECT count(*) FROM models").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn gateways_are_shown_as_they_are_and_silent_ones_released(pool: PgPool) {
    let (console, mut ada) = operator(pool).await;
    let page = async |browser: &mut Browser| -> Page { browser.get("/operator/gateways").await };
    assert!(page(&mut ada).await.text().contains("No gateway has been heard from yet"));
    let version = store::policy::version(&console.owner).await.unwrap();
    let gateway = Uuid::from_u128(7);
    gateways::acknowledge(&console.owner, gateway, "gateway-7", version - 1).await.unwrap();
    let report = gateways::Report {
        address: "10.0.0.7:8080".to_owned(),
        spool_waiting: 3,
        spool_bytes: 1_299,
        ..gateways::Report::default()
    };
    gateways::beat(&console.owner, gateway, version - 1, &report).await.unwrap();
    let text = page(&mut ada).await.text();
    for told in ["gateway-7", "10.0.0.7:8080", "Running", "1 behind", "3 waiting, 1.2 kB", "Nothing"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    console
        .sql(
            "INSERT INTO limits (id, account_id, measure, amount, period)
              SELECT gen_random_uuid(), id, 'cost', 1000000000, 'never' FROM accounts",
        )
        .await;
    console
        .sql("SELECT take_lease('00000000-0000-0000-0000-000000000007', id, 100000000, 0) FROM limits")
        .await;
    assert!(page(&mut ada).await.text().contains("$0.10 in 1 lease"));
    let id = gateway.to_string();
    let early = ada.call(ReleaseGateway::PATH, &[("gateway", &id)]).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.body);

    console.sql("UPDATE gateways SET heard_at = now() - interval '2 minutes'").await;
    let text = page(&mut ada).await.text();
    assert!(text.contains("Silent") && text.contains("held: used by nobody"), "{text}");
    let path = format!("/operator/gateways/{id}/release");
    assert!(ada.get(&path).await.text().contains("Release what gateway-7 holds?"));
    let released = ada.post(ReleaseGateway::PATH, &[("gateway", &id)]).await;
    assert_eq!(released.location(), "/operator/gateways");
    let text = ada.follow(&released).await.text();
    assert!(text.contains("Released what gateway-7 held of 1 limit.") && text.contains("Nothing"), "{text}");
    assert_eq!(console.count("SELECT count(*) FROM limit_windows WHERE reserved > 0").await, 0);
    assert!(ada.get("/operator").await.text().contains("Released leases of gateway-7"));
    assert!(ada.get("/operator/permissions").await.text().contains("POST /v1/chat/completions"));
}

const UPSTREAM: &str = "01932f2a-0000-7000-8000-000000000001";

/// A permission's form with one route, filled in.
fn permission<'a>(name: &'a str, path: &'a str, price: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("name", name),
        ("allows", "Read characters"),
        ("row_version", "0"),
        ("method-1", "GET"),
        ("path-1", path),
        ("upstream-1", UPSTREAM),
        ("there-1", ""),
        ("price-1", price),
        ("method-2", "GET"),
        ("path-2", ""),
        ("upstream-2", UPSTREAM),
        ("there-2", ""),
        ("price-2", ""),
        ("enabled", "on"),
    ]
}

/// An operator with an upstream to choose.
async fn operator_with_upstream(pool: PgPool) -> (TestConsole, Browser) {
    let (console, ada) = operator(pool).await;
    console
        .sql(
            "INSERT INTO upstreams (id, name, base_url, secret_name) VALUES
             ('01932f2a-0000-7000-8000-000000000001', 'europe', 'https://api.example.com/v1', 'UPSTREAM_E_KEY')",
        )
        .await;
    (console, ada)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_permission_of_one_s_own_is_added_edited_and_archived(pool: PgPool) {
    let (console, mut ada) = operator_with_upstream(pool).await;
    gateways::acknowledge(&console.owner, Uuid::from_u128(1), "gateway-1", i64::MAX).await.unwrap();
    assert!(ada.get("/operator/permissions").await.text().contains("None yet"));
    assert_eq!(ada.get("/operator/permissions/new").await.status, StatusCode::OK);
    let form = permission("character_info", "/v1/characters/{id}", "0.002");
    for turn in ["first", "the same form, sent twice"] {
        let saved = ada.post("/operator/permissions", &form).await;
        let found = (saved.status, saved.location());
        assert_eq!(found, (StatusCode::SEE_OTHER, "/operator/permissions"), "{turn}: {}", saved.text());
        let text = ada.follow(&saved).await.text();
        assert!(text.contains("Saved character_info. Enforced on 1/1 gateways in"), "{text}");
        for told in ["GET /v1/characters/{id}", "$0.002 per call, europe /characters/{id}", "Read characters"]
        {
            assert!(text.contains(told), "{told}: {text}");
        }
        assert!(text.contains("POST /v1/chat/completions"), "built-in ones are there too: {text}");
    }
    let upstreams = ada.get("/operator/upstreams").await.text();
    assert!(upstreams.contains("GET /v1/characters/{id}"), "{upstreams}");
    let edit = "/operator/permissions/edit?permission=character_info";
    assert!(ada.get("/operator/permissions").await.body.contains(&format!("href=\"{edit}\"")));
    let page = ada.get(edit).await;
    assert_eq!((page.input("path-1"), page.input("price-1")), ("/v1/characters/{id}".into(), "0.002".into()));
    assert_eq!((page.input("path-2"), page.input("row_version")), (String::new(), "1".into()));

    let read = |version| with(permission("", "/v1/characters/{id}", "0"), "row_version", version);
    let second = with(with(with(read("1"), "path-2", "/v1/me"), "there-2", "/users/me"), "price-2", "0.5");
    assert_eq!(ada.post(edit, &second).await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.count("SELECT count(*) FROM own_routes WHERE upstream_path = '/users/me'").await, 1);
    assert_eq!(console.count("SELECT count(*) FROM own_routes WHERE price = 0").await, 1, "zero was said");
    let stale = ada.post(edit, &with(read("1"), "price-1", "3")).await;
    assert_eq!((stale.status, stale.input("price-1").as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "3"));
    assert!(stale.text().contains("Somebody else has saved this meanwhile"), "{}", stale.text());

    let mut archived = read("2");
    archived.retain(|(field, _)| *field != "enabled");
    assert_eq!(ada.post(edit, &archived).await.status, StatusCode::SEE_OTHER);
    assert!(ada.get("/operator/permissions").await.text().contains("Archived"));
    let overview = ada.get("/operator").await.text();
    assert!(overview.contains("10 built in, 1 archived"), "{overview}");
    for told in
        ["Removed route /v1/me", "Changed permission character_info", "price per call $0.002 \u{2192} $0.00"]
    {
        assert!(overview.contains(told), "{told}: {overview}");
    }
    assert_eq!(ada.get("/operator/permissions/edit?permission=nobody").await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_wrong_with_a_permission_is_told_at_its_field(pool: PgPool) {
    let (console, mut ada) = operator_with_upstream(pool).await;
    let good = || permission("own", "/v1/own/{id}", "1");
    assert_eq!(ada.post("/operator/permissions", &good()).await.status, StatusCode::SEE_OTHER);
    let odd = "<b>\"&";
    for (field, typed, told) in [
        ("name", "own", "is called so already"),
        ("name", "chat:write", "Names that begin with chat are built in"),
        ("name", odd, "Write a name such as"),
        ("allows", "", "Say what it lets a key do"),
        ("path-1", "/v1/chat/completions", "is a path of the gateway itself"),
        ("path-1", "/v1/models/{id}", "is a path of the gateway itself"),
        ("path-1", "/v1/own/{name}", "GET /v1/own/{id} is a route of own"),
        ("path-1", "/v1/a/../b", "Between slashes stand"),
        ("path-1", odd, "begins with /v1/"),
        ("there-1", "/x/{other}", "has no {other}"),
        ("price-1", "", "Nothing to pay is 0"),
        ("price-1", "-1", "cannot be negative"),
        ("price-1", "100.5", "at most 100 dollars"),
    ] {
        let form = with(permission("new", "/v1/new/{id}", "1"), field, typed);
        let refused = ada.post("/operator/permissions", &form).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {typed}");
        let at = refused.body.find(&format!("id=\"{field}-error\""));
        let at = at.unwrap_or_else(|| panic!("{field}: {}", refused.body));
        let close = &refused.body[at..(at + 600).min(refused.body.len())];
        assert!(close.contains(told), "{field} {typed}: {}", refused.text());
        assert_eq!(refused.input(field), typed);
    }
    let nobody = with(permission("new", "/v1/new", "1"), "upstream-1", "");
    let refused = ada.post("/operator/permissions", &nobody).await;
    assert!(refused.body.contains("id=\"upstream-1-error\""), "{}", refused.text());
    assert_eq!(console.count("SELECT count(*) FROM own_permissions").await, 1);

    let request = ada
        .request(Method::POST, "/operator/permissions")
        .header(ORIGIN, "https://evil.example")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("name=planted&allows=x&enabled=on"))
        .unwrap();
    assert_eq!(ada.send(request).await.status, StatusCode::FORBIDDEN);
    let (mut bob, _) = console.signed_in("bob@example.com").await;
    let missing = bytes(&bob.post("/nothing-of-this-name", &[]).await);
    for path in ["/operator/permissions", "/operator/permissions/edit?permission=own"] {
        assert_eq!(bytes(&bob.post(path, &permission("planted", "/v1/p", "0")).await), missing, "{path}");
    }
    assert_eq!(console.count("SELECT count(*) FROM own_permissions").await, 1);
}
