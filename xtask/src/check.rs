//! What can be said of the sources without running them: format, lints for both targets, what may not be linked.

mod graph;

use std::time::Duration;

use anyhow::Result;

use crate::{
    compile::{FRONT, HOST, Workshop},
    place::Place,
    process,
    suite::Step,
    toolchain::{WASM, on_path},
};

/// A cold build of everything on two busy cores takes a third of this.
const COMPILE_LIMIT: Duration = Duration::from_mins(40);

/// The steps, quickest first.
pub fn steps<'a>(workshop: &'a Workshop, place: &'a Place, path: &'a std::ffi::OsStr) -> Vec<Step<'a>> {
    vec![
        Step::new("fmt", "the sources are formatted", move || fmt(workshop, place)),
        Step::new("graph", "no server crate in the WASM, no second TLS provider", move || {
            graph::check(workshop, place)
        }),
        Step::new("deny", "licences, bans, advisories", move || deny(workshop, place))
            .unless(cannot_deny(path)),
        Step::new("clippy", "lints, host", move || clippy_host(workshop, place)),
        Step::new("clippy-wasm", "lints, browser", move || clippy_front(workshop, place)),
    ]
}

fn fmt(workshop: &Workshop, place: &Place) -> Result<()> {
    process::run(workshop.rust.fmt().args(["--all", "--check"]).current_dir(&place.root))
}

fn clippy_host(workshop: &Workshop, place: &Place) -> Result<()> {
    let mut clippy = workshop.rust.clippy();
    clippy.args(HOST).arg("--all-targets").args(denial(workshop)).current_dir(&place.root);
    process::run_within(&mut clippy, COMPILE_LIMIT)
}

/// In cargo-leptos's folder and profile, so that the release build finds its macros compiled.
fn clippy_front(workshop: &Workshop, place: &Place) -> Result<()> {
    let mut clippy = workshop.rust.clippy();
    clippy.args(FRONT).args(["--target", WASM, "--profile", "wasm-release", "--target-dir"]);
    clippy.arg(place.target.join("front")).args(denial(workshop)).current_dir(&place.root);
    process::run_within(&mut clippy, COMPILE_LIMIT)
}

fn denial(workshop: &Workshop) -> &'static [&'static str] {
    if workshop.rust.denies_warnings() { &["--", "-D", "warnings"] } else { &[] }
}

fn cannot_deny(path: &std::ffi::OsStr) -> Option<String> {
    let absent = on_path(path, "cargo-deny").is_none();
    absent.then(|| "cargo-deny is not installed (cargo install cargo-deny --locked)".to_owned())
}

fn deny(workshop: &Workshop, place: &Place) -> Result<()> {
    process::run(workshop.rust.cargo().args(["deny", "--all-features", "check"]).current_dir(&place.root))
}
