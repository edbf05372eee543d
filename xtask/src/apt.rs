//! Debian's packages: installs them as root, else says the one line that does.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{config::Config, process, report::Report, toolchain::on_path};

/// Whether this machine has apt-get.
pub fn is_here(config: &Config) -> bool {
    on_path(&config.path, "apt-get").is_some()
}

/// Whether we may install packages.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether [`install`] has a chance.
pub fn can_install(config: &Config) -> bool {
    is_root() && is_here(config)
}

/// Which of `packages` are not installed.
pub fn missing(packages: &[&'static str]) -> Vec<&'static str> {
    packages.iter().copied().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let told = process::output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]));
    told.is_ok_and(|status| status == "installed")
}

/// Installs `packages`, which are for `why`. Without root it fails with the command to run.
pub fn install(packages: &[&str], why: &str, config: &Config, report: Report) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_here(config) {
        bail!("missing: {list} (Debian's names), needed for {why}. Please install them and try again.");
    }
    if !is_root() {
        bail!(
            "missing packages, needed for {why}. Please run:\n\n    {}\n\nand try again.",
            command_line(packages)
        );
    }
    report.during(&format!("installing {list}: {why}"), || {
        if get(packages).is_ok() {
            return Ok(());
        }
        // A new machine's package lists are empty or old.
        process::run(apt_get().args(["update", "-qq"]).stdin(Stdio::null()))?;
        get(packages)
    })
}

/// What a person types to install `packages`.
pub fn command_line(packages: &[&str]) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install --no-install-recommends -y {}", packages.join(" "))
}

fn get(packages: &[&str]) -> Result<()> {
    let mut install = apt_get();
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    process::run(install.stdin(Stdio::null()).stdout(Stdio::null()))
}

fn apt_get() -> Command {
    let program = Path::new("/usr/bin/apt-get");
    let mut apt = Command::new(if program.exists() { program } else { Path::new("apt-get") });
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
