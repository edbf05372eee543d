//! One long-running program: its process group, its output, its end.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{process, report::Report};

/// Enough for a gateway to drain its streams.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Where a service's output goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// To the terminal, each line behind the service's name.
    Terminal(Report),
    /// Into a file of this folder, named for the service.
    Files(PathBuf),
}

/// A running program.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    child: Child,
    log: Option<PathBuf>,
}

impl Service {
    /// Starts it in a process group of its own: Ctrl-C reaches us alone, and we stop things in order.
    pub fn spawn(name: &'static str, command: Command, output: &Output) -> Result<Self> {
        let mut command = ending_with_us(command);
        command.stdin(Stdio::null()).process_group(0);
        let log = direct(&mut command, name, output)?;
        let mut child = command.spawn().with_context(|| format!("cannot start the {name}"))?;
        if let Output::Terminal(report) = output {
            copy_lines(name, child.stdout.take(), *report);
            copy_lines(name, child.stderr.take(), *report);
        }
        Ok(Self { name, child, log })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process: whatever starts it in our stead becomes it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// An error if it ended by itself, with its last words.
    pub fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("the {} ended by itself ({status}){}", self.name, self.last_words())
    }

    pub fn stop(&mut self) {
        process::end_group(&mut self.child, STOP_WITHIN);
    }

    fn last_words(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!(
            ", its last lines in {}:\n{}",
            log.display(),
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_running() {
            self.stop();
        }
    }
}

/// Where `setpriv` can ask the kernel, the service is told to stop when we are killed and cannot tell it ourselves.
fn ending_with_us(command: Command) -> Command {
    const ORDER: [&str; 3] = ["--pdeathsig", "TERM", "--"];
    if !process::succeeds(Command::new("setpriv").args(ORDER).arg("true")) {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(ORDER).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

fn direct(command: &mut Command, name: &str, output: &Output) -> Result<Option<PathBuf>> {
    match output {
        Output::Terminal(_) => {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            Ok(None)
        }
        Output::Files(folder) => {
            std::fs::create_dir_all(folder)?;
            let path = folder.join(format!("{name}.log"));
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            command.stdout(file.try_clone()?).stderr(file);
            Ok(Some(path))
        }
    }
}

fn copy_lines(name: &'static str, from: Option<impl Read + Send + 'static>, report: Report) {
    if let Some(from) = from {
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                report.line(name, &line);
            }
        });
    }
}
