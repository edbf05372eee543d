//! A gateway in this process with everything around it, and short ways to ask it things.

pub mod bare;
pub mod cable;
#[cfg(feature = "opentelemetry")]
pub mod collector;
pub mod logs;
pub mod minutes;
pub mod program;
pub mod raw;
pub mod redis;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use domain::dial::PrivateNetworks;
use domain::email::EmailAddress;
use domain::key::{KeyName, KeyStatus};
use domain::limit::{Measure, Period};
use domain::money::Price;
use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};
use domain::{AccountId, GroupId, KeyId, LimitId, UserId};
use gateway::config::{
    Config, Edge, Limits, LogFormat, Logs, Secret, SpoolSettings, Upstream as UpstreamSettings,
};
use gateway::router::Aliases;
use gateway::server::Gateway;
use reqwest::RequestBuilder;
use serde_json::Value;
use store::accounts::{self, BillingMode, NewAccount};
use store::connect::as_role;
use store::keys::{self, NewKey, NewSecret};
use store::limits::{self, Subject, Terms};
use store::{PgPool, TenantTx, models, sign_in};
use tempfile::TempDir;
use testkit::upstream::Upstream;

pub const PEPPER: &[u8] = b"a pepper for tests, long enough for every check there is";
pub const UPSTREAM_KEY: &str = "upstream-key-6c1f0e";
pub const PREFIX: &str = "sk-lk-";
/// Prices of the model every test uses.
pub const PRICE: Price = Price { input: 150_000_000, cached_input: 75_000_000, output: 600_000_000 };

/// A key and its secret in the clear.
#[derive(Clone, Debug)]
pub struct TestKey {
    pub id: KeyId,
    pub secret: String,
    pub public_id: String,
}

/// An account with a group.
#[derive(Clone, Copy, Debug)]
pub struct TestAccount {
    pub id: AccountId,
    pub group: GroupId,
    pub owner: UserId,
}

/// A gateway with an upstream, an account, a key and models.
pub struct TestGateway {
    pub upstream: Upstream,
    pub owner: PgPool,
    pub console: PgPool,
    pub account: TestAccount,
    pub key: TestKey,
    pub client: reqwest::Client,
    pub spool: TempDir,
    config: Config,
    gateway: Option<Gateway>,
    address: SocketAddr,
}

impl TestGateway {
    /// A ready gateway with the limits of production.
    pub async fn start(pool: PgPool) -> Self {
        Self::start_with(pool, |_| {}).await
    }

    /// A ready gateway with other limits.
    pub async fn start_with(pool: PgPool, change: impl FnOnce(&mut Limits)) -> Self {
        let gateway_pool = as_role(&pool, "latchkey_gateway").await.unwrap();
        let this = Self::start_on(pool, gateway_pool, change).await;
        this.until_ready().await;
        this
    }

    /// A ready gateway with another configuration.
    pub async fn start_as(pool: PgPool, change: impl FnOnce(&mut Config)) -> Self {
        let gateway_pool = as_role(&pool, "latchkey_gateway").await.unwrap();
        let this = Self::start_configured(pool, gateway_pool, change).await;
        this.until_ready().await;
        this
    }

    /// A gateway whose own database connections are `gateway_pool`; it may not be ready yet.
    pub async fn start_on(owner: PgPool, gateway_pool: PgPool, change: impl FnOnce(&mut Limits)) -> Self {
        Self::start_configured(owner, gateway_pool, |config| change(&mut config.limits)).await
    }

