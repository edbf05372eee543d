//! On what it was measured, and with which programs.

use std::{fs, process::Command, thread};

use anyhow::{Context, Result};

use super::Programs;
use crate::{postgres::Postgres, process, report::Report, toolchain::Toolchain};

/// More than this and somebody else is working here, too.
const QUIET: f64 = 1.0;

/// What a reader of the figures must know.
#[derive(Debug)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gb: u64,
    pub system: String,
    pub rust: String,
    pub postgres: String,
    /// `None` where there is none.
    pub nginx: Option<String>,
    pub commit: String,
    pub date: String,
    /// Programs that ran or wanted to, on average, in the minute before.
    pub load: f64,
}

impl Machine {
    pub fn read(rust: &Toolchain, programs: &Programs, postgres: &Postgres) -> Result<Self> {
        let cpuinfo = read("/proc/cpuinfo")?;
        let kilobytes = after(&read("/proc/meminfo")?, "MemTotal:")
            .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok());
        let release = read("/etc/os-release").unwrap_or_default();
        let system =
            after(&release, "PRETTY_NAME=").map_or_else(|| "Linux".to_owned(), |s| s.replace('"', ""));
        let nginx = programs.nginx.as_ref().ok().map(|program| {
            // It says so on standard error.
            let told = Command::new(program).arg("-v").output().map(|told| told.stderr).unwrap_or_default();
            String::from_utf8_lossy(&told).trim().replace("nginx version: ", "")
        });
        Ok(Self {
            processor: after(&cpuinfo, "model name").map_or_else(
                || std::env::consts::ARCH.to_owned(),
                |name| name.trim_start_matches(':').trim().to_owned(),
            ),
            cores: thread::available_parallelism()?.get(),
            memory_gb: kilobytes.unwrap_or_default() / 1_048_576,
            system: format!("{system}, Linux {}", read("/proc/sys/kernel/osrelease")?.trim()),
            rust: rust.version.to_string(),
            postgres: postgres.ask("postgres", "SHOW server_version")?,
            nginx,
            commit: process::output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))
                .unwrap_or_else(|_| "unknown".to_owned()),
            date: process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?,
            load: load()?,
        })
    }

    /// Figures of a busy machine are no record.
    pub fn warn_if_busy(&self, report: Report) {
        let load = load().unwrap_or(self.load);
        if load > QUIET {
            report.warn(format_args!(
                "the load average is {load}: something else is working here, and the figures will show it"
            ));
        }
    }
}

fn load() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split_whitespace().next().context("/proc/loadavg is empty")?.parse().context("/proc/loadavg")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The rest of the first line that begins so.
fn after(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_beginning() {
        assert_eq!(after("a: 1\nMemTotal:   24 kB\n", "MemTotal:").as_deref(), Some("24 kB"));
        assert_eq!(after("a: 1", "b"), None);
        assert!(load().unwrap() >= 0.0);
    }
}
