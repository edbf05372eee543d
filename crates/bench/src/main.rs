//! `latchkey-bench`: the programs of `cargo xtask bench`, one for each subcommand.

use std::net::SocketAddr;

use anyhow::Context;
use bench::upstream;
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
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(run(args.role))
}

async fn run(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Upstream { listen } => {
            upstream::run(listen).await.with_context(|| format!("upstream on {listen}"))
        }
    }
}
