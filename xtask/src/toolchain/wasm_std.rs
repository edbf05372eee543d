//! The standard library for WASM, built once from Debian's `rust-web-src`, which has none ready.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{Toolchain, WASM};
use crate::{
    place::{Place, short_hash},
    process,
    report::Report,
};

/// Builds the library and puts it into the system's library folder if we may write there, else into a copy of it
/// in the cache.
pub fn build(toolchain: &Toolchain, place: &Place, report: Report) -> Result<()> {
    let built = report.during(
        "building Rust's standard library for WASM: Debian ships only its source, about 2 min, once per machine",
        || compile(toolchain, place),
    )?;
    let system = system_sysroot(&toolchain.bin)?;
    if copy_into(&built, &system).is_err() {
        let own = own_dir(&toolchain.bin, place)?;
        mirror_host(&system, &own)?;
        copy_into(&built, &own)?;
    }
    fs::remove_dir_all(work_dir(place)).context("cannot tidy up after building the standard library")
}

/// The copy in the cache, if there is one for this very compiler.
pub fn own_sysroot(bin: &Path, place: &Place) -> Option<PathBuf> {
    own_dir(bin, place).ok().filter(|dir| library(dir).join("built-by-xtask").exists())
}

fn own_dir(bin: &Path, place: &Place) -> Result<PathBuf> {
    let compiler = process::output(Command::new(bin.join("rustc")).arg("-vV"))?;
    Ok(place.cache.join(format!("sysroot-{}", short_hash(&compiler))))
}

fn system_sysroot(bin: &Path) -> Result<PathBuf> {
    Ok(PathBuf::from(process::output(Command::new(bin.join("rustc")).args(["--print", "sysroot"]))?))
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(WASM).join("lib")
}

fn work_dir(place: &Place) -> PathBuf {
    place.cache.join("build-wasm-std")
}

/// An empty crate built with the library from source leaves the library among its dependencies.
fn compile(toolchain: &Toolchain, place: &Place) -> Result<PathBuf> {
    let dir = work_dir(place);
    fs::create_dir_all(dir.join("src"))?;
    fs::write(
        dir.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )?;
    fs::write(dir.join("src/lib.rs"), "")?;
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--quiet", "--release", "--target", WASM, "-Zbuild-std=std,panic_abort,proc_macro"]);
    cargo.current_dir(&dir).env("CARGO_TARGET_DIR", dir.join("target"));
    // Stable compilers allow -Z only so; the linked library must carry bitcode for link-time optimisation.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes");
    process::run(&mut cargo)?;
    Ok(dir.join("target").join(WASM).join("release/deps"))
}

/// Copies the libraries; the empty crate's own is of no use to anyone.
fn copy_into(built: &Path, sysroot: &Path) -> io::Result<()> {
    let library = library(sysroot);
    fs::create_dir_all(&library)?;
    for entry in fs::read_dir(built)? {
        let file = entry?.path();
        let wanted = file.extension().is_some_and(|kind| kind == "rlib");
        if let (true, Some(name)) = (wanted, file.file_name())
            && !name.to_string_lossy().starts_with("libempty-")
        {
            fs::copy(&file, library.join(name))?;
        }
    }
    fs::write(library.join("built-by-xtask"), "Built by `cargo xtask` from rust-web-src\n")
}

/// The host's libraries, by a link: only WASM's are ours.
fn mirror_host(system: &Path, own: &Path) -> Result<()> {
    let from = system.join("lib/rustlib");
    let to = own.join("lib/rustlib");
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let name = entry?.file_name();
        if name != WASM && !to.join(&name).exists() {
            symlink(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_sysroot_has_the_hosts_libraries_by_link_and_ours_for_wasm() {
        let root = std::env::temp_dir().join(format!("latchkey-sysroot-{}", std::process::id()));
        let (system, own, built) = (root.join("system"), root.join("own"), root.join("built"));
        let host = Path::new("lib/rustlib/x86_64-unknown-linux-gnu");
        for dir in [&system.join(host), &library(&system), &built] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(system.join(host).join("libstd.rlib"), "host").unwrap();
        fs::write(library(&system).join("libstd-old.rlib"), "another compiler's").unwrap();
        for name in ["libstd-1.rlib", "libempty-1.rlib", "libstd-1.d"] {
            fs::write(built.join(name), "wasm").unwrap();
        }
        mirror_host(&system, &own).unwrap();
        copy_into(&built, &own).unwrap();
        // A second time, over what is there.
        mirror_host(&system, &own).unwrap();
        copy_into(&built, &own).unwrap();
        let host_std = fs::read_to_string(own.join(host).join("libstd.rlib")).unwrap();
        let entries = fs::read_dir(library(&own)).unwrap();
        let mut wasm: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        wasm.sort();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(
            (host_std.as_str(), wasm),
            ("host", vec!["built-by-xtask".to_owned(), "libstd-1.rlib".to_owned()])
        );
    }
}
