//! `cargo xtask test`: everything there is to test, in the order in which a mistake shows soonest.

pub mod chromium;
mod clients;
mod fuzz;
mod product;
pub mod python;
pub mod redis;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    check,
    compile::{Front, HOST, Workshop},
    config::Config,
    db, interrupt,
    place::Place,
    postgres::{Kind, Postgres},
    process,
    report::Report,
    size,
    suite::{Step, Summary},
};

/// `sqlx::test` makes its databases next to this one.
const DATABASE: &str = "latchkey_test";
/// A cold build on two busy cores, and the tests, take a third of this.
const LIMIT: Duration = Duration::from_mins(45);

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only steps of these names.
    pub only: Vec<String>,
    /// Name the steps, run none.
    pub list: bool,
    /// Also what takes long.
    pub long: bool,
}

/// Runs the suite; an error if anything failed. The last line printed is `N passed, N failed`.
pub fn run(options: &Options, config: &Config, place: &Place, report: Report) -> Result<()> {
    interrupt::watch()?;
    let began = Instant::now();
    let mut summary = Summary::default();
    let done = prepare_and_run(options, config, place, report, &mut summary);
    if let Err(error) = &done {
        report.bad(format_args!("{error:#}"));
    }
    if !options.list {
        summary.print(done.is_ok(), began.elapsed(), report);
    }
    done
}

fn prepare_and_run(
    options: &Options,
    config: &Config,
    place: &Place,
    report: Report,
    summary: &mut Summary,
) -> Result<()> {
    let _lock = place.lock("test")?;
    let workshop = Workshop::open(config, place, report)?;
    let postgres = Postgres::start(Kind::Test, config, place, report)?;
    postgres.ensure_database(DATABASE)?;
    let bench = Bench { config, place, report, workshop: &workshop, postgres: &postgres };
    let done = choose(bench.steps(), options, report).and_then(|steps| summary.run(steps, report));
    let stopped = postgres.stop();
    done.and(stopped)
}

/// Steps that run where they are asked for by name, or all that takes long is.
const LONG: [&str; 1] = ["fuzz"];

/// What every step may need.
#[derive(Clone, Copy)]
struct Bench<'a> {
    config: &'a Config,
    place: &'a Place,
    report: Report,
    workshop: &'a Workshop,
    postgres: &'a Postgres,
}

impl<'a> Bench<'a> {
    fn steps(self) -> Vec<Step<'a>> {
        let mut steps = check::steps(&self.workshop.rust, self.place, &self.config.path);
        steps.extend([
            Step::new("queries", "crates/store/.sqlx is what the queries need", move || self.queries()),
            Step::new("build", "every program and test", move || self.build()),
            Step::new("tests", "unit, property, database, console, gateway", move || self.tests()),
            Step::new("redis", "several gateways that share a real redis-server", move || redis::run(self))
                .unless(redis::out_of_reach(self.config)),
            Step::new("front", "the browser's files as users load them", move || self.front()),
            Step::new("size", "the first load is at most 180 kB", move || self.size()),
            Step::new("browser", "the product in Chromium", move || product::in_browser(self))
                .unless(chromium::out_of_reach(self.config)),
            Step::new(
                "clients",
                "the official OpenAI and Anthropic packages against the gateway",
                move || clients::run(self),
            )
            .unless(python::out_of_reach(self.config)),
            Step::new("fuzz", "parsers of what strangers send, a minute each (--long)", move || {
                fuzz::run(self)
            })
            .unless(fuzz::out_of_reach(self.config)),
        ]);
        steps
    }

    fn queries(self) -> Result<()> {
        db::prepare(true, &self.workshop.rust, self.postgres, self.place, self.report)
    }

    /// Apart from the tests, so that the time of each is known.
    fn build(self) -> Result<()> {
        let mut cargo = self.workshop.rust.cargo();
        cargo.arg("build").args(HOST).arg("--all-targets").current_dir(&self.place.root);
        process::run_within(&mut cargo, LIMIT)
    }

    fn tests(self) -> Result<()> {
        process::run_within(self.cargo_test().args(HOST), LIMIT)
    }

    /// `cargo test` with a database, for whatever arguments are added.
    fn cargo_test(self) -> Command {
        let mut cargo = self.workshop.rust.cargo();
        cargo.args(["test", "--no-fail-fast"]).current_dir(&self.place.root).stdin(Stdio::null());
        // A superuser: each test makes a database of its own, and the migrations make roles.
        cargo.env("DATABASE_URL", self.postgres.superuser_url(DATABASE));
        cargo.env("INSTA_UPDATE", "no");
        cargo
    }

    fn front(self) -> Result<()> {
        self.workshop.front(Front::Release).map(drop)
    }

    fn size(self) -> Result<()> {
        let site = self.workshop.front(Front::Release)?;
        size::check(&site.root, self.report)
    }

    fn logs(self) -> PathBuf {
        self.place.target.join("test-logs")
    }
}

/// All, or those named; or none, after listing them.
fn choose<'a>(steps: Vec<Step<'a>>, options: &Options, report: Report) -> Result<Vec<Step<'a>>> {
    if options.list {
        for step in &steps {
            report.say(format_args!("{:<12} {}", step.name, step.what));
        }
        return Ok(Vec::new());
    }
    if let Some(unknown) = options.only.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        bail!("there is no step {unknown:?}; `cargo xtask test --list` names them");
    }
    let wanted = |step: &Step<'_>| match options.only.as_slice() {
        [] => options.long || !LONG.contains(&step.name),
        named => named.iter().any(|name| name == step.name),
    };
    Ok(steps.into_iter().filter(wanted).collect())
}
