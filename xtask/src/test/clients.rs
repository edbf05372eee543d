//! The official OpenAI and Anthropic packages for Python and Node as clients of the gateway.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Bench, product::with_product, python};
use crate::{process, stack::environment};

const LIMIT: Duration = Duration::from_mins(5);

pub fn run(bench: Bench<'_>) -> Result<()> {
    let python = python::with_clients(bench.config, bench.place, bench.report)?;
    with_product(bench, "latchkey_clients", |settings, demo_key| {
        for (mut client, script) in
            [(Command::new(&python), "client.py"), (Command::new("node"), "client.mjs")]
        {
            client.arg(format!("end2end/sdk/{script}")).current_dir(&bench.place.root).stdin(Stdio::null());
            client.envs(environment::specs(settings, demo_key));
            process::run_within(&mut client, LIMIT).with_context(|| format!("end2end/sdk/{script}"))?;
        }
        Ok(())
    })
}
