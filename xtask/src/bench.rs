//! `cargo xtask bench gateway`: what the gateway costs beside a bare proxy, nginx, and no proxy at all.
//!
//! The same load goes to each of them in turn, round after round, on this machine. What it costs is read from the kernel,
//! how long it takes from the load generator's clock. Nothing is asserted but that what the gateway answered, what the
//! upstream was asked and what the ledger has are one number.

mod case;
mod cores;
mod cost;
mod machine;
mod measure;
mod nginx;
mod page;
mod results;
mod scene;
mod seed;
mod table;

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    config::Config,
    interrupt,
    place::Place,
    postgres::{Kind, Postgres},
    process,
    report::Report,
    toolchain::Toolchain,
};
use machine::Machine;
use measure::{Length, Measurement};
use scene::{Scene, Stand};

/// A cold release build of gateway and bench on two busy cores takes a third of this.
const BUILD_LIMIT: Duration = Duration::from_mins(45);

/// What the command line asks for.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One short round, to see that everything works.
    pub quick: bool,
    /// Also a gateway that knows a million keys.
    pub million: bool,
    /// Write the page instead of printing it.
    pub write: bool,
    /// Set everything up and wait, for a profiler: nothing is measured.
    pub hold: bool,
    pub rounds: Option<u32>,
    pub seconds: Option<u32>,
}

/// The programs of a release build.
#[derive(Debug)]
pub struct Programs {
    pub gateway: PathBuf,
    pub bench: PathBuf,
    /// Or why it is not here.
    pub nginx: Result<PathBuf, String>,
}

/// Measures, then prints or writes the page.
pub fn run(options: &Options, config: &Config, place: &Place, report: Report) -> Result<()> {
    if options.quick && options.write {
        bail!("a quick run is no record: --write is for a full one");
    }
    interrupt::watch()?;
    // The tests' cluster is used here, and a test suite beside it would spoil every figure.
    let _lock = place.lock("test")?;
    let rust = Toolchain::find_or_install(config, place, report)?;
    report.good(rust.describe());
    let programs = programs(&rust, config, place, report)?;
    let postgres = Postgres::start(Kind::Test, config, place, report)?;
    let measured = Machine::read(&rust, &programs, &postgres).and_then(|machine| {
        machine.warn_if_busy(report);
        Ok((machine, measure(options, &programs, &postgres, place, report)?))
    });
    let stopped = postgres.stop();
    let (machine, measured) = measured?;
    stopped?;
    let Some(measured) = measured else { return Ok(()) };
    let page = page::text(options, &machine, &measured);
    if options.write {
        let path = place.root.join("docs/benchmarks.md");
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        report.good(format_args!("{} is written", path.display()));
    } else {
        report.say(format_args!("\n{page}"));
    }
    measured.check()
}

fn programs(rust: &Toolchain, config: &Config, place: &Place, report: Report) -> Result<Programs> {
    let nginx = nginx::find_or_install(config, report).map_err(|error| format!("{error:#}"));
    if let Err(why) = &nginx {
        report.warn(format_args!("NOT RUN: nginx, beside which the gateway is to be measured: {why}"));
    }
    report.during("building gateway and bench: as released, cold about 10 min", || {
        let mut cargo = rust.cargo();
        cargo.args([
            "build",
            "--profile",
            "production",
            "--locked",
            "--package",
            "gateway",
            "--package",
            "bench",
        ]);
        process::run_within(cargo.current_dir(&place.root), BUILD_LIMIT)
    })?;
    let built = place.target.join("production");
    Ok(Programs { gateway: built.join("latchkey-gateway"), bench: built.join("latchkey-bench"), nginx })
}

fn measure(
    options: &Options,
    programs: &Programs,
    postgres: &Postgres,
    place: &Place,
    report: Report,
) -> Result<Option<Measurement>> {
    cores::share(postgres.pid().context("PostgreSQL has gone")?)?;
    let folder = place.private.join("bench");
    let mut scene = Scene::set(options.million, programs, postgres, &folder, place, report)?;
    let measured = if options.hold {
        hold(&mut scene, report)
    } else {
        measure::run(&Length::of(options), &mut scene, &programs.bench, postgres, report).map(Some)
    };
    scene.stop(report);
    for database in scene.databases() {
        postgres.drop_database(database)?;
    }
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    measured
}

/// Says who answers where, and waits to be told to stop.
fn hold(scene: &mut Scene, report: Report) -> Result<Option<Measurement>> {
    for Stand { target, port, pid, secrets, .. } in &scene.stands {
        let secrets = secrets.display();
        report.say(format_args!("{target}: http://127.0.0.1:{port}, pid {pid}, secrets in {secrets}"));
    }
    report.say("nothing is measured; Ctrl-C ends it");
    while !interrupt::seen() {
        scene.check()?;
        thread::sleep(Duration::from_millis(200));
    }
    Ok(None)
}
