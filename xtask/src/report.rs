//! The terminal. Everything xtask says goes through here, so that what a person sees has one voice.
//!
//! Output of the programs it runs is theirs and passes by; lines of services come in through [`Report::line`].

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a silent long step says that it is still at it.
const HEARTBEAT: Duration = Duration::from_mins(1);

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";

/// Where to write; cheap to copy and to hand to threads.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    colour: bool,
}

impl Report {
    /// Colours if a person is looking and did not ask for none.
    pub fn new(no_colour: bool) -> Self {
        Self { colour: !no_colour && std::io::stdout().is_terminal() }
    }

    /// One line as it is.
    #[expect(clippy::unused_self, reason = "whoever speaks was given a voice")]
    pub fn say(self, text: impl Display) {
        write_line(format_args!("{text}"));
    }

    /// The heading of a step.
    pub fn heading(self, text: impl Display) {
        write_line(format_args!("\n{}", self.paint(BOLD, format_args!("== {text}"))));
    }

    /// Something went well.
    pub fn good(self, text: impl Display) {
        write_line(format_args!("{} {text}", self.paint(GREEN, "ok")));
    }

    /// Something a person must read.
    pub fn warn(self, text: impl Display) {
        write_line(format_args!("{} {text}", self.paint(YELLOW, "!!")));
    }

    /// Something failed.
    pub fn bad(self, text: impl Display) {
        write_line(format_args!("{} {text}", self.paint(RED, "FAILED")));
    }

    /// One line of a service's output, behind its name.
    pub fn line(self, from: &str, text: &str) {
        write_line(format_args!("{} {text}", self.paint(DIM, format_args!("{from:>8} |"))));
    }

    /// Announces `what`, does it, and tells how long it took. Meanwhile it shows that it is alive.
    pub fn during<T>(self, what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        write_line(format_args!("-- {what}"));
        let started = Instant::now();
        let pulse = Arc::new(());
        Self::beat(what, started, Arc::downgrade(&pulse));
        let done = work();
        drop(pulse);
        let took = duration(started.elapsed());
        match &done {
            Ok(_) => self.good(format_args!("{} ({took})", first_clause(what))),
            Err(_) => self.bad(format_args!("{} ({took})", first_clause(what))),
        }
        done
    }

    /// Ends by itself when the work's guard is gone.
    fn beat(what: &str, started: Instant, alive: std::sync::Weak<()>) {
        let what = first_clause(what).to_owned();
        std::thread::spawn(move || {
            let mut next = HEARTBEAT;
            while alive.strong_count() > 0 {
                if started.elapsed() >= next {
                    next += HEARTBEAT;
                    write_line(format_args!("   … {what}: {} so far", duration(started.elapsed())));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// The one place that writes to standard output: whole lines, so that threads do not mix theirs. A reader that
/// went away is no reason to die, so errors are left alone.
fn write_line(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// What was announced, without the reason behind the colon.
fn first_clause(what: &str) -> &str {
    what.split(": ").next().unwrap_or(what)
}

/// A duration as a person says it: `840 ms`, `12.3 s`, `4 min 05 s`.
pub fn duration(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        1..60 => format!("{:.1} s", took.as_secs_f64()),
        s => format!("{} min {:02} s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        let told = [840, 12_340, 245_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(told, ["840 ms", "12.3 s", "4 min 05 s"]);
    }

    #[test]
    fn the_reason_is_not_repeated() {
        assert_eq!(first_clause("installing X: why, about 2 min"), "installing X");
    }
}
