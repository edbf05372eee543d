//! Everything that runs during a measurement, on loopback and free ports: the upstream, the proxies, the gateways.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{
    Programs,
    case::Target,
    cores::{self, Core},
    cost, nginx, seed,
};
use crate::{
    http, interrupt,
    place::Place,
    port,
    postgres::{GATEWAY_ROLE, Postgres},
    report::{Report, duration},
    secrets::Secrets,
    stack::{Output, Service},
};

/// A gateway reads a million keys first.
const READY_WITHIN: Duration = Duration::from_mins(3);
const THOUSAND: u32 = 1_000;
const MILLION: u32 = 1_000_000;

/// Running programs, in the order of their start.
#[derive(Debug)]
pub struct Scene {
    services: Vec<Service>,
    pub stands: Vec<Stand>,
    pub gateways: Vec<Gateway>,
    pub upstream: u16,
}

/// Somebody who answers.
#[derive(Clone, Debug)]
pub struct Stand {
    pub target: Target,
    pub port: u16,
    pub pid: u32,
    /// Where the files of secrets lie.
    pub secrets: PathBuf,
    /// Which of the gateways, if it is one.
    pub gateway: Option<usize>,
}

/// A gateway with a database of its own.
#[derive(Debug)]
pub struct Gateway {
    pub database: &'static str,
    pub keys: u32,
    pub metrics: u16,
    /// From its start until it took requests.
    pub ready_after: Duration,
    /// Memory before its first request, in kB.
    pub idle_memory: u64,
}

/// What starting needs.
struct Stage<'a> {
    programs: &'a Programs,
    postgres: &'a Postgres,
    folder: &'a Path,
    place: &'a Place,
    output: Output,
    report: Report,
}

impl Scene {
    /// Starts everything and waits until it answers.
    pub fn set(
        million: bool,
        programs: &Programs,
        postgres: &Postgres,
        folder: &Path,
        place: &Place,
        report: Report,
    ) -> Result<Self> {
        seed::forget(folder)?;
        std::fs::create_dir_all(folder)?;
        let output = Output::Files(place.target.join("bench-logs"));
        let stage = Stage { programs, postgres, folder, place, output, report };
        let upstream = port::any_free()?;
        let mut scene = Self { services: Vec::new(), stands: Vec::new(), gateways: Vec::new(), upstream };
        scene.start_proxies(&stage)?;
        scene.start_gateway(&stage, "latchkey_bench", THOUSAND, &[Target::Bare, Target::Full])?;
        if million {
            scene.start_gateway(&stage, "latchkey_bench_million", MILLION, &[Target::Million])?;
        }
        Ok(scene)
    }

    fn start_proxies(&mut self, stage: &Stage<'_>) -> Result<()> {
        let secrets = stage.folder.join("latchkey_bench");
        let mut stand = |target, port, pid| {
            self.stands.push(Stand { target, port, pid, secrets: secrets.clone(), gateway: None });
        };
        let upstream = self.upstream;
        let mut command = cores::command(Core::Shared, &stage.programs.bench);
        command.args(["upstream", "--listen", &at(upstream)]);
        let service = Service::spawn("upstream", command, &stage.output)?;
        stand(Target::Direct, upstream, service.id());
        self.services.push(service);
        if let Ok(program) = &stage.programs.nginx {
            let port = port::any_free()?;
            let command = nginx::command(program, port, upstream, &stage.folder.join("nginx"))?;
            let service = Service::spawn("nginx", command, &stage.output)?;
            stand(Target::Nginx, port, service.id());
            self.services.push(service);
        }
        let port = port::any_free()?;
        let mut command = cores::command(Core::Measured, &stage.programs.bench);
        command.args(["floor", "--listen", &at(port), "--upstream", &at(upstream)]);
        let service = Service::spawn("floor", command, &stage.output)?;
        stand(Target::Floor, port, service.id());
        self.services.push(service);
        for stand in self.stands.clone() {
            self.wait(&stand.target.to_string(), stand.port, "/healthz")?;
        }
        Ok(())
    }

    fn start_gateway(
        &mut self,
        stage: &Stage<'_>,
        database: &'static str,
        keys: u32,
        targets: &[Target],
    ) -> Result<()> {
        let secrets = stage.folder.join(database);
        stage.report.during(&format!("making {keys} keys"), || {
            seed::fill(database, keys, &stage.programs.bench, &secrets, stage.postgres, stage.place)
        })?;
        let (port, metrics) = (port::any_free()?, port::any_free()?);
        let command = gateway_command(stage, database, port, metrics, self.upstream)?;
        let name = if keys == MILLION { "gateway-million" } else { "gateway" };
        let began = Instant::now();
        let service = Service::spawn(name, command, &stage.output)?;
        let pid = service.id();
        self.services.push(service);
        self.wait(name, port, "/readyz")?;
        let ready_after = began.elapsed();
        stage.report.good(format_args!("{name} with {keys} keys is ready ({})", duration(ready_after)));
        let gateway = Some(self.gateways.len());
        let idle_memory = cost::memory(pid)?;
        self.gateways.push(Gateway { database, keys, metrics, ready_after, idle_memory });
        self.stands.extend(targets.iter().map(|target| Stand {
            target: *target,
            port,
            pid,
            secrets: secrets.clone(),
            gateway,
        }));
        Ok(())
    }

    fn wait(&mut self, name: &str, port: u16, path: &str) -> Result<()> {
        http::wait_until_ready(name, port, path, READY_WITHIN, || {
            if interrupt::seen() {
                bail!("interrupted");
            }
            self.check()
        })
    }

    /// An error that names the first program that ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.services.iter_mut().try_for_each(Service::check)
    }

    pub fn databases(&self) -> impl Iterator<Item = &'static str> {
        self.gateways.iter().map(|gateway| gateway.database)
    }

    /// Last started, first stopped: a gateway writes its last records while its upstream is there.
    pub fn stop(&mut self, report: Report) {
        while let Some(mut service) = self.services.pop() {
            if service.is_running() {
                report.say(format_args!("stopping {}", service.name()));
            }
            service.stop();
        }
    }
}

fn gateway_command(
    stage: &Stage<'_>,
    database: &str,
    port: u16,
    metrics: u16,
    upstream: u16,
) -> Result<Command> {
    let secrets = Secrets::load_or_make(stage.place)?;
    let mut command = cores::command(Core::Measured, &stage.programs.gateway);
    command
        .env("DATABASE_URL", stage.postgres.url(GATEWAY_ROLE, database))
        .env("LISTEN_ADDR", at(port))
        .env("METRICS_ADDR", at(metrics))
        .env("GATEWAY_NAME", database)
        .env("KEY_PEPPER", secrets.key_pepper)
        .env("UPSTREAM_URL", format!("http://{}/v1", at(upstream)))
        .env("UPSTREAM_API_KEY", secrets.upstream)
        .env("SPOOL_DIR", stage.folder.join(format!("spool-{database}")));
    Ok(command)
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
