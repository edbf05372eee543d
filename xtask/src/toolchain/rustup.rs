//! Rustup's way: the WASM target for the toolchain in use if that is new enough, else a toolchain of our own choice
//! beside it. Never updates what is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::{OLDEST, Version, WASM, on_path};
use crate::{config::Config, process, report::Report};

/// Where its server is out of reach rustup hangs; a network that works answers far sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the download itself, once it has begun.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(20);
/// Taken when the toolchain in use is too old.
const OURS: &str = "1.96.0";

/// The folder of the toolchain we installed on an earlier day, if we did.
pub fn ours(config: &Config) -> Option<PathBuf> {
    let toolchains = fs::read_dir(config.rustup_home.as_ref()?.join("toolchains")).ok()?;
    let mut names = toolchains.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_ours = |dir: &Path| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OURS));
    names.find(|dir| is_ours(dir)).map(|dir| dir.join("bin"))
}

/// The folder of a rustup toolchain that has everything, or None if rustup is absent or cannot get it.
pub fn with_wasm(config: &Config, report: Report) -> Option<PathBuf> {
    let rustup = on_path(&config.path, "rustup").or_else(in_home)?;
    let in_use = new_enough(&rustup);
    let name = in_use.as_deref().unwrap_or(OURS);
    let what = format!("asking rustup for {name} with {WASM}: about 1 min, given up after 30 s of silence");
    let got = report.during(&what, || match &in_use {
        Some(name) => complete(&rustup, name),
        None => install(&rustup),
    });
    if got.is_err() {
        report.warn("rustup's server is out of reach; looking for another way");
        return None;
    }
    let cargo = process::output(Command::new(&rustup).args(["which", "--toolchain", name, "cargo"])).ok()?;
    PathBuf::from(cargo).parent().map(PathBuf::from)
}

/// Adds what we need to a toolchain, which stays the version it is.
fn complete(rustup: &Path, name: &str) -> Result<()> {
    for (kind, what) in [("target", WASM), ("component", "clippy"), ("component", "rustfmt")] {
        ask(Command::new(rustup).args([kind, "add", "--toolchain", name, what]))?;
    }
    Ok(())
}

fn install(rustup: &Path) -> Result<()> {
    let mut install = Command::new(rustup);
    install.args(["toolchain", "install", OURS, "--no-self-update", "--profile", "minimal"]);
    ask(install.args(["--target", WASM, "--component", "clippy", "--component", "rustfmt"]))
}

fn ask(command: &mut Command) -> Result<()> {
    // Not the toolchain of the cargo that started us, which rustup would take for an order.
    command.env_remove("RUSTUP_TOOLCHAIN");
    process::run_if_it_answers(command, "downloading", PATIENCE, DOWNLOAD_LIMIT)
}

fn in_home() -> Option<PathBuf> {
    let rustup = std::env::home_dir()?.join(".cargo/bin/rustup");
    rustup.is_file().then_some(rustup)
}

/// The toolchain rustup would use here, if it is new enough.
fn new_enough(rustup: &Path) -> Option<String> {
    let told = process::output(Command::new(rustup).args(["show", "active-toolchain"])).ok()?;
    let name = told.split_whitespace().next()?;
    let rustc = process::output(Command::new(rustup).args(["run", name, "rustc", "--version"])).ok()?;
    (Version::in_text(&rustc)? >= OLDEST).then(|| name.to_owned())
}
