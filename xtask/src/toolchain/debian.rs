//! Debian's way: its own compiler packages, which reach a machine wherever apt-get does.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{Toolchain, none_found, wasm_std};
use crate::{apt, config::Config, place::Place, report::Report};

pub const BIN: &str = "/usr/bin";

/// Compiler, cargo, library sources, linter, formatter and a linker for WASM. Debian ships the newest Rust for its
/// browsers under these names.
pub const PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy", "rustfmt-web", "lld-19"];

const PROGRAMS: [&str; 6] = ["cargo", "cargo-clippy", "cargo-fmt", "clippy-driver", "rustdoc", "rustfmt"];

/// Installs the packages that are missing and the standard library for WASM.
pub fn with_wasm(config: &Config, place: &Place, report: Report) -> Result<Toolchain> {
    let missing = apt::missing(&PACKAGES);
    if !missing.is_empty() && !apt::is_here(config) {
        return none_found(
            "Here is neither that nor apt-get, so please install Rust with this target yourself.",
        );
    }
    apt::install(&missing, "a Rust that can compile for the browser, about 2 min", config, report)?;
    let Some(found) = Toolchain::at(Path::new(BIN), config, place) else {
        return none_found("Debian's rustc-web was installed and does not run.");
    };
    if !found.knows_wasm(place) {
        wasm_std::build(&found, place, report)?;
    }
    match Toolchain::at(Path::new(BIN), config, place).filter(|found| found.is_complete(place)) {
        Some(complete) => Ok(complete),
        None => {
            none_found("Debian's Rust is older than the sources need, or its library for WASM does not load.")
        }
    }
}

/// A folder in the cache with links to Debian's Rust programs alone. With a library folder of our own its `rustc` is
/// a script that names it, so that everything that calls the compiler uses it.
pub fn front(place: &Place, sysroot: Option<&Path>) -> io::Result<PathBuf> {
    let dir = place.cache.join(if sysroot.is_some() { "debian-rust-own" } else { "debian-rust" });
    fs::create_dir_all(&dir)?;
    for program in PROGRAMS {
        link(program, &dir)?;
    }
    match sysroot {
        None => link("rustc", &dir)?,
        Some(sysroot) => {
            let script = format!("#!/bin/sh\nexec {BIN}/rustc --sysroot '{}' \"$@\"\n", sysroot.display());
            let rustc = dir.join("rustc");
            if fs::read_to_string(&rustc).ok().as_deref() != Some(script.as_str()) {
                fs::write(&rustc, script)?;
                fs::set_permissions(&rustc, Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(dir)
}

fn link(program: &str, dir: &Path) -> io::Result<()> {
    match symlink(Path::new(BIN).join(program), dir.join(program)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}
