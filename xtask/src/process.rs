//! Running other programs: to their end, for their output, or for as long as a first sign takes.
//!
//! Long-running services are `stack::service`'s.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

const POLL: Duration = Duration::from_millis(25);

/// Longer than anything takes: for what has no limit but our own end.
const NO_LIMIT: Duration = Duration::from_hours(24);

/// Runs it to the end with our own standard output; an exit code but 0 is an error that names the program.
/// When we are told to stop, so is it, with all it started.
pub fn run(command: &mut Command) -> Result<()> {
    run_within(command, NO_LIMIT)
}

/// Like [`run`], but ends it and its children after `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child =
        command.process_group(0).spawn().with_context(|| format!("cannot start {}", name(command)))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return expect_success(command, status);
        }
        if crate::interrupt::seen() || started.elapsed() > limit {
            end_group(&mut child, Duration::from_secs(10));
            if crate::interrupt::seen() {
                bail!("interrupted");
            }
            bail!("{} did not end within {} min", name(command), limit.as_secs() / 60);
        }
        std::thread::sleep(POLL);
    }
}

/// Runs it to the end and returns what it wrote to standard output, trimmed.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output();
    let out = out.with_context(|| format!("cannot start {}", name(command)))?;
    if !out.status.success() {
        let errors = String::from_utf8_lossy(&out.stderr);
        bail!("{} failed ({}): {}", name(command), out.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Whether it starts and ends with exit code 0, whatever it says.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs something that may hang for want of a network: it must show a `sign` of life (a line on standard error
/// that has this text) or end within `patience`; from then on it has `limit`.
pub fn run_if_it_answers(
    command: &mut Command,
    sign: &str,
    patience: Duration,
    limit: Duration,
) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", name(command)))?;
    let lines = lines_of(&mut child);
    let started = Instant::now();
    let (mut allowed, mut last) = (patience, String::new());
    loop {
        while let Ok(line) = lines.try_recv() {
            if line.contains(sign) {
                allowed = limit;
            }
            last = line;
        }
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { bail!("{} failed: {last}", name(command)) };
        }
        if crate::interrupt::seen() || started.elapsed() > allowed {
            end_group(&mut child, Duration::from_secs(2));
            bail!("{} gave no answer within {} s", name(command), allowed.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(errors) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Asks a child that leads its own process group to end, then makes it.
pub fn end_group(child: &mut Child, patience: Duration) {
    signal_group(child, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < patience {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(POLL);
    }
    signal_group(child, Signal::KILL);
    // Reap it; if it cannot be waited for it is gone already.
    let _ = child.wait();
}

fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended just now, which is what we want.
        let _ = kill_process_group(pid, signal);
    }
}

fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { bail!("{} failed ({status})", line(command)) }
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

/// The command as one would type it, about.
pub fn line(command: &Command) -> String {
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '"', '$', '*', ';']) {
            format!("'{word}'")
        } else {
            word.into_owned()
        }
    };
    std::iter::once(name(command)).chain(command.get_args().map(quoted)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_program_is_given_up() {
        let mut silent = Command::new("sleep");
        let tried =
            run_if_it_answers(silent.arg("60"), "x", Duration::from_millis(60), Duration::from_mins(1));
        assert!(tried.unwrap_err().to_string().contains("gave no answer"));
    }

    #[test]
    fn a_sign_of_life_buys_time() {
        let mut slow = Command::new("sh");
        slow.args(["-c", "echo downloading >&2; sleep 0.3"]);
        run_if_it_answers(&mut slow, "downloading", Duration::from_millis(150), Duration::from_secs(20))
            .unwrap();
    }

    #[test]
    fn a_command_is_told_as_one_would_type_it() {
        assert_eq!(line(Command::new("/usr/bin/cargo").args(["test", "a b"])), "cargo test 'a b'");
    }
}
