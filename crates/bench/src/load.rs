//! The load generator: kept connections, many keys, a clock of its own.
//!
//! Closed loop: each connection sends its next request when it has the last answer, so the target is never idle; what
//! counts then is the CPU time a request takes, since the times are those of a queue. Open loop: requests begin at a fixed
//! rate whatever the target does, and what counts is how long they take.

mod connection;
mod exchange;
mod seen;
mod turns;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{HeaderValue, StatusCode};

use self::connection::Connection;
use self::seen::Samples;
pub use self::seen::{Seen, Times};
use self::turns::Turns;
use crate::answers::{MODEL, PACED_MODEL};

const PROMPT: &str =
    "Tell me in two sentences why the quick brown fox jumps over the lazy dog, and what comes of it.";
/// What a request with a long prompt sends.
const LONG: usize = 100_000;

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A short prompt, an answer in one piece
    Plain,
    /// A short prompt, a stream without pauses
    Stream,
    /// A short prompt, a stream of a frame every 20 ms
    Paced,
    /// 100 kB of prompt, an answer in one piece
    Long,
}

/// The command line of a run.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Where to send it
    #[arg(long)]
    target: SocketAddr,
    /// A file with a secret in each line; each request takes any of them
    #[arg(long)]
    keys: PathBuf,
    /// What to send
    #[arg(long, value_enum)]
    kind: Kind,
    /// Connections; at a fixed rate, the most requests at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Requests a second; without it as many as the target takes
    #[arg(long)]
    rate: Option<f64>,
    /// For how long new requests begin
    #[arg(long)]
    seconds: f64,
    /// The status that counts as an answer
    #[arg(long, default_value_t = 200)]
    expect: u16,
}

/// A checked run.
#[derive(Debug)]
pub struct Plan {
    /// Where to send it.
    pub target: SocketAddr,
    /// What to send.
    pub kind: Kind,
    /// Values of `Authorization`, at least one.
    pub keys: Vec<HeaderValue>,
    /// Connections.
    pub connections: usize,
    /// Requests a second; `None` is a closed loop.
    pub rate: Option<f64>,
    /// For how long new requests begin.
    pub time: Duration,
    /// The status that counts as an answer.
    pub expect: StatusCode,
}

impl TryFrom<LoadArgs> for Plan {
    type Error = anyhow::Error;

    fn try_from(args: LoadArgs) -> anyhow::Result<Self> {
        anyhow::ensure!(args.connections > 0, "--connections is at least 1");
        anyhow::ensure!(args.rate.is_none_or(|rate| rate > 0.0), "--rate is above 0");
        Ok(Self {
            target: args.target,
            kind: args.kind,
            keys: keys_in(&args.keys)?,
            connections: args.connections,
            rate: args.rate,
            time: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
            expect: StatusCode::from_u16(args.expect).context("--expect")?,
        })
    }
}

/// Sends everything; returns when every request that has begun has ended.
pub async fn run(plan: Plan) -> anyhow::Result<Seen> {
    let body = body(plan.kind);
    let began = Instant::now();
    let turns = Turns::begin(plan.rate, plan.time);
    let plan = Arc::new(plan);
    let connections: Vec<_> = (0..plan.connections)
        .map(|number| {
            let connection = Connection::new(number, plan.clone(), body.clone());
            tokio::spawn(connection.run(turns.clone()))
        })
        .collect();
    let mut all = Samples::default();
    for connection in connections {
        all.add(connection.await.context("a connection's task")?);
    }
    Ok(all.sum_up(began.elapsed()))
}

fn keys_in(file: &Path) -> anyhow::Result<Vec<HeaderValue>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let keys: Result<Vec<_>, _> =
        text.lines().map(|line| HeaderValue::try_from(format!("Bearer {line}"))).collect();
    let keys = keys.with_context(|| format!("{} has a line that is no key", file.display()))?;
    anyhow::ensure!(!keys.is_empty(), "{} has no key", file.display());
    Ok(keys)
}

/// The body of every request: the upstream reads its flags at the beginning.
fn body(kind: Kind) -> Bytes {
    let (model, stream) = match kind {
        Kind::Plain | Kind::Long => (MODEL, ""),
        Kind::Stream => (MODEL, r#""stream":true,"stream_options":{"include_usage":true},"#),
        Kind::Paced => (PACED_MODEL, r#""stream":true,"stream_options":{"include_usage":true},"#),
    };
    let prompt = if kind == Kind::Long { PROMPT.repeat(LONG / PROMPT.len()) } else { PROMPT.to_owned() };
    format!(
        r#"{{"model":"{model}",{stream}"max_tokens":64,"temperature":0.7,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    )
    .into()
}
