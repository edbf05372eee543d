//! A real redis-server of a test's own, which can be killed, stopped and emptied.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;

pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let this = Self { child: spawn(port), port };
        this.until_it_answers().await;
        this
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn start_again(&mut self) {
        self.child = spawn(self.port);
        self.until_it_answers().await;
    }

    /// Lets it hang: connections stand, nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    pub async fn flush(&self) {
        self.tell(&["FLUSHALL"]).await;
    }

    /// Any command whose answer does not matter.
    pub async fn tell(&self, words: &[&str]) {
        let mut connection = self.client().get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).exec_async(&mut connection).await.unwrap();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    async fn until_it_answers(&self) {
        let client = self.client();
        eventually("redis-server answers", || async {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            tokio::time::timeout(Duration::from_secs(1), redis::cmd("PING").exec_async(&mut connection))
                .await
                .ok()?
                .ok()
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is not on this machine; `cargo xtask doctor` says how to get it")
}
