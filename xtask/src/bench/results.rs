//! What was measured, cell by cell, and medians over the rounds.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use super::case::{Case, Target};

/// One target under one load, once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    pub answered: f64,
    pub failed: f64,
    pub seconds: f64,
    /// Of the target's processes.
    pub cpu: Duration,
    /// Of the database's.
    pub postgres: Duration,
    pub total: Times,
    pub first_byte: Times,
    pub gap: Times,
    pub way: Times,
    /// Frames that came together with another, streams that came incomplete.
    pub merged: f64,
    pub broken: f64,
    /// Of the target's processes at the end, in kB.
    pub memory: u64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub p50: f64,
    pub p99: f64,
}

pub type Round = BTreeMap<(Case, Target), Cell>;

impl Cell {
    /// What the load generator has printed.
    pub fn from_json(seen: &Value) -> Result<Self> {
        let number = |name: &str| seen[name].as_f64().with_context(|| format!("no {name} in {seen}"));
        let times = |name: &str| {
            let at =
                |part: &str| seen[name][part].as_f64().with_context(|| format!("no {name}.{part} in {seen}"));
            Ok::<_, anyhow::Error>(Times { p50: at("p50")?, p99: at("p99")? })
        };
        Ok(Self {
            answered: number("answered")?,
            failed: number("failed")?,
            seconds: number("seconds")?,
            total: times("total_ms")?,
            first_byte: times("first_byte_ms")?,
            gap: times("gap_ms")?,
            way: times("way_ms")?,
            merged: number("merged")?,
            broken: number("broken")?,
            ..Self::default()
        })
    }

    /// CPU milliseconds for a thousand requests.
    pub fn cpu_per_1000(&self) -> f64 {
        per_1000(self.cpu, self.answered)
    }

    pub fn postgres_per_1000(&self) -> f64 {
        per_1000(self.postgres, self.answered)
    }

    pub fn with_postgres_per_1000(&self) -> f64 {
        per_1000(self.cpu + self.postgres, self.answered)
    }

    pub fn per_second(&self) -> f64 {
        self.answered / self.seconds
    }

    pub fn megabytes(&self) -> f64 {
        u32::try_from(self.memory).map_or(f64::INFINITY, f64::from) / 1_024.0
    }
}

fn per_1000(time: Duration, requests: f64) -> f64 {
    time.as_secs_f64() * 1_000.0 / requests * 1_000.0
}

/// The median over rounds of what `of` says of `target` in them.
pub fn median(rounds: &[Round], case: Case, target: Target, of: impl Fn(&Cell) -> f64) -> Option<f64> {
    middle(rounds.iter().filter_map(|round| round.get(&(case, target))).map(of).collect())
}

/// The median over rounds of `target` compared with `other` in the same round: what else the machine did then, it did to
/// both.
pub fn compared(
    rounds: &[Round],
    (case, target): (Case, Target),
    (other_case, other): (Case, Target),
    compare: impl Fn(&Cell, &Cell) -> f64,
) -> Option<f64> {
    let pairs = rounds
        .iter()
        .filter_map(|round| Some((round.get(&(case, target))?, round.get(&(other_case, other))?)));
    middle(pairs.map(|(one, other)| compare(one, other)).collect())
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(cpu: u64, answered: f64) -> Cell {
        Cell { cpu: Duration::from_millis(cpu), answered, ..Cell::default() }
    }

    #[test]
    fn medians_are_of_what_there_is() {
        assert_eq!(middle(vec![3.0, 1.0, f64::NAN, 2.0]), Some(2.0));
        assert_eq!(middle(vec![1.0, 4.0]), Some(2.5));
        assert_eq!(middle(vec![]), None);
    }

    #[test]
    fn targets_are_compared_within_a_round() {
        let round = |gateway, floor| {
            Round::from([
                ((Case::Plain, Target::Bare), cell(gateway, 1_000.0)),
                ((Case::Plain, Target::Floor), cell(floor, 1_000.0)),
            ])
        };
        let rounds = [round(20, 10), round(40, 20), round(30, 10)];
        let plain = |target| (Case::Plain, target);
        let ratio = compared(&rounds, plain(Target::Bare), plain(Target::Floor), |a, b| {
            a.cpu_per_1000() / b.cpu_per_1000()
        });
        assert_eq!(ratio, Some(2.0));
        assert_eq!(median(&rounds, Case::Plain, Target::Bare, Cell::cpu_per_1000), Some(30.0));
        assert_eq!(median(&rounds, Case::Plain, Target::Nginx, Cell::cpu_per_1000), None);
    }

    #[test]
    fn the_load_generators_line_is_read() {
        let times = r#"{"p50":1.5,"p99":2.5,"max":9.0}"#;
        let line = format!(
            r#"{{"answered":7,"failed":1,"first_failure":null,"seconds":2.0,"total_ms":{times},"first_byte_ms":{times},
               "gap_ms":{times},"way_ms":{times},"merged":3,"broken":0}}"#
        );
        let cell = Cell::from_json(&serde_json::from_str(&line).unwrap()).unwrap();
        assert_eq!((cell.per_second(), cell.total.p99, cell.merged), (3.5, 2.5, 3.0));
        assert!(Cell::from_json(&Value::Null).is_err());
    }
}