    /// The same, with any other configuration.
    pub async fn start_configured(
        owner: PgPool,
        gateway_pool: PgPool,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        logs::capture();
        let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        upstream.require_key(UPSTREAM_KEY);
        let console = as_role(&owner, "latchkey_console").await.unwrap();
        let account = open_account(&owner, "acme", BillingMode::Invoiced).await;
        let key = make_key(&console, account, "first").await;
        offer_models(&owner).await;
        let spool = tempfile::tempdir().unwrap();
        let mut config = config(&upstream, spool.path());
        change(&mut config);
        let gateway = Gateway::start(config.clone(), gateway_pool).await.unwrap();
        let address = gateway.address();
        Self {
            upstream,
            owner,
            console,
            account,
            key,
            client: reqwest::Client::new(),
            spool,
            config,
            gateway: Some(gateway),
            address,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request without a key.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A chat request with the test's key.
    pub fn chat(&self, body: &Value) -> RequestBuilder {
        self.post("/v1/chat/completions").bearer_auth(&self.key.secret).json(body)
    }

    /// A request with the test's key to any route.
    pub fn ask(&self, path: &str, body: &Value) -> RequestBuilder {
        self.post(path).bearer_auth(&self.key.secret).json(body)
    }

    /// Offers more models; `name=upstream name` where the two differ.
    pub async fn offer(&self, models: &[&str]) {
        for model in models {
            let (id, upstream_model) = model.split_once('=').unwrap_or((model, model));
            models::upsert(&self.owner, id, upstream_model, PRICE).await.unwrap();
        }
        self.until_enforced().await;
    }

    pub async fn until_ready(&self) {
        let client = &self.client;
        let url = self.url("/readyz");
        eventually("the gateway is ready", || async {
            client.get(&url).send().await.is_ok_and(|response| response.status() == 200).then_some(())
        })
        .await;
    }

    /// Where its metrics are read.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().and_then(Gateway::metrics_address)
    }

    /// Stops the gateway in order.
    pub async fn stop(&mut self) {
        self.gateway.take().unwrap().stop().await;
    }

    /// Starts it anew after a stop, with the spool it had.
    pub async fn start_again(&mut self, gateway_pool: PgPool) {
        let gateway = Gateway::start(self.config.clone(), gateway_pool).await.unwrap();
        self.address = gateway.address();
        self.gateway = Some(gateway);
        self.until_ready().await;
    }

    /// Another gateway beside this one, on the same database and upstream, with a spool of its own. It decides, but may
    /// have no share of requests per minute yet; to be stopped by whoever asked for it.
    pub async fn neighbour(&self) -> (Gateway, TempDir) {
        let spool = tempfile::tempdir().unwrap();
        let mut config = self.config.clone();
        "gw-neighbour".clone_into(&mut config.name);
        spool.path().clone_into(&mut config.spool.folder);
        let pool = as_role(&self.owner, "latchkey_gateway").await.unwrap();
        let gateway = Gateway::start(config, pool).await.unwrap();
        let url = format!("http://{}/readyz", gateway.address());
        eventually("the neighbour decides", || async {
            let told = self.client.get(&url).send().await.ok()?.text().await.ok()?;
            (told == "ready\n" || told.contains("does not count yet")).then_some(())
        })
        .await;
        (gateway, spool)
    }

    /// Sets a cost limit of the test's account that does not reset.
    pub async fn set_limit(&self, subject: Subject, amount: i64) -> LimitId {
        self.set_limit_of(
            self.account.id,
            subject,
            Terms { measure: Measure::Cost, amount, period: Period::Never },
        )
        .await
    }

    /// Sets a limit of any account, and waits until it is enforced.
    pub async fn set_limit_of(&self, account: AccountId, subject: Subject, terms: Terms) -> LimitId {
        let mut tx = TenantTx::begin(&self.console, account).await.unwrap();
        let id = limits::put(&mut tx, subject, terms).await.unwrap();
        tx.commit().await.unwrap();
        self.until_enforced().await;
        id
    }

    pub async fn set_status(&self, key: KeyId, to: KeyStatus) {
        let mut tx = TenantTx::begin(&self.console, self.account.id).await.unwrap();
        keys::set_status(&mut tx, key, to).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Waits until the gateway enforces everything decided so far.
    pub async fn until_enforced(&self) {
        self.until_enforced_by(1).await;
    }

    /// The same for several gateways.
    pub async fn until_enforced_by(&self, gateways: u64) {
        eventually("the present version is enforced", || async {
            let sql = "SELECT to_jsonb(count(*)) FROM gateways g, policy_version v WHERE g.policy_version = v.version";
            (self.json(sql).await.as_u64().unwrap() >= gateways).then_some(())
        })
        .await;
    }

    /// The ledger once it has `count` rows, oldest first.
    pub async fn ledger(&self, count: usize) -> Vec<Value> {
        eventually(&format!("the ledger has {count} rows"), || async {
            let rows = self.ledger_now().await;
            assert!(rows.len() <= count, "more rows than requests: {rows:#?}");
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// The ledger as it is.
    pub async fn ledger_now(&self) -> Vec<Value> {
        self.json("SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY u.id), '[]') FROM usage_records u")
            .await
            .as_array()
            .unwrap()
            .clone()
    }

    /// Everything in the spool's folder, as far as it is text.
    pub fn spool_text(&self) -> String {
        let files = std::fs::read_dir(self.spool.path()).unwrap();
        files
            .map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned())
            .collect()
    }

    /// The counters of the test's key.
    pub async fn stats(&self) -> Value {
        self.json("SELECT to_jsonb(s) FROM key_stats s").await
    }

    pub async fn json(&self, sql: &'static str) -> Value {
        sqlx::query_scalar(sql).fetch_one(&self.owner).await.unwrap()
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.owner).await.unwrap();
    }
}

/// Asks again and again until there is an answer: for what has no event to wait for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}; the last of the log:\n{}", logs::last_complaints()))
}

/// Prints past the test harness, which keeps the output of a test that passes to itself.
pub fn report(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

/// A gateway's configuration in front of `upstream`, with its spool in `spool`.
pub fn config(upstream: &Upstream, spool: &Path) -> Config {
    Config {
        database_url: Secret::new("unused: tests bring their pool".to_owned()),
        listen: "127.0.0.1:0".parse().unwrap(),
        name: "gw-test".to_owned(),
        pepper: Pepper::new(PEPPER, 1),
        prefix: KeyPrefix::parse(PREFIX).unwrap(),
        aliases: Aliases::parse("/api/openai/v1").unwrap(),
        upstream: UpstreamSettings {
            base: upstream.base_url().parse().unwrap(),
            key: Secret::new(UPSTREAM_KEY.to_owned()),
            private: PrivateNetworks::default(),
        },
        spool: SpoolSettings { folder: spool.to_owned(), max_bytes: 1 << 30 },
        redis: None,
        secrets: |name| match name {
            "UPSTREAM_OF_NOBODY" => Err("is not set".to_owned()),
            _ => Ok(Secret::new(name.to_ascii_lowercase())),
        },
        logs: Logs { format: LogFormat::Text, filter: "info".to_owned() },
        traces: None,
        edge: Edge::default(),
        limits: Limits::default(),
    }
}

pub async fn open_account(owner: &PgPool, slug: &str, billing: BillingMode) -> TestAccount {
    let email = EmailAddress::parse(&format!("{slug}@example.com")).unwrap();
    let user = sign_in::find_or_make_user(owner, &email).await.unwrap();
    let account =
        TestAccount { id: AccountId(store::new_id()), group: GroupId(store::new_id()), owner: user };
    let TestAccount { id, group, owner: user } = account;
    accounts::open(owner, NewAccount { id, group, owner: user, slug, name: slug, billing }).await.unwrap();
    account
}

pub async fn make_key(console: &PgPool, account: TestAccount, name: &str) -> TestKey {
    let secret = some_secret();
    let id = KeyId(store::new_id());
    let mut tx = TenantTx::begin(console, account.id).await.unwrap();
    let key = NewKey {
        id,
        setup: &keys::Setup::named(KeyName::parse(name).unwrap(), account.group),
        created_by: account.owner,
        secret: NewSecret {
            public_id: &secret.public_id(),
            digest: Pepper::new(PEPPER, 1).digest(&secret),
            pepper_version: 1,
            prefix: PREFIX,
            last4: secret.last4(),
            form_id: store::new_id(),
        },
    };
    keys::insert(&mut tx, key).await.unwrap();
    tx.commit().await.unwrap();
    TestKey { id, secret: secret.expose().to_owned(), public_id: secret.public_id().to_string() }
}

/// A well-formed secret that nobody has been given.
pub fn some_secret() -> PlainSecret {
    let mut entropy = [0; ENTROPY];
    // Version 7 ids are unique, which is all a test needs of a secret.
    for chunk in entropy.chunks_exact_mut(16) {
        chunk.copy_from_slice(store::new_id().as_bytes());
    }
    PlainSecret::from_entropy(&KeyPrefix::parse(PREFIX).unwrap(), &entropy)
}

pub async fn offer_models(owner: &PgPool) {
    for (id, upstream_model) in [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("alias", "gpt-4o"),
        ("text-embedding-3-small", "text-embedding-3-small"),
    ] {
        models::upsert(owner, id, upstream_model, PRICE).await.unwrap();
    }
}
