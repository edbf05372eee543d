//! The whole product with a database of its own on free ports, and the browser specs against it.

use std::{
    fs,
    io::ErrorKind,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Bench, chromium};
use crate::{
    compile::Front,
    dev, port, process,
    secrets::Secrets,
    stack::{
        Output, Stack,
        environment::{self, Ports, Settings, Upstream},
    },
};

const SPECS_LIMIT: Duration = Duration::from_mins(30);

/// Runs every Playwright spec of `end2end/`.
pub fn in_browser(bench: Bench<'_>) -> Result<()> {
    let chromium = chromium::find_or_install(bench.config, bench.report)?;
    with_product(bench, "latchkey_browser", |settings, demo_key| {
        let mut specs = Command::new(bench.place.node_bin().join("playwright"));
        specs.args(["test", "--config", "end2end/playwright.config.ts"]).current_dir(&bench.place.root);
        specs.envs(environment::specs(settings, demo_key)).env("CHROMIUM", &chromium).stdin(Stdio::null());
        process::run_within(&mut specs, SPECS_LIMIT)
    })
}

/// Starts everything, runs `work` with the settings and the demo key, stops everything.
pub fn with_product(
    bench: Bench<'_>,
    database: &str,
    work: impl FnOnce(&Settings, &str) -> Result<()>,
) -> Result<()> {
    let programs = bench.workshop.programs()?;
    let settings = settings(bench, database)?;
    bench.postgres.fresh_database(database)?;
    forget_spool(&settings)?;
    dev::migrate(&programs, &settings)?;
    bench.postgres.let_programs_in()?;
    let demo_key = dev::seed(&programs, &settings)?.context("seed_demo made no key in an empty database")?;
    let output = Output::Files(bench.logs().join(database));
    let mut stack = Stack::start(&settings, &programs, None, &output, bench.report)?;
    let done = work(&settings, &demo_key);
    // A service that died says more than the spec that missed it.
    let alive = stack.check();
    stack.stop(bench.report);
    alive.and(done)?;
    bench.postgres.drop_database(database)
}

/// What a run that was broken off has left there belongs to a database that is gone.
fn forget_spool(settings: &Settings) -> Result<()> {
    let spool = &settings.spool;
    match fs::remove_dir_all(spool) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", spool.display()))
        }
        _ => Ok(()),
    }
}

/// The release build of what the browser loads, the debug build of what serves it.
fn settings(bench: Bench<'_>, database: &str) -> Result<Settings> {
    Ok(Settings {
        ports: Ports {
            console: port::any_free()?,
            gateway: port::any_free()?,
            inbox: port::any_free()?,
            smtp: port::any_free()?,
            upstream: port::any_free()?,
        },
        databases: dev::urls(bench.postgres, database),
        secrets: Secrets::load_or_make(bench.place)?,
        upstream: Upstream::Demo,
        spool: bench.place.private.join(format!("spool-{database}")),
        site: bench.workshop.front(Front::Release)?,
        new_account_billing: "invoiced",
        // Both spec projects act as operators at once, each in a browser of its own.
        operators: "scripts@operator.example,no-scripts@operator.example,accessibility@operator.example",
    })
}
