//! Redis for the tests of several gateways: the machine's own server program, started by each test for itself.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Bench;
use crate::{apt, compile::HOST, config::Config, process, report::Report, toolchain::on_path};

/// Where it is, if it is.
pub fn find(config: &Config) -> Option<PathBuf> {
    on_path(&config.path, "redis-server")
}

/// Why there can be none without a person's help.
pub fn out_of_reach(config: &Config) -> Option<String> {
    let reachable = find(config).is_some() || apt::can_install(config);
    (!reachable).then(|| format!("redis-server is missing: {}", apt::command_line(&["redis-server"])))
}

fn find_or_install(config: &Config, report: Report) -> Result<PathBuf> {
    if let Some(found) = find(config) {
        return Ok(found);
    }
    apt::install(&["redis-server"], "the tests of several gateways that share a Redis", config, report)?;
    find(config).context("redis-server was installed and cannot be found")
}

/// The tests that are ignored without it.
pub(super) fn run(bench: Bench<'_>) -> Result<()> {
    find_or_install(bench.config, bench.report)?;
    let mut cargo = bench.cargo_test();
    cargo.args(HOST).args(["--test", "it", "--", "--ignored", "redis::"]);
    process::run_within(&mut cargo, super::LIMIT)
}
