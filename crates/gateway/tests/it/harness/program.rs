//! The real program in a process of its own, which a test can kill.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use sqlx::ConnectOptions;
use store::PgPool;
use testkit::upstream::Upstream;

use super::{PEPPER, PREFIX, UPSTREAM_KEY, eventually};

pub struct Program {
    child: Child,
    log: PathBuf,
    pub address: SocketAddr,
}

impl Program {
    /// Starts a gateway with its spool in `place`, and waits until it takes requests.
    pub async fn start(owner: &PgPool, upstream: &Upstream, place: &Path) -> Self {
        let mut this =
            Self::spawn(Command::new(env!("CARGO_BIN_EXE_latchkey-gateway")), owner, upstream, place);
        this.until_ready().await;
        this
    }

    /// Starts `command`, which is or becomes a gateway.
    pub fn spawn(mut command: Command, owner: &PgPool, upstream: &Upstream, place: &Path) -> Self {
        let log = place.join("log");
        fs::create_dir_all(place).unwrap();
        command
            .env("DATABASE_URL", gateway_url(owner))
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("GATEWAY_NAME", "gw-program")
            .env("KEY_PEPPER", std::str::from_utf8(PEPPER).unwrap())
            .env("KEY_PREFIX", PREFIX)
            .env("UPSTREAM_URL", upstream.base_url())
            .env("UPSTREAM_API_KEY", UPSTREAM_KEY)
            .env("SPOOL_DIR", place.join("spool"))
            .env("LOG_FORMAT", "text")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        Self { child, log, address: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until it listens and takes requests.
    pub async fn until_ready(&mut self) {
        self.address = eventually("the program listens", || async {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("listening"))?;
            let at = line.find("address=")? + "address=".len();
            line[at..].split_whitespace().next()?.parse().ok()
        })
        .await;
        let url = self.url("/readyz");
        eventually("the program is ready", || async {
            reqwest::get(&url).await.is_ok_and(|response| response.status() == 200).then_some(())
        })
        .await;
    }

    /// As the kernel does when memory runs out: no handler, no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.child);
        eventually("the program ends", || async { child.borrow_mut().try_wait().unwrap() }).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test's database, as the gateway's role.
fn gateway_url(owner: &PgPool) -> String {
    let mut url = owner.connect_options().to_url_lossy();
    url.query_pairs_mut().append_pair("options", "-c role=latchkey_gateway");
    // In a query of a database URL a plus is a plus.
    url.as_str().replace("role%3D", "role=").replace("-c+", "-c%20")
}
