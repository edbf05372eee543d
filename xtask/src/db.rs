//! `cargo xtask db`: the clusters by hand, and the query data that sqlx's macros compile against.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    config::Config,
    place::Place,
    postgres::{Kind, Postgres},
    process,
    report::Report,
    toolchain::Toolchain,
};

const SCRATCH: &str = "latchkey_prepare";

/// Writes `crates/store/.sqlx` from the queries as they are, or compares it with them. The macros write the data
/// themselves while `store` is compiled against a database that has the migrations.
pub fn prepare(
    check: bool,
    rust: &Toolchain,
    postgres: &Postgres,
    place: &Place,
    report: Report,
) -> Result<()> {
    let committed = place.root.join("crates/store/.sqlx");
    let written = place.target.join("sqlx-prepare");
    empty(&written)?;
    postgres.fresh_database(SCRATCH)?;
    postgres.apply_migrations(SCRATCH, &place.root.join("migrations"))?;
    compile_store(rust, &postgres.superuser_url(SCRATCH), &written, place)?;
    postgres.drop_database(SCRATCH)?;
    if check {
        return compare(&committed, &written);
    }
    replace(&committed, &written)?;
    report.good(format_args!("{} queries in crates/store/.sqlx", names(&committed)?.len()));
    Ok(())
}

/// In a target folder of its own, where making cargo forget `store` costs nobody else a compilation.
fn compile_store(rust: &Toolchain, url: &str, written: &Path, place: &Place) -> Result<()> {
    let target = place.target.join("prepare");
    forget_store(&target.join("debug/.fingerprint"))?;
    let mut cargo = rust.cargo();
    cargo.args(["check", "--package", "store", "--all-targets", "--locked"]).current_dir(&place.root);
    cargo.env("CARGO_TARGET_DIR", target);
    cargo.env("DATABASE_URL", url).env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", written);
    process::run_within(&mut cargo, Duration::from_mins(20))
}

/// What cargo believes compiled it does not compile, and the macros would not run.
fn forget_store(fingerprints: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(fingerprints) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store-")) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn compare(committed: &Path, written: &Path) -> Result<()> {
    let (have, want) = (names(committed)?, names(written)?);
    let missing = want.iter().filter(|name| !have.contains(name)).count();
    let stale = have.iter().filter(|name| !want.contains(name)).count();
    let differing = want
        .iter()
        .filter(|name| have.contains(name))
        .filter(|name| differ(committed, written, name))
        .count();
    if missing + stale + differing > 0 {
        bail!(
            "crates/store/.sqlx is not what the queries need ({missing} missing, {stale} stale, {differing} changed); \
             run `cargo xtask db prepare` and commit it"
        );
    }
    Ok(())
}

fn differ(committed: &Path, written: &Path, name: &str) -> bool {
    let read = |folder: &Path| fs::read(folder.join(name)).ok();
    read(committed) != read(written)
}

fn replace(committed: &Path, written: &Path) -> Result<()> {
    empty(committed)?;
    for name in names(written)? {
        fs::copy(written.join(&name), committed.join(&name))?;
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.starts_with("query-"));
    Ok(names)
}

/// Starts a cluster and leaves it running.
pub fn start(kind: Kind, config: &Config, place: &Place, report: Report) -> Result<()> {
    let postgres = Postgres::start(kind, config, place, report)?;
    postgres.ensure_database(database(kind))?;
    report.say(postgres.superuser_url(database(kind)));
    Ok(())
}

pub fn stop(kind: Kind, config: &Config, place: &Place, report: Report) -> Result<()> {
    let was_running = Postgres::stop_if_running(kind, config, place)?;
    report.say(if was_running { "stopped" } else { "it was not running" });
    Ok(())
}

/// Prints the superuser's URL alone, for `DATABASE_URL=$(cargo xtask db url)`.
pub fn url(kind: Kind, config: &Config, place: &Place, report: Report) -> Result<()> {
    match Postgres::running(kind, config, place)? {
        Some(postgres) => report.say(postgres.superuser_url(database(kind))),
        None => bail!("the cluster is not running; `cargo xtask db start` starts it"),
    }
    Ok(())
}

fn database(kind: Kind) -> &'static str {
    match kind {
        Kind::Development => "latchkey",
        Kind::Test => "latchkey_test",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_stale_and_changed_queries_are_told_apart() {
        let root = std::env::temp_dir().join(format!("latchkey-sqlx-{}", std::process::id()));
        let (a, b) = (root.join("a"), root.join("b"));
        empty(&a).unwrap();
        empty(&b).unwrap();
        for (folder, name, text) in
            [(&a, "query-1", "x"), (&b, "query-1", "y"), (&a, "query-2", ""), (&b, "query-3", "")]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        let told = compare(&a, &b).unwrap_err().to_string();
        replace(&a, &b).unwrap();
        let after = compare(&a, &b);
        fs::remove_dir_all(&root).unwrap();
        assert!(told.contains("1 missing, 1 stale, 1 changed"), "{told}");
        after.unwrap();
    }
}
