//! The console's program: reads its settings and serves, or brings the schema up to date.

use anyhow::{Context, anyhow};
use clap::Parser;
use latchkey::server::config::{Cli, Command, Config, MigrateConfig};
use latchkey::server::{start, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    telemetry::start(cli.log_format, &cli.rust_log).context("cannot start logging")?;
    // One TLS provider for the database and for mail, chosen here rather than by whichever library is first.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider was installed before ours"))?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => start::serve(Config::read(&cli.settings)?).await,
        Command::Migrate => start::migrate(MigrateConfig::read(&cli.settings)?).await,
    }
}
