//! Every command of the repository: `cargo xtask dev | test | check | bench | db | doctor`.
//!
//! Gets what a machine lacks, builds, starts, tests. What the product does is in the other crates.

mod apt;
mod bench;
mod check;
mod command;
mod compile;
mod config;
mod db;
mod dev;
mod doctor;
mod http;
mod interrupt;
mod node;
mod place;
mod port;
mod postgres;
mod process;
mod report;
mod secrets;
mod size;
mod stack;
mod suite;
mod test;
mod toolchain;
mod tools;

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use command::{Command, Db};
use config::Config;
use place::Place;
use postgres::{Kind, Postgres};
use report::Report;
use suite::Summary;
use toolchain::Toolchain;

fn main() -> ExitCode {
    let config = Config::from_environment();
    let report = Report::new(config.no_colour);
    let asked = match Command::parse() {
        Ok(asked) => asked,
        Err(error) => {
            report.bad(format_args!("{error:#}\n\n{}", command::HELP));
            return ExitCode::from(2);
        }
    };
    // `test` has said what failed, and its last line is the count.
    let is_test = matches!(asked, Command::Test(_));
    match run(asked, &config, report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !is_test {
                report.bad(format_args!("{error:#}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(asked: Command, config: &Config, report: Report) -> Result<()> {
    let place = Place::new(config)?;
    match asked {
        Command::Help => report.say(command::HELP),
        Command::Dev(options) => return dev::run(&options, config, &place, report),
        Command::Test(options) => return test::run(&options, config, &place, report),
        Command::Bench(options) => return bench::run(&options, config, &place, report),
        Command::Check => return check(config, &place, report),
        Command::Doctor => return doctor::run(config, &place, report),
        Command::Db(Db::Start(kind)) => return db::start(kind, config, &place, report),
        Command::Db(Db::Stop(kind)) => return db::stop(kind, config, &place, report),
        Command::Db(Db::Url(kind)) => return db::url(kind, config, &place, report),
        Command::Db(Db::Prepare { check }) => return prepare(check, config, &place, report),
    }
    Ok(())
}

fn check(config: &Config, place: &Place, report: Report) -> Result<()> {
    interrupt::watch()?;
    let began = Instant::now();
    let rust = Toolchain::find_or_install(config, place, report)?;
    let mut summary = Summary::default();
    let done = summary.run(check::steps(&rust, place, &config.path), report);
    summary.print(done.is_ok(), began.elapsed(), report);
    done
}

fn prepare(check: bool, config: &Config, place: &Place, report: Report) -> Result<()> {
    interrupt::watch()?;
    let rust = Toolchain::find_or_install(config, place, report)?;
    let postgres = Postgres::start(Kind::Test, config, place, report)?;
    let done = db::prepare(check, &rust, &postgres, place, report);
    done.and(postgres.stop())
}
