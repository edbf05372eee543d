//! Who runs on which core: whoever is measured has the last one to itself, everybody else shares the others.
//!
//! Without that the figures say how well a target gets along with the load generator, the upstream and the database on
//! its caches, and the slower it is, the more of them it meets.

use std::{path::Path, process::Command, thread};

use anyhow::Result;

use super::cost;
use crate::process;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Alone.
    Measured,
    /// With everybody else.
    Shared,
}

/// `program`, to be started on its core; anywhere on a machine that has only one.
pub fn command(core: Core, program: &Path) -> Command {
    match list(core) {
        Some(list) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &list]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Moves a running process and its children, and with it those it will have, to the shared cores.
pub fn share(pid: u32) -> Result<()> {
    let Some(list) = list(Core::Shared) else { return Ok(()) };
    for pid in cost::children(pid)?.into_iter().chain([pid]) {
        process::output(Command::new("taskset").args([
            "--all-tasks",
            "--cpu-list",
            "--pid",
            &list,
            &pid.to_string(),
        ]))?;
    }
    Ok(())
}

fn list(core: Core) -> Option<String> {
    let last = thread::available_parallelism().ok()?.get().checked_sub(1).filter(|last| *last > 0)?;
    Some(match core {
        Core::Measured => last.to_string(),
        Core::Shared => format!("0-{}", last - 1),
    })
}
