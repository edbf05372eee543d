//! A gateway without a database, for what is decided before one is needed.

use std::net::SocketAddr;
use std::time::Duration;

use domain::refusal::Refusal;
use gateway::config::Config;
use gateway::server::{Gateway, StartError};
use serde_json::Value;
use testkit::upstream::Upstream;

use super::raw::Raw;
use super::{config, logs};

/// A gateway and the upstream it must not reach.
pub struct Bare {
    pub upstream: Upstream,
    pub gateway: Gateway,
}

impl Bare {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let gateway = try_start(&upstream, change).await.unwrap();
        Self { upstream, gateway }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// Sends bytes over a connection of their own and reads until it is closed.
    pub async fn exchange(&self, bytes: &str) -> String {
        let mut raw = self.connect().await;
        raw.send(bytes).await;
        raw.read_to_end().await
    }
}

/// A gateway whose database does not exist.
pub async fn try_start(upstream: &Upstream, change: impl FnOnce(&mut Config)) -> Result<Gateway, StartError> {
    logs::capture();
    let spool = tempfile::tempdir().unwrap();
    let mut config = config(upstream, spool.path());
    change(&mut config);
    let pool = store::connect::lazy_pool("postgres://nobody@127.0.0.1:1/nothing", 2, Duration::from_secs(1));
    Gateway::start(config, pool.unwrap()).await
}

/// The parts of one answer: status, headers in lower case, body.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// Reads exactly one answer; what stands behind it is an error.
    pub fn only(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let answer = Self { status, headers, body: body.to_owned() };
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{text}");
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// Asserts that it is a refusal in the form every client relies on, and the connection's last word.
    pub fn assert_last_refusal(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let error = &body["error"];
        assert_eq!(error["code"], code, "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("connection"), Some("close"));
        let seconds = (status == 503).then(|| Refusal::Overloaded.retry_after().unwrap().to_string());
        assert_eq!(self.header("retry-after"), seconds.as_deref());
    }
}
