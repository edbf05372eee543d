//! The database of a gateway under measurement: a scratch one, with real keys.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{place::Place, postgres::Postgres, process, secrets::Secrets};

/// Keys with every rule and limit.
const FULL: u32 = 1_000;
/// Revoked ones, and as many that nobody has made.
const REVOKED: u32 = 1_000;
const KEYS_TABLE: &str = "CREATE UNLOGGED TABLE bench_keys \
    (id uuid NOT NULL DEFAULT gen_random_uuid(), kind text, public_id text, digest bytea, last4 text)";

/// Makes `database` anew with `bare` keys and those above; their secrets lie in `folder` afterwards.
pub fn fill(
    database: &str,
    bare: u32,
    bench: &Path,
    folder: &Path,
    postgres: &Postgres,
    place: &Place,
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    make_keys(bare, bench, folder, place)?;
    let migrations = place.root.join("migrations");
    postgres.fresh_database(database)?;
    postgres.apply_migrations(database, &migrations)?;
    postgres.let_programs_in()?;
    note_migrations(database, &migrations, postgres)?;
    postgres.ask(database, KEYS_TABLE)?;
    let table = folder.join("keys.csv");
    postgres.copy_from(database, "bench_keys (kind, public_id, digest, last4)", &table)?;
    postgres.ask(database, include_str!("seed.sql"))?;
    // In the middle of a round it would be in somebody's figures.
    postgres.ask(database, "VACUUM (ANALYZE)")?;
    fs::remove_file(&table).context("cannot remove the table of keys")
}

/// Removes what a run that was broken off has left.
pub fn forget(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn make_keys(bare: u32, bench: &Path, folder: &Path, place: &Place) -> Result<()> {
    let [bare, full, revoked] = [bare, FULL, REVOKED].map(|count| count.to_string());
    let mut keys = Command::new(bench);
    keys.args(["keys", "--bare", &bare, "--full", &full, "--revoked", &revoked, "--folder"]).arg(folder);
    keys.env("KEY_PEPPER", Secrets::load_or_make(place)?.key_pepper).stdin(Stdio::null());
    process::run(&mut keys)
}

/// As `latchkey migrate` would have: the gateway waits for the last one it knows.
fn note_migrations(database: &str, folder: &Path, postgres: &Postgres) -> Result<()> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.split_once('_')?.0.parse().ok());
    let last: u32 = numbers.max().context("there are no migrations")?;
    let note = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ({last}, 'bench', true, '', 0)"
    );
    postgres.ask(database, &note).map(drop)
}
