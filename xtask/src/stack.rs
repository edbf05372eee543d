//! The whole of Latchkey on one machine: mail sink, demo upstream, console, gateway. Started in order, watched,
//! stopped in the opposite order. The database is `postgres`'s.

pub mod environment;
mod service;

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::{
    compile::Programs,
    http, interrupt,
    report::Report,
    stack::environment::{Ports, Settings},
};
pub use service::{Output, Service};

/// From a program's start to its first 200. Generous: a busy machine is slow, a broken one says so itself.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// `cargo leptos watch` compiles before it starts the console.
const COMPILED_WITHIN: Duration = Duration::from_mins(20);

/// Running services, in the order of their start.
#[derive(Debug, Default)]
pub struct Stack {
    services: Vec<Service>,
}

impl Stack {
    /// Starts everything and waits until it answers. What was started is stopped again if something fails.
    /// `watcher` builds and restarts the console by itself and takes its place.
    pub fn start(
        settings: &Settings,
        programs: &Programs,
        watcher: Option<Command>,
        output: &Output,
        report: Report,
    ) -> Result<Self> {
        let mut stack = Self::default();
        match stack.start_all(settings, programs, watcher, output) {
            Ok(()) => Ok(stack),
            Err(error) => {
                stack.stop(report);
                Err(error)
            }
        }
    }

    fn start_all(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        watcher: Option<Command>,
        output: &Output,
    ) -> Result<()> {
        let Ports { console, gateway, inbox, .. } = settings.ports;
        self.spawn("services", services(&programs.services, settings), output)?;
        self.wait("the mail sink", inbox, "/healthz", READY_WITHIN)?;
        let patience = if watcher.is_some() { COMPILED_WITHIN } else { READY_WITHIN };
        let mut command = watcher.unwrap_or_else(|| Command::new(&programs.console));
        command.envs(environment::console(settings));
        self.spawn("console", command, output)?;
        let mut command = Command::new(&programs.gateway);
        command.envs(environment::gateway(settings));
        self.spawn("gateway", command, output)?;
        self.wait("the console", console, "/readyz", patience)?;
        self.wait("the gateway", gateway, "/readyz", READY_WITHIN)
    }

    fn spawn(&mut self, name: &'static str, command: Command, output: &Output) -> Result<()> {
        self.services.push(Service::spawn(name, command, output)?);
        Ok(())
    }

    fn wait(&mut self, name: &str, port: u16, path: &str, limit: Duration) -> Result<()> {
        http::wait_until_ready(name, port, path, limit, || {
            if interrupt::seen() {
                bail!("interrupted");
            }
            self.check()
        })
    }

    /// An error that names the first service that ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.services.iter_mut().try_for_each(Service::check)
    }

    /// Returns when we are told to stop, or with the service that ended by itself.
    pub fn watch(&mut self) -> Result<()> {
        while !interrupt::seen() {
            self.check()?;
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Last started, first stopped: the gateway may still settle with the others there.
    pub fn stop(&mut self, report: Report) {
        while let Some(mut service) = self.services.pop() {
            if service.is_running() {
                report.say(format_args!("stopping {}", service.name()));
            }
            service.stop();
        }
    }
}

fn services(program: &PathBuf, settings: &Settings) -> Command {
    let mut command = Command::new(program);
    let Ports { smtp, inbox, upstream, .. } = settings.ports;
    command.args([smtp, inbox].map(|port| format!("127.0.0.1:{port}")));
    if settings.upstream.is_demo() {
        command.arg(format!("127.0.0.1:{upstream}"));
    }
    command
}
