//! Python with the official clients in a folder of the cache, by exact version.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{apt, config::Config, place::Place, process, report::Report, toolchain::on_path};

const CLIENTS: [&str; 2] = ["anthropic==2.12.0", "openai==3.52.0"];

/// The machine's Python, if it can make virtual environments.
pub fn check(config: &Config) -> Result<PathBuf> {
    let python = on_path(&config.path, "python3").context("python3 is missing")?;
    if process::succeeds(Command::new(&python).args(["-c", "import venv, ensurepip"])) {
        return Ok(python);
    }
    bail!("{} cannot make virtual environments: {}", python.display(), apt::command_line(&["python3-venv"]))
}

/// Why there can be none without a person's help.
pub fn out_of_reach(config: &Config) -> Option<String> {
    if apt::can_install(config) { None } else { check(config).err().map(|error| error.to_string()) }
}

/// A Python that can `import anthropic, openai`.
pub fn with_clients(config: &Config, place: &Place, report: Report) -> Result<PathBuf> {
    let root = place.cache.join(format!("python-{}", CLIENTS.join("-").replace("==", "-")));
    let python = root.join("bin/python3");
    if process::succeeds(Command::new(&python).args(["-c", "import anthropic, openai"])) {
        return Ok(python);
    }
    if check(config).is_err() {
        apt::install(&["python3", "python3-venv"], "the Python clients' tests, about 1 min", config, report)?;
    }
    let system = check(config)?;
    report.during("installing the Python clients: the clients' tests need it, about 1 min", || {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        process::run(Command::new(system).args(["-m", "venv"]).arg(&root).stdin(Stdio::null()))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(CLIENTS);
        process::run(pip.stdin(Stdio::null()))
    })?;
    Ok(python)
}
