//! The browser of the specs: the system's own Chromium.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{apt, config::Config, report::Report, toolchain::on_path};

/// Where it is, if it is.
pub fn find(config: &Config) -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| on_path(&config.path, name))
}

/// Why there can be none without a person's help.
pub fn out_of_reach(config: &Config) -> Option<String> {
    let reachable = find(config).is_some() || apt::can_install(config);
    (!reachable).then(|| format!("Chromium is missing: {}", apt::command_line(&["chromium"])))
}

pub fn find_or_install(config: &Config, report: Report) -> Result<PathBuf> {
    if let Some(found) = find(config) {
        return Ok(found);
    }
    apt::install(&["chromium"], "the browser tests, about 1 min", config, report)?;
    find(config).context("Chromium was installed and cannot be found")
}
