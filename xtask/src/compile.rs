//! Compiling: the host's programs by cargo, the browser's files by cargo-leptos.
//!
//! Everything for the host is built with one set of flags, so that `dev`, `check` and `test` share one compilation.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};

use crate::{
    config::Config,
    node,
    place::{Place, short_hash},
    process,
    report::Report,
    stack::environment::Site,
    toolchain::Toolchain,
    tools::Tools,
};

/// The whole workspace with the console's server half: the same set every time, else cargo unifies features anew.
pub const HOST: [&str; 4] = ["--workspace", "--locked", "--features", "latchkey/ssr"];

/// The browser's half, as cargo-leptos builds it.
pub const FRONT: [&str; 7] =
    ["--package", "latchkey", "--lib", "--locked", "--no-default-features", "--features", "hydrate"];

/// Everything that compiling needs.
#[derive(Debug)]
pub struct Workshop {
    pub rust: Toolchain,
    tools: Tools,
    place: Place,
}

/// The programs of a debug build.
#[derive(Clone, Debug)]
pub struct Programs {
    pub console: PathBuf,
    pub gateway: PathBuf,
    pub services: PathBuf,
    pub seed: PathBuf,
}

/// How the browser's files are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Quick to build.
    Debug,
    /// Small: what users load.
    Release,
}

impl Workshop {
    /// Finds the tools, installs those that are missing.
    pub fn open(config: &Config, place: &Place, report: Report) -> Result<Self> {
        let rust = Toolchain::find_or_install(config, place, report)?;
        report.good(rust.describe());
        let tools = Tools::find_or_install(&rust, config, place, report)?;
        node::install(config, place, report)?;
        Ok(Self { rust, tools, place: place.clone() })
    }

    /// The console, the gateway, the services of `cargo xtask dev`, the demo data.
    pub fn programs(&self) -> Result<Programs> {
        let mut cargo = self.rust.cargo();
        cargo.arg("build").args(HOST).args([
            "--bin",
            "latchkey",
            "--bin",
            "latchkey-gateway",
            "--bin",
            "dev-services",
        ]);
        process::run(cargo.args(["--example", "seed_demo"]).current_dir(&self.place.root))?;
        let debug = self.place.target.join("debug");
        Ok(Programs {
            console: debug.join("latchkey"),
            gateway: debug.join("latchkey-gateway"),
            services: debug.join("dev-services"),
            seed: debug.join("examples/seed_demo"),
        })
    }

    /// JavaScript, WASM and CSS. Does nothing if no source changed since the last time.
    pub fn front(&self, front: Front) -> Result<Site> {
        let site = self.site(front);
        let stamp = site.root.with_extension("stamp");
        let sources = self.front_sources()?;
        if site.hash_file.exists() && fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
            return Ok(site);
        }
        // Gone first: a build that fails half-way must not look finished.
        if stamp.exists() {
            fs::remove_file(&stamp)?;
        }
        process::run(&mut self.leptos("build", front))?;
        fs::write(&stamp, sources).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(site)
    }

    /// `cargo leptos watch`: rebuilds and restarts the console whenever a source changes.
    pub fn watcher(&self) -> Command {
        self.leptos("watch", Front::Debug)
    }

    fn leptos(&self, verb: &str, front: Front) -> Command {
        let mut leptos = Command::new(&self.tools.cargo_leptos);
        self.rust.dress(&mut leptos, &self.tools.path);
        leptos.args(["leptos", verb]).current_dir(&self.place.root).stdin(Stdio::null());
        if verb == "build" {
            leptos.arg("--frontend-only");
        }
        if front == Front::Release {
            leptos.args(["--release", "--precompress"]);
        }
        leptos.env("LEPTOS_SITE_ROOT", self.site(front).root);
        leptos
    }

    /// One folder for each kind, so that a running `dev` and a `test` do not empty each other's.
    fn site(&self, front: Front) -> Site {
        let (folder, profile) = match front {
            Front::Debug => ("site", "debug"),
            Front::Release => ("site-release", "release"),
        };
        Site {
            root: self.place.target.join(folder),
            hash_file: self.place.target.join(profile).join("hash.txt"),
        }
    }

    /// What the browser's files are made of, as one short text that changes when any of it does.
    fn front_sources(&self) -> Result<String> {
        let mut files = Vec::new();
        for source in [
            "src",
            "crates/domain",
            "style",
            "public",
            "Cargo.toml",
            "Cargo.lock",
            "package-lock.json",
            ".cargo",
        ] {
            collect(&self.place.root.join(source), &mut files)?;
        }
        files.sort();
        Ok(short_hash(&(files, self.rust.describe())))
    }
}

/// Path, size and time of change of each file under `path`.
fn collect(path: &Path, into: &mut Vec<(PathBuf, u64, u128)>) -> Result<()> {
    let Ok(is) = fs::metadata(path) else { return Ok(()) };
    if is.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), into)?;
        }
    } else {
        let changed = is.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        into.push((path.to_owned(), is.len(), changed));
    }
    Ok(())
}
