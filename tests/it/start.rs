//! The program itself: settings that are refused, a database that is not up yet, an orderly end.

use std::io::BufRead;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use clap::Parser;
use latchkey::server::config::{Cli, Config};
use latchkey::server::serve::serve;
use sqlx::{Executor, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::TestConsole;

const PATIENCE: Duration = Duration::from_secs(30);
const PEPPER: &str = "Vb6Tn1Qe8Rw3Yu5Io0Pl2Kj7Hg4Fd9Sa";

#[test]
fn every_bad_setting_is_named_at_once_and_no_secret_is_repeated() {
    let cli = Cli::try_parse_from([
        "latchkey",
        "--database-url=mysql://root:hunter2@db/x",
        "--secret-key=hunter2",
        "--key-pepper=change-me-change-me-change-me-change-me",
        "--smtp-url=smtp://user:hunter2@mail.example.com/path",
        "--public-url=keys.example.com",
        "--gateway-public-url=",
        "--mail-from=nobody",
        "--key-prefix=SK",
        "--listen-addr=3000",
        "--new-account-billing=maybe",
        "--credits-per-usd=3",
        "--trusted-proxies=0.0.0.0/0",
    ]);
    let told = Config::read(&cli.unwrap().settings).unwrap_err().to_string();
    for name in [
        "DATABASE_URL",
        "SECRET_KEY",
        "KEY_PEPPER",
        "SMTP_URL",
        "PUBLIC_URL",
        "GATEWAY_PUBLIC_URL",
        "MAIL_FROM",
        "KEY_PREFIX",
        "LISTEN_ADDR",
        "NEW_ACCOUNT_BILLING",
        "CREDITS_PER_USD",
        "TRUSTED_PROXIES",
    ] {
        assert!(told.contains(&format!("\n  {name}: ")), "{name} is missing in: {told}");
    }
    assert!(!told.contains("hunter2") && !told.contains("change-me"), "{told}");
}

/// A good configuration, with some arguments replaced.
fn config(changes: &[(&str, &str)]) -> Config {
    let good = [
        ("database-url", "postgres://latchkey_console@localhost/latchkey"),
        ("secret-key", "kq0Zt7yHhD3vX9sWm2Lr8Bn5Jc1Fg4Pa"),
        ("key-pepper", PEPPER),
        ("smtp-url", "smtp://127.0.0.1:1"),
        ("public-url", "http://localhost:3000"),
        ("gateway-public-url", "http://localhost:8080"),
        ("mail-from", "keys@example.com"),
    ];
    let kept = good.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let args = kept.chain(changes).map(|(name, value)| format!("--{name}={value}"));
    let cli = Cli::try_parse_from(std::iter::once("latchkey".to_owned()).chain(args)).unwrap();
    Config::read(&cli.settings).unwrap()
}

#[test]
fn pepper_and_prefix_are_read_as_the_gateway_reads_them() {
    let digest = |config: &Config| config.key_pepper.digest_of_sha256(&[7; 32]);
    let plain = config(&[]);
    let file = std::env::temp_dir().join(format!("latchkey-console-pepper-{}", std::process::id()));
    std::fs::write(&file, format!("\n {PEPPER} \r\n")).unwrap();
    let path = file.to_str().unwrap();
    for pepper in [
        &[("key-pepper", " Vb6Tn1Qe8Rw3Yu5Io0Pl2Kj7Hg4Fd9Sa\r\n")][..],
        &[("key-pepper", ""), ("key-pepper-file", path)],
        &[("key-pepper", PEPPER), ("key-pepper-file", "")],
    ] {
        assert_eq!(digest(&config(pepper)), digest(&plain), "{pepper:?}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(config(&[("key-prefix", " sk-srt- ")]).key_prefix.as_str(), "sk-srt-");
    assert_eq!(config(&[("key-prefix", "")]).key_prefix.as_str(), "sk-lk-");
}

#[test]
fn help_lists_the_variables_and_shows_no_secret() {
    let help = Cli::try_parse_from(["latchkey", "--help"]).unwrap_err().to_string();
    for name in ["DATABASE_URL", "DATABASE_URL_FILE", "SECRET_KEY_FILE", "PUBLIC_URL", "TRUSTED_PROXIES"] {
        assert!(help.contains(name), "{help}");
    }
    assert!(!help.contains("postgres://"), "{help}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stop_finishes_what_is_under_way(pool: PgPool) {
    let console = TestConsole::new(pool).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, console.router.clone(), stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut probe = TcpStream::connect(address).await.unwrap();
    probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    stop.cancel();
    client.write_all(b"Connection: close\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ended = client.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&rest));
    let _closed = idle.read_to_end(&mut rest).await;
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A way to the test's database that can be closed.
struct Gate {
    port: u16,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn closed(pool: &PgPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = watch::channel(false);
        let database = pool.connect_options();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if !*is_open.borrow() {
                    continue;
                }
                let database = database.clone();
                tokio::spawn(async move {
                    if let Some(folder) = database.get_socket() {
                        let socket = folder.join(format!(".s.PGSQL.{}", database.get_port()));
                        let mut server = UnixStream::connect(socket).await.unwrap();
                        let _ended = copy_bidirectional(&mut client, &mut server).await;
                    } else {
                        let place = (database.get_host().to_owned(), database.get_port());
                        let mut server = TcpStream::connect(place).await.unwrap();
                        let _ended = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { port, open }
    }

    /// The way in as the console's role.
    fn url(&self, pool: &PgPool) -> String {
        format!("{}&options[role]=latchkey_console", self.owners_url(pool))
    }

    /// The way in as whoever runs the tests, the owner of all tables.
    fn owners_url(&self, pool: &PgPool) -> String {
        let options = pool.connect_options();
        let mut url = sqlx::ConnectOptions::to_url_lossy(options.as_ref());
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(Some("sslmode=disable"));
        url.to_string()
    }
}

/// The running program and its log lines; ends with the test.
struct Program {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Program {
    fn start(database_url: &str) -> Self {
        Self::start_logging("json", database_url)
    }

    fn start_logging(format: &str, database_url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args(["--log-format", format, "--rust-log=info", "--listen-addr=127.0.0.1:0"])
            .args(["--public-url=http://localhost:3000", "--gateway-public-url=http://localhost:8080"])
            .args(["--smtp-url=smtp://127.0.0.1:1", "--mail-from=keys@example.com"])
            .args([
                "--secret-key=kq0Zt7yHhD3vX9sWm2Lr8Bn5Jc1Fg4Pa",
                "--key-pepper=Vb6Tn1Qe8Rw3Yu5Io0Pl2Kj7Hg4Fd9Sa",
            ])
            .args(["--database-url", database_url, "serve"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    async fn line_with(&mut self, wanted: &str) -> serde_json::Value {
        let found = async {
            loop {
                let line = self.lines.recv().await.expect("the program ended");
                if line.contains(wanted) {
                    return serde_json::from_str(&line).unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line with {wanted:?}"))
    }

    /// Asks it to stop and waits for its last line: waiting for the process itself would hold up the gate.
    async fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.line_with("the console has stopped").await;
        self.child.wait().unwrap()
    }
}

async fn ready(address: &str) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn it_says_what_it_waits_for_and_comes_up_when_it_is_there(pool: PgPool) {
    let gone = "INSERT INTO gateways (id, name, policy_version, heard_at)
                VALUES (gen_random_uuid(), 'gone', 1, now() - interval '31 days')";
    pool.execute(gone).await.unwrap();
    let gate = Gate::closed(&pool).await;
    let mut program = Program::start(&gate.url(&pool));
    let listens = program.line_with("the console listens").await;
    let address = listens["fields"]["address"].as_str().unwrap().to_owned();
    let waits = program.line_with("waiting for the database").await;
    assert_eq!(waits["fields"]["place"], format!("127.0.0.1:{}", gate.port));
    assert!(!waits["fields"]["reason"].as_str().unwrap().is_empty());
    assert!(ready(&address).await.starts_with("HTTP/1.1 503"));
    gate.open.send(true).unwrap();
    program.line_with("the database is ready").await;
    assert!(ready(&address).await.starts_with("HTTP/1.1 200"));
    let deleted = program.line_with("deleted old codes, policy changes or gateways").await;
    assert_eq!(deleted["fields"]["rows"], 1);
    assert!(program.terminate().await.success());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn it_refuses_a_role_that_sees_every_account(pool: PgPool) {
    let gate = Gate::closed(&pool).await;
    gate.open.send(true).unwrap();
    let mut program = Program::start(&gate.owners_url(&pool));
    let refused = program.line_with("would see every account").await;
    assert_eq!(refused["fields"]["why"], "is a superuser");
    assert_eq!(refused["level"], "ERROR");
    program.line_with("the console has stopped").await;
    assert!(!program.child.wait().unwrap().success());
}

#[tokio::test]
async fn lines_that_nobody_watches_have_no_colours() {
    let mut program = Program::start_logging("text", "postgres://nobody@127.0.0.1:1/nothing");
    let line = tokio::time::timeout(PATIENCE, program.lines.recv()).await.unwrap().unwrap();
    assert!(line.contains("the console listens") && !line.contains('\u{1b}'), "{line:?}");
}
