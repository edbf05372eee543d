//! The build tools that come as Rust sources: cargo-leptos and wasm-bindgen, each by exact version in the cache.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    config::Config,
    place::Place,
    process,
    report::Report,
    toolchain::{Toolchain, on_path},
};

const CARGO_LEPTOS_VERSION: &str = "0.3.11";

/// One program from one crate, in a cache folder named for its version.
#[derive(Debug)]
struct Tool {
    package: &'static str,
    program: &'static str,
    version: String,
}

impl Tool {
    fn cargo_leptos() -> Self {
        Self { package: "cargo-leptos", program: "cargo-leptos", version: CARGO_LEPTOS_VERSION.to_owned() }
    }

    /// The lock file's version: program and library must be the same.
    fn wasm_bindgen(place: &Place) -> Result<Self> {
        let lock = fs::read_to_string(place.root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        let version =
            locked_version(&lock, "wasm-bindgen").context("Cargo.lock names no wasm-bindgen")?.to_owned();
        Ok(Self { package: "wasm-bindgen-cli", program: "wasm-bindgen", version })
    }

    fn root(&self, place: &Place) -> PathBuf {
        place.cache.join(format!("{}-{}", self.program, self.version))
    }

    fn bin(&self, place: &Place) -> PathBuf {
        self.root(place).join("bin")
    }

    fn is_there(&self, place: &Place) -> bool {
        self.bin(place).join(self.program).exists()
    }

    /// A ready-made program if one can be had, else what `compile` makes.
    fn install(
        &self,
        config: &Config,
        place: &Place,
        compile: impl FnOnce(&mut Command),
        rust: &Toolchain,
    ) -> Result<()> {
        if self.binstall(config, place) && self.is_there(place) {
            return Ok(());
        }
        let work = place.cache.join("build-tools");
        let mut cargo = rust.cargo();
        cargo
            .args(["install", self.package, "--version", &self.version, "--quiet"])
            .arg("--root")
            .arg(self.root(place));
        compile(cargo.env("CARGO_TARGET_DIR", &work));
        process::run(&mut cargo)?;
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))
    }

    fn binstall(&self, config: &Config, place: &Place) -> bool {
        let in_home = std::env::home_dir().map(|home| home.join(".cargo/bin/cargo-binstall"));
        let found = on_path(&config.path, "cargo-binstall").or(in_home.filter(|path| path.exists()));
        let Some(binstall) = found else { return false };
        let mut install = Command::new(binstall);
        install.args([
            "binstall",
            "--no-confirm",
            "--disable-strategies",
            "compile",
            "--version",
            &self.version,
        ]);
        install.arg("--root").arg(self.root(place)).arg(self.package);
        process::run(install.stdin(Stdio::null())).is_ok()
    }
}

/// The build tools, ready to run.
#[derive(Clone, Debug)]
pub struct Tools {
    pub cargo_leptos: PathBuf,
    /// The folders whose programs cargo-leptos calls: Tailwind, wasm-opt, wasm-bindgen.
    pub path: Vec<PathBuf>,
}

impl Tools {
    pub fn find_or_install(rust: &Toolchain, config: &Config, place: &Place, report: Report) -> Result<Self> {
        let (leptos, bindgen) = (Tool::cargo_leptos(), Tool::wasm_bindgen(place)?);
        if !leptos.is_there(place) {
            report.during(
                "installing cargo-leptos: it builds the browser part, about 6 min, once per machine",
                || leptos.install(config, place, compile_cargo_leptos, rust),
            )?;
        }
        if !bindgen.is_there(place) {
            report.during(
                "installing wasm-bindgen: it joins WASM and JavaScript, about 3 min, once per version",
                || bindgen.install(config, place, compile_wasm_bindgen, rust),
            )?;
        }
        Ok(Self {
            cargo_leptos: leptos.bin(place).join(leptos.program),
            path: vec![place.node_bin(), bindgen.bin(place)],
        })
    }

    /// What is not installed yet, for `doctor`.
    pub fn missing(place: &Place) -> Vec<String> {
        let all = [Some(Tool::cargo_leptos()), Tool::wasm_bindgen(place).ok()];
        let missing = all.into_iter().flatten().filter(|tool| !tool.is_there(place));
        missing.map(|tool| format!("{} {}", tool.program, tool.version)).collect()
    }
}

/// A debug build does the same work and takes a fifth of the time to make; without downloads a missing tool is a clear
/// error instead of a hang.
fn compile_cargo_leptos(cargo: &mut Command) {
    cargo.args(["--debug", "--locked", "--no-default-features", "--features", "no_downloads"]);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
}

/// Not `--locked`: its lock file names versions that registry mirrors may lack. Less optimised: it runs for seconds.
fn compile_wasm_bindgen(cargo: &mut Command) {
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
}

/// The version of `package` in a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_is_that_of_the_very_package() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.9\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm"), None);
    }
}
