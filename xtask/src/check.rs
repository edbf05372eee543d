//! What can be said of the sources without running them: format, lints for both targets, what may not be linked.

mod graph;

use std::time::Duration;

use anyhow::Result;

use crate::{
    compile::{FRONT, HOST},
    place::Place,
    process,
    suite::Step,
    toolchain::{Toolchain, WASM, on_path},
};

/// A cold build of everything on two busy cores takes a third of this.
const COMPILE_LIMIT: Duration = Duration::from_mins(40);

/// The steps, quickest first.
pub fn steps<'a>(rust: &'a Toolchain, place: &'a Place, path: &'a std::ffi::OsStr) -> Vec<Step<'a>> {
    vec![
        Step::new("fmt", "the sources are formatted", move || fmt(rust, place)),
        Step::new("graph", "no server crate in the WASM, no second TLS provider", move || {
            graph::check(rust, place)
        }),
        Step::new("deny", "licences, bans, advisories", move || deny(rust, place)).unless(cannot_deny(path)),
        Step::new("clippy", "lints, host", move || clippy_host(rust, place)),
        Step::new("clippy-wasm", "lints, browser", move || clippy_front(rust, place)),
    ]
}

fn fmt(rust: &Toolchain, place: &Place) -> Result<()> {
    process::run(rust.fmt().args(["--all", "--check"]).current_dir(&place.root))?;
    process::run(rust.fmt().args(["--manifest-path", "fuzz/Cargo.toml", "--check"]).current_dir(&place.root))
}

fn clippy_host(rust: &Toolchain, place: &Place) -> Result<()> {
    let mut clippy = rust.clippy();
    clippy.args(HOST).arg("--all-targets").args(denial(rust)).current_dir(&place.root);
    process::run_within(&mut clippy, COMPILE_LIMIT)
}

/// In cargo-leptos's folder and profile, so that the release build finds its macros compiled.
fn clippy_front(rust: &Toolchain, place: &Place) -> Result<()> {
    let mut clippy = rust.clippy();
    clippy.args(FRONT).args(["--target", WASM, "--profile", "wasm-release", "--target-dir"]);
    clippy.arg(place.target.join("front")).args(denial(rust)).current_dir(&place.root);
    process::run_within(&mut clippy, COMPILE_LIMIT)
}

fn denial(rust: &Toolchain) -> &'static [&'static str] {
    if rust.denies_warnings() { &["--", "-D", "warnings"] } else { &[] }
}

fn cannot_deny(path: &std::ffi::OsStr) -> Option<String> {
    let absent = on_path(path, "cargo-deny").is_none();
    absent.then(|| "cargo-deny is not installed (cargo install cargo-deny --locked)".to_owned())
}

fn deny(rust: &Toolchain, place: &Place) -> Result<()> {
    process::run(rust.cargo().args(["deny", "--all-features", "check"]).current_dir(&place.root))
}
