//! Where the machine keeps PostgreSQL's programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{config::Config, process, toolchain::on_path};

/// The oldest major version that will do.
pub const OLDEST: u32 = 15;

/// A folder with `initdb`, `postgres`, `pg_ctl` and `psql`.
#[derive(Clone, Debug)]
pub struct Binaries {
    pub dir: PathBuf,
}

impl Binaries {
    /// Debian's newest, else where `pg_config` says, else where `PATH` leads.
    pub fn find(config: &Config) -> Option<Self> {
        let told = on_path(&config.path, "pg_config")
            .and_then(|ask| process::output(Command::new(ask).arg("--bindir")).ok());
        let on_path = on_path(&config.path, "initdb").and_then(|found| found.parent().map(Path::to_owned));
        let candidates = debians().into_iter().chain(told.map(PathBuf::from)).chain(on_path);
        candidates.filter(|dir| is_complete(dir)).map(|dir| Self { dir }).find(Self::is_recent)
    }

    /// The schema needs `UNIQUE NULLS NOT DISTINCT`.
    fn is_recent(&self) -> bool {
        self.major().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= OLDEST)
    }

    /// Those of a major version, for a cluster that an older PostgreSQL made.
    pub fn of_major(&self, major: &str) -> Option<Self> {
        let beside = self.dir.parent()?.parent()?.join(major).join("bin");
        is_complete(&beside).then_some(Self { dir: beside })
    }

    /// The major version, as a cluster's `PG_VERSION` has it.
    pub fn major(&self) -> Option<String> {
        let told = process::output(Command::new(self.dir.join("postgres")).arg("--version")).ok()?;
        crate::toolchain::Version::in_text(&told).map(|version| version.major().to_string())
    }

    pub fn describe(&self) -> String {
        format!("PostgreSQL {} in {}", self.major().unwrap_or_default(), self.dir.display())
    }
}

/// Newest first.
fn debians() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut majors: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.into_iter().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))).collect()
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl", "psql"].iter().all(|program| dir.join(program).exists())
}
