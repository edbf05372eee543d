//! `latchkey-bench`: the programs of `cargo xtask bench`, one for each subcommand.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use bench::load::Plan;
use bench::{floor, keys, load, upstream};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "latchkey-bench", about = "What `cargo xtask bench` runs beside the gateway")]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// A provider that answers at once, and counts
    Upstream {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
    /// A bare proxy
    Floor {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
        /// Where everything goes
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// Sends requests and prints what it saw as one line of JSON
    Load(load::LoadArgs),
    /// Makes API keys: a table of digests, and files of secrets
    Keys(keys::KeysArgs),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // The floor has as many threads as the gateway; the others are one thread each, so that they leave it room.
    let mut runtime = match args.role {
        Role::Floor { .. } => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(run(args.role))
}

async fn run(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Upstream { listen } => {
            upstream::run(listen).await.with_context(|| format!("upstream on {listen}"))
        }
        Role::Floor { listen, upstream } => {
            floor::run(listen, upstream).await.with_context(|| format!("floor on {listen}"))
        }
        Role::Load(args) => {
            let seen = load::run(Plan::try_from(args)?).await?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&seen)?)
                .context("nobody reads the result")
        }
        Role::Keys(args) => keys::make(&args),
    }
}
