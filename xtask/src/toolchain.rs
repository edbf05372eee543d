//! Which Rust builds everything: one toolchain for console, gateway, WASM and tests.
//!
//! The one that runs us if it can build for WASM; else rustup's with the target added; else, where rustup's server
//! is out of reach, Debian's packages with a standard library for WASM built once. Compiler and library must be of
//! one build, hence never a mixture.

mod debian;
mod rustup;
mod version;
mod wasm_std;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{config::Config, place::Place, process, report::Report};
pub use debian::PACKAGES as DEBIAN_PACKAGES;
pub use version::Version;

pub const WASM: &str = "wasm32-unknown-unknown";
/// The sources would take an older one; cargo-leptos does not.
const OLDEST: Version = Version::new(1, 96);
/// Newer compilers know lints that these sources have not met yet.
const LINTED_WITH: Version = Version::new(1, 97);

/// A Rust that can build everything.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Where its programs lie, among others perhaps.
    bin: PathBuf,
    /// A folder with nothing but its programs, for the front of `PATH`.
    front: PathBuf,
    pub version: Version,
    /// A linker for WASM, where the toolchain brings none.
    wasm_linker: Option<PathBuf>,
    /// A library folder of our own, where the system's may not be written.
    sysroot: Option<PathBuf>,
    path: OsString,
    library_path: Option<OsString>,
}

impl Toolchain {
    /// The first toolchain that can build everything, without installing anything.
    pub fn find(config: &Config, place: &Place) -> Option<Self> {
        let bins =
            config.cargo_bin.clone().into_iter().chain(rustup::ours(config)).chain([debian::BIN.into()]);
        bins.filter_map(|bin| Self::at(&bin, config, place)).find(|found| found.is_complete(place))
    }

    /// The first toolchain that can build everything; gets what is missing.
    pub fn find_or_install(config: &Config, place: &Place, report: Report) -> Result<Self> {
        if let Some(found) = Self::find(config, place) {
            return Ok(found);
        }
        if let Some(bin) = rustup::with_wasm(config, report)
            && let Some(found) = Self::at(&bin, config, place).filter(|found| found.is_complete(place))
        {
            return Ok(found);
        }
        debian::with_wasm(config, place, report)
    }

    /// The toolchain in this folder, complete or not.
    fn at(bin: &Path, config: &Config, place: &Place) -> Option<Self> {
        let told = process::output(Command::new(bin.join("rustc")).arg("--version")).ok()?;
        let system = bin == Path::new(debian::BIN);
        let sysroot = if system { wasm_std::own_sysroot(bin, place) } else { None };
        Some(Self {
            front: if system { debian::front(place, sysroot.as_deref()).ok()? } else { bin.to_owned() },
            bin: bin.to_owned(),
            version: Version::in_text(&told)?,
            wasm_linker: if system { wasm_linker(&config.path) } else { None },
            sysroot,
            path: config.path.clone(),
            library_path: config.library_path.clone(),
        })
    }

    /// New enough, knows WASM, has formatter and linter.
    fn is_complete(&self, place: &Place) -> bool {
        let tools = ["cargo", "rustc", "cargo-clippy", "clippy-driver", "cargo-fmt", "rustfmt"];
        self.version >= OLDEST
            && tools.iter().all(|tool| self.bin.join(tool).exists())
            && self.knows_wasm(place)
    }

    /// Asks the compiler: a library left behind by another compiler's build is there and of no use.
    fn knows_wasm(&self, place: &Place) -> bool {
        // A folder of ours: as root the compiler would replace a device such as /dev/null by a file.
        let scratch = place.cache.join("probe");
        if std::fs::create_dir_all(&scratch).is_err() {
            return false;
        }
        let mut check = Command::new(self.front.join("rustc"));
        self.clean(&mut check);
        check.args(["--target", WASM, "--crate-type", "lib", "--emit", "metadata", "--out-dir"]).arg(scratch);
        process::succeeds(check.arg("-"))
    }

    /// `cargo` of this toolchain, in an environment where no other is found.
    pub fn cargo(&self) -> Command {
        self.program("cargo")
    }

    /// `cargo clippy`, by its own program: cargo would look for it in rustup's folder first.
    pub fn clippy(&self) -> Command {
        let mut clippy = self.program("cargo-clippy");
        clippy.arg("clippy");
        clippy
    }

    /// `cargo fmt`, likewise.
    pub fn fmt(&self) -> Command {
        let mut fmt = self.program("cargo-fmt");
        fmt.arg("fmt").env("RUSTFMT", self.front.join("rustfmt"));
        fmt
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.front.join(name));
        command.stdin(Stdio::null());
        self.dress(&mut command, &[]);
        command
    }

    /// Makes any program that calls cargo call this one; the folders in `first` come first on its `PATH`.
    pub fn dress(&self, command: &mut Command, first: &[PathBuf]) {
        self.clean(command);
        command.env("PATH", self.path_after(first)).env("CARGO", self.front.join("cargo"));
        command.env("RUSTC", self.front.join("rustc")).env("RUSTDOC", self.front.join("rustdoc"));
        if let Some(own) = &self.sysroot {
            // Clippy's driver asks this variable, not the compiler.
            command.env("SYSROOT", own);
        }
        if let Some(linker) = &self.wasm_linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }

    /// Only its programs come forward, not all of `/usr/bin`: a newer Node or Python must stay the one found.
    fn path_after(&self, first: &[PathBuf]) -> OsString {
        let all = first.iter().cloned().chain([self.front.clone()]).chain(env::split_paths(&self.path));
        env::join_paths(all).unwrap_or_else(|_| self.path.clone())
    }

    /// Takes away what `cargo run` told us about the toolchain that built us.
    fn clean(&self, command: &mut Command) {
        let ours =
            env::vars_os().map(|(name, _)| name).filter(|name| is_of_our_build(&name.to_string_lossy()));
        for name in ours {
            command.env_remove(name);
        }
        match &self.library_path {
            Some(kept) => command.env("LD_LIBRARY_PATH", kept),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }

    /// Whether its warnings are those the sources are kept free of. A later compiler's new ones must not fail the tests
    /// of somebody who changed nothing.
    pub fn denies_warnings(&self) -> bool {
        self.version < LINTED_WITH
    }

    pub fn describe(&self) -> String {
        format!("Rust {} from {}", self.version, self.bin.display())
    }
}

fn is_of_our_build(name: &str) -> bool {
    let names = ["CARGO", "OUT_DIR", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT"];
    names.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// LLVM's linker for WASM, newest first.
fn wasm_linker(path: &OsStr) -> Option<PathBuf> {
    let names = (14..30).rev().map(|version| format!("wasm-ld-{version}")).chain(["wasm-ld".to_owned()]);
    names.into_iter().find_map(|name| on_path(path, &name).or_else(|| on_path(OsStr::new("/usr/bin"), &name)))
}

/// The program's full path, if `path` has it.
pub fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(name)).find(|found| found.is_file())
}

/// Why there is no toolchain, in words that help.
fn none_found<T>(what_to_do: &str) -> Result<T> {
    bail!(
        "no Rust here can build for {WASM}.\nWith rustup and a network: rustup target add {WASM}\n{what_to_do}"
    )
}
