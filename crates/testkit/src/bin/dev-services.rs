//! The mail sink and the demo upstream as one program, for `cargo xtask dev` and the browser tests.
//!
//! A program of its own so that `xtask`, the first thing a newcomer compiles, needs no async runtime. It takes
//! its addresses from the command line and ends when it is told to (SIGTERM).

use std::net::SocketAddr;

use anyhow::{Context, bail};
use testkit::{
    mail::MailSink,
    upstream::{DEMO_PACE, Upstream},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(smtp), Some(inbox), upstream) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: dev-services SMTP_ADDR INBOX_ADDR [UPSTREAM_ADDR]");
    };
    let (smtp, inbox): (SocketAddr, SocketAddr) = (address(&smtp)?, address(&inbox)?);
    let _sink =
        MailSink::start(smtp, inbox).await.with_context(|| format!("mail sink on {smtp} and {inbox}"))?;
    let _upstream = match upstream {
        Some(at) => Some(demo_upstream(address(&at)?).await?),
        None => None,
    };
    std::future::pending().await
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| format!("{text} is not an address such as 127.0.0.1:8025"))
}

async fn demo_upstream(at: SocketAddr) -> anyhow::Result<Upstream> {
    let upstream = Upstream::start(at).await.with_context(|| format!("demo upstream on {at}"))?;
    upstream.set_pace(DEMO_PACE);
    Ok(upstream)
}
