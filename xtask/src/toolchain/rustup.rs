//! Rustup's way: add the WASM target, or a toolchain new enough, if its server answers.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{OLDEST, Version, WASM, on_path};
use crate::{config::Config, process, report::Report};

/// Where its server is out of reach rustup hangs; a network that works answers far sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the download itself, once it has begun.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(20);
/// Taken when what is installed is older than the sources need.
const FALLBACK: &str = "1.96.0";

/// The folder of a rustup toolchain that has everything, or None if rustup is absent or cannot get it.
pub fn with_wasm(config: &Config, report: Report) -> Option<PathBuf> {
    let rustup = on_path(&config.path, "rustup").or_else(in_home)?;
    let toolchain = new_enough(&rustup).unwrap_or_else(|| FALLBACK.to_owned());
    let got = report.during(
        "asking rustup for WASM's library: about 1 min, given up after 30 s of silence",
        || {
            let mut install = Command::new(&rustup);
            install.args(["toolchain", "install", &toolchain, "--no-self-update", "--profile", "minimal"]);
            install.args(["--target", WASM, "--component", "clippy", "--component", "rustfmt"]);
            process::run_if_it_answers(&mut install, "download", PATIENCE, DOWNLOAD_LIMIT)
        },
    );
    if got.is_err() {
        report.warn("rustup's server is out of reach; looking for another way");
        return None;
    }
    let cargo =
        process::output(Command::new(&rustup).args(["which", "--toolchain", &toolchain, "cargo"])).ok()?;
    PathBuf::from(cargo).parent().map(PathBuf::from)
}

fn in_home() -> Option<PathBuf> {
    let rustup = std::env::home_dir()?.join(".cargo/bin/rustup");
    rustup.is_file().then_some(rustup)
}

/// The toolchain rustup would use here, if it is new enough for the sources.
fn new_enough(rustup: &Path) -> Option<String> {
    let told = process::output(Command::new(rustup).args(["show", "active-toolchain"])).ok()?;
    let name = told.split_whitespace().next()?;
    let rustc = process::output(Command::new(rustup).args(["run", name, "rustc", "--version"])).ok()?;
    (Version::in_text(&rustc)? >= OLDEST).then(|| name.to_owned())
}
