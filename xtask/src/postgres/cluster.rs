//! One cluster on disk: made by initdb, started and stopped by `pg_ctl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{Binaries, Kind, Owner, SUPERUSER};
use crate::{
    config::Config,
    place::{Place, short_hash},
    port, process,
};

#[derive(Debug)]
pub struct Cluster {
    kind: Kind,
    binaries: Binaries,
    owner: Owner,
    data: PathBuf,
    /// Unix socket paths have some 100 characters, a repository's path may have more.
    sockets: PathBuf,
    log: PathBuf,
    remembered_port: PathBuf,
}

impl Cluster {
    pub fn new(kind: Kind, binaries: Binaries, config: &Config, place: &Place) -> Result<Self> {
        let owner = Owner::choose()?;
        let name = kind.folder();
        let data = data_dir(owner, &place.private.join(name), name)?;
        let sockets = config.runtime_dir.clone().filter(|_| matches!(owner, Owner::Us));
        let sockets = sockets.unwrap_or_else(|| PathBuf::from("/tmp"));
        Ok(Self {
            kind,
            binaries: matching(binaries, &data)?,
            owner,
            sockets: sockets.join(format!("latchkey-{}", short_hash(&data))),
            log: data.join("server.log"),
            remembered_port: place.private.join(format!("{name}.port")),
            data,
        })
    }

    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// One of PostgreSQL's programs, run as ourselves.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.dir.join(name));
        // Some other server's defaults must not lead it astray.
        for variable in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE", "PGOPTIONS"] {
            command.env_remove(variable);
        }
        command.current_dir("/");
        command
    }

    fn program_as_owner(&self, name: &str) -> Command {
        let mut command = self.program(name);
        self.owner.run_as(&mut command);
        command
    }

    /// Runs initdb unless it has been run.
    pub fn make_if_missing(&self, password: &str) -> Result<()> {
        self.owner.make_own_dir(&self.data)?;
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let mut initdb = self.program_as_owner("initdb");
        initdb.arg("-D").arg(&self.data).args(["-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]);
        // The socket's folder is ours alone; the port is everybody's on this machine.
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"]);
        self.owner.make_own_dir(&self.sockets)?;
        let password_file = self.owner.write_own_file(&self.sockets.join("password"), password)?;
        initdb.arg("--pwfile").arg(&password_file);
        if !self.kind.is_durable() {
            initdb.arg("--no-sync");
        }
        let tried = process::output(&mut initdb);
        fs::remove_file(&password_file).context("cannot remove the password file")?;
        if tried.is_err() {
            // Half a cluster would be taken for a whole one.
            let _ = fs::remove_dir_all(&self.data);
        }
        tried.map(drop)
    }

    /// Its port, and whether we started it.
    pub fn start_if_stopped(&self) -> Result<(u16, bool)> {
        if let Some(port) = self.running_port() {
            return Ok((port, false));
        }
        self.owner.make_own_dir(&self.sockets)?;
        let port = self.choose_port()?;
        let sync = if self.kind.is_durable() {
            ""
        } else {
            " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        };
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=200{sync}",
            self.sockets.display()
        );
        let mut start = self.program_as_owner("pg_ctl");
        start.arg("start").args(["-w", "-s", "-t", "60", "-o", &options]).arg("-D").arg(&self.data);
        start.arg("-l").arg(&self.log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !start.status().context("cannot start pg_ctl")?.success() {
            bail!("PostgreSQL did not start:\n{}", self.last_words());
        }
        fs::write(&self.remembered_port, port.to_string())?;
        Ok((port, true))
    }

    pub fn stop(&self) -> Result<()> {
        let mut stop = self.program_as_owner("pg_ctl");
        stop.arg("stop").args(["-w", "-s", "-m", "fast", "-t", "30"]).arg("-D").arg(&self.data);
        process::output(&mut stop).map(drop)
    }

    /// The port it listens on, if it runs.
    pub fn running_port(&self) -> Option<u16> {
        let mut status = self.program_as_owner("pg_ctl");
        if !process::succeeds(status.arg("status").arg("-D").arg(&self.data)) {
            return None;
        }
        fs::read_to_string(self.pid_file()).ok()?.lines().nth(3)?.trim().parse().ok()
    }

    /// Its first process, if it runs.
    pub fn running_pid(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    /// The process in the first line, the port in the fourth.
    fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// The port of last time, so that a database tool's bookmark stays right; else any.
    fn choose_port(&self) -> Result<u16> {
        let last = fs::read_to_string(&self.remembered_port).ok().and_then(|text| text.trim().parse().ok());
        match last.filter(|port| port::is_free(*port)) {
            Some(port) => Ok(port),
            None => port::any_free(),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// In the repository, or in the system's folder for such data where the owner cannot reach the repository.
fn data_dir(owner: Owner, wanted: &Path, name: &str) -> Result<PathBuf> {
    if owner.can_reach(wanted) {
        return Ok(wanted.to_owned());
    }
    let elsewhere = Path::new("/var/lib/latchkey");
    fs::create_dir_all(elsewhere).with_context(|| format!("cannot make {}", elsewhere.display()))?;
    Ok(elsewhere.join(format!("{name}-{}", short_hash(&wanted))))
}

/// The programs of the version that made the data, if there is data.
fn matching(binaries: Binaries, data: &Path) -> Result<Binaries> {
    let Ok(made_by) = fs::read_to_string(data.join("PG_VERSION")) else { return Ok(binaries) };
    let made_by = made_by.trim();
    if binaries.major().as_deref() == Some(made_by) {
        return Ok(binaries);
    }
    binaries.of_major(made_by).with_context(|| {
        format!(
            "{} was made by PostgreSQL {made_by}, which is not here; remove that folder to begin anew",
            data.display()
        )
    })
}
