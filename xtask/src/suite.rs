//! A list of named steps: run in order, stopped at the first failure, summed up at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    interrupt,
    report::{Report, duration},
};

/// One thing to do that passes or fails.
pub struct Step<'a> {
    pub name: &'static str,
    pub what: &'static str,
    work: Box<dyn FnOnce() -> Result<()> + 'a>,
    cannot_run: Option<String>,
}

impl<'a> Step<'a> {
    pub fn new(name: &'static str, what: &'static str, work: impl FnOnce() -> Result<()> + 'a) -> Self {
        Self { name, what, work: Box::new(work), cannot_run: None }
    }

    /// This machine cannot run it, for this reason.
    #[must_use]
    pub fn unless(mut self, reason: Option<String>) -> Self {
        self.cannot_run = reason;
        self
    }
}

/// What became of a step.
#[derive(Debug)]
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    /// The machine lacks something.
    NotRun(String),
}

/// Every step's outcome so far.
#[derive(Debug, Default)]
pub struct Summary {
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Summary {
    /// Runs the steps until one fails; those after it are left out.
    pub fn run(&mut self, steps: Vec<Step<'_>>, report: Report) -> Result<()> {
        for step in steps {
            if interrupt::seen() {
                bail!("interrupted");
            }
            self.run_one(step, report)?;
        }
        Ok(())
    }

    fn run_one(&mut self, step: Step<'_>, report: Report) -> Result<()> {
        let Step { name, what, work, cannot_run } = step;
        report.heading(format_args!("{name}: {what}"));
        if let Some(reason) = cannot_run {
            report.warn(format_args!("NOT RUN: {reason}"));
            self.outcomes.push((name, Outcome::NotRun(reason)));
            return Ok(());
        }
        let began = Instant::now();
        let done = report.during(name, work);
        let took = began.elapsed();
        match done {
            Ok(()) => self.outcomes.push((name, Outcome::Passed(took))),
            Err(error) => {
                report.bad(format_args!("{name}: {error:#}"));
                self.outcomes.push((name, Outcome::Failed(took, first_line(&error))));
                bail!("step {name} failed");
            }
        }
        Ok(())
    }

    /// The table, and `N passed, N failed` alone on the last line. Something may have failed outside the steps.
    pub fn print(&self, is_good: bool, took: Duration, report: Report) {
        report.heading(format_args!("summary ({})", duration(took)));
        for (name, outcome) in &self.outcomes {
            report.say(match outcome {
                Outcome::Passed(took) => format!("  passed   {name:<14} {}", duration(*took)),
                Outcome::Failed(took, why) => format!("  FAILED   {name:<14} {} {why}", duration(*took)),
                Outcome::NotRun(why) => format!("  NOT RUN  {name:<14} {why}"),
            });
        }
        let (passed, failed) = self.counts();
        let failed = if is_good { failed } else { failed.max(1) };
        report.say(format_args!("\n{passed} passed, {failed} failed"));
    }

    fn counts(&self) -> (usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count()
        };
        (count(|o| matches!(o, Outcome::Passed(_))), count(|o| matches!(o, Outcome::Failed(..))))
    }
}

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_is_counted() {
        let mut summary = Summary::default();
        let ran = std::cell::RefCell::new(Vec::new());
        let note = |name| {
            ran.borrow_mut().push(name);
            Ok(())
        };
        let steps = vec![
            Step::new("a", "", || note("a")),
            Step::new("b", "", || note("b")).unless(Some("not here".to_owned())),
            Step::new("c", "", || bail!("broken")),
            Step::new("d", "", || note("d")),
        ];
        assert!(summary.run(steps, Report::new(true)).is_err());
        assert_eq!((summary.counts(), ran.into_inner()), ((1, 1), vec!["a"]));
    }
}
