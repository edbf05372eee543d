//! Node and what comes by npm: Tailwind, wasm-opt, fonts, Playwright, the official clients.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    config::Config,
    place::Place,
    process,
    report::Report,
    toolchain::{Version, on_path},
};

/// What the packages need (`engines` in package.json).
const OLDEST: Version = Version::new(20, 0);

/// `npm ci`, unless `node_modules` is already what package-lock.json says.
pub fn install(config: &Config, place: &Place, report: Report) -> Result<()> {
    if is_ready(place) {
        return Ok(());
    }
    check(config)?;
    let lock = read_lock(place)?;
    report.during(
        "installing npm packages: stylesheet, fonts and browser tests need them, about 1 min",
        || {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--loglevel=error", "--no-audit", "--no-fund"])
                .current_dir(&place.root)
                .stdin(Stdio::null());
            // Playwright drives the system's Chromium; its own download is not wanted.
            process::run(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))
        },
    )?;
    fs::write(stamp(place), lock).context("cannot note that npm packages are installed")
}

/// Whether `node_modules` is what package-lock.json says.
pub fn is_ready(place: &Place) -> bool {
    let installed = fs::read_to_string(stamp(place));
    installed.is_ok_and(|installed| read_lock(place).is_ok_and(|lock| lock == installed))
}

/// Says what is wrong with this machine's Node, if anything.
pub fn check(config: &Config) -> Result<()> {
    if on_path(&config.path, "node").is_none() || on_path(&config.path, "npm").is_none() {
        bail!(
            "Node and npm are missing. Please install Node {OLDEST} or newer (Debian 13: apt-get install nodejs npm)."
        );
    }
    let told = process::output(Command::new("node").arg("--version"))?;
    match Version::in_text(&told) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => bail!("Node is {told}; the stylesheet compiler needs {OLDEST} or newer. Please install that."),
    }
}

fn read_lock(place: &Place) -> Result<String> {
    fs::read_to_string(place.root.join("package-lock.json")).context("cannot read package-lock.json")
}

fn stamp(place: &Place) -> std::path::PathBuf {
    place.root.join("node_modules/.installed-package-lock.json")
}
