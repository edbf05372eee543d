//! A private PostgreSQL from the machine's own binaries: made, started, stopped, asked.
//!
//! Two of them: one keeps the developer's data, one without fsync is for tests. Each listens on a Unix socket in a
//! short folder of its own and on one loopback port.

mod binaries;
mod cluster;
mod owner;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    apt,
    config::Config,
    place::Place,
    process,
    report::{Report, duration},
    secrets::Secrets,
};
use binaries::Binaries;
use owner::Owner;

/// The cluster's superuser, who owns what the migrations make.
const SUPERUSER: &str = "latchkey_owner";
/// The roles that the migrations make, each for one program.
pub const CONSOLE_ROLE: &str = "latchkey_console";
pub const GATEWAY_ROLE: &str = "latchkey_gateway";

/// Where sqlx notes what it has applied; a migration may refer to it.
const SQLX_RECORD: &str = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL, \
    installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, \
    execution_time bigint NOT NULL)";

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keeps what the developer made.
    Development,
    /// May lose everything in a power cut, and is faster for it.
    Test,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Development => "postgres",
            Self::Test => "postgres-test",
        }
    }

    fn is_durable(self) -> bool {
        self == Self::Development
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Postgres {
    cluster: cluster::Cluster,
    port: u16,
    password: String,
    /// Whether it is ours to stop: one that ran before we came goes on.
    started_here: bool,
}

impl Postgres {
    /// Starts the cluster, makes it first if need be, gets PostgreSQL itself if the machine has none.
    pub fn start(kind: Kind, config: &Config, place: &Place, report: Report) -> Result<Self> {
        let binaries = find_or_install(config, report)?;
        place.make_private()?;
        let password = Secrets::load_or_make(place)?.database;
        let cluster = cluster::Cluster::new(kind, binaries, config, place)?;
        let began = std::time::Instant::now();
        cluster.make_if_missing(&password)?;
        let (port, started_here) = cluster.start_if_stopped()?;
        report.good(format_args!("PostgreSQL on port {port} ({})", duration(began.elapsed())));
        Ok(Self { cluster, port, password, started_here })
    }

    /// The cluster as it runs, if it does.
    pub fn running(kind: Kind, config: &Config, place: &Place) -> Result<Option<Self>> {
        let Some(binaries) = Binaries::find(config) else { return Ok(None) };
        let cluster = cluster::Cluster::new(kind, binaries, config, place)?;
        let Some(port) = cluster.running_port() else { return Ok(None) };
        let password = Secrets::load_or_make(place)?.database;
        Ok(Some(Self { cluster, port, password, started_here: false }))
    }

    /// Stops it if we started it.
    pub fn stop(&self) -> Result<()> {
        if self.started_here { self.cluster.stop() } else { Ok(()) }
    }

    /// Stops it whoever started it; whether it ran.
    pub fn stop_if_running(kind: Kind, config: &Config, place: &Place) -> Result<bool> {
        match Self::running(kind, config, place)? {
            Some(postgres) => postgres.cluster.stop().map(|()| true),
            None => Ok(false),
        }
    }

    /// What a program's `DATABASE_URL` must be to be `role` in `database`.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, database)
    }

    /// Makes `database` unless it is there; whether it had to.
    pub fn ensure_database(&self, database: &str) -> Result<bool> {
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{database}'");
        let is_new = self.ask("postgres", &exists)?.is_empty();
        if is_new {
            self.ask("postgres", &format!("CREATE DATABASE \"{database}\""))?;
        }
        Ok(is_new)
    }

    /// Makes `database` anew, empty.
    pub fn fresh_database(&self, database: &str) -> Result<()> {
        self.drop_database(database)?;
        self.ensure_database(database).map(drop)
    }

    pub fn drop_database(&self, database: &str) -> Result<()> {
        self.ask("postgres", &format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)")).map(drop)
    }

    /// Gives the programs' roles, which the migrations make without one, the cluster's password.
    pub fn let_programs_in(&self) -> Result<()> {
        for role in [CONSOLE_ROLE, GATEWAY_ROLE] {
            self.ask("postgres", &format!("ALTER ROLE {role} LOGIN PASSWORD '{}'", self.password))?;
        }
        Ok(())
    }

    /// Runs the migration files in order, without any program of ours: for when none can be compiled yet.
    pub fn apply_migrations(&self, database: &str, folder: &Path) -> Result<()> {
        self.ask(database, SQLX_RECORD)?;
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut files: Vec<PathBuf> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "sql"));
        files.sort();
        for file in files {
            let mut psql = self.psql(database);
            process::output(psql.arg("-f").arg(&file))
                .with_context(|| format!("migration {}", file.display()))?;
        }
        Ok(())
    }

    /// Runs SQL as the superuser; what it answers, without any frame.
    pub fn ask(&self, database: &str, sql: &str) -> Result<String> {
        process::output(self.psql(database).args(["-c", sql]))
    }

    /// Fills `table` (with its columns) from a file of comma-separated values.
    pub fn copy_from(&self, database: &str, table: &str, file: &Path) -> Result<()> {
        let rows = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let copy = format!("COPY {table} FROM STDIN (FORMAT csv)");
        process::run(self.psql(database).args(["-c", &copy]).stdin(rows))
    }

    /// The cluster's first process, parent of all others.
    pub fn pid(&self) -> Option<u32> {
        self.cluster.running_pid()
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.cluster.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database]);
        psql.arg("-h")
            .arg(self.cluster.socket_dir())
            .arg("-p")
            .arg(self.port.to_string())
            .stdin(Stdio::null());
        psql
    }
}

fn find_or_install(config: &Config, report: Report) -> Result<Binaries> {
    if let Some(found) = Binaries::find(config) {
        return Ok(found);
    }
    apt::install(&["postgresql"], "the database, about 1 min", config, report)?;
    Binaries::find(config).context("PostgreSQL was installed, and yet there is none of version 15 or newer")
}

/// Whether the machine has PostgreSQL, and which, for `doctor`.
pub fn found(config: &Config) -> Option<String> {
    Binaries::find(config).map(|found| found.describe())
}
