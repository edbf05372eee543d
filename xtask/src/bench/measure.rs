//! Runs the loads: round after round, in each of them every target in turn, and reads what it cost.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    Options,
    case::{Case, Pace, Target},
    cores::{self, Core},
    cost,
    results::{Cell, Round, median},
    scene::{Scene, Stand},
};
use crate::{http, interrupt, postgres::Postgres, process, report::Report};

/// Connections of a closed loop.
const CONNECTIONS: &str = "32";
/// Requests at once at a fixed rate; fewer than the gateway lets one client have.
const AT_ONCE: &str = "128";
const CALM: f64 = 50.0;
/// Of what the slowest target takes.
const BUSY_PART: f64 = 0.7;
/// How long the last usage records may take into the ledger.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    pub rounds: u32,
    /// Of each cell.
    pub seconds: u32,
    /// Of each cell of the first round, which does not count.
    pub warm_up: u32,
}

impl Length {
    pub fn of(options: &Options) -> Self {
        let (rounds, seconds, warm_up) = if options.quick { (1, 2, 1) } else { (5, 5, 2) };
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            seconds: options.seconds.unwrap_or(seconds),
            warm_up,
        }
    }
}

/// Everything that is known at the end.
#[derive(Debug)]
pub struct Measurement {
    pub length: Length,
    pub rounds: Vec<Round>,
    pub targets: Vec<Target>,
    /// Requests a second of a busy target.
    pub busy: f64,
    pub counts: Vec<Count>,
    /// What did not go as it should, warm-up included.
    pub failures: BTreeMap<(Case, Target), Failures>,
}

/// Of one load on one target.
#[derive(Debug, Default)]
pub struct Failures {
    /// Requests without the expected answer, and what was wrong with the first of them.
    pub failed: f64,
    pub first: Option<String>,
    /// Streams that came incomplete.
    pub broken: f64,
}

/// The requests of one gateway, warm-up included, as three parties count them, and what it is like.
#[derive(Debug)]
pub struct Count {
    pub keys: u32,
    pub answered: f64,
    pub upstream: f64,
    pub ledger: f64,
    pub ready_after: Duration,
    pub idle_memory: u64,
}

impl Measurement {
    /// The one thing that is asserted.
    pub fn check(&self) -> Result<()> {
        for Count { keys, answered, upstream, ledger, .. } in &self.counts {
            if !same(*answered, *upstream) || !same(*upstream, *ledger) {
                bail!(
                    "of the gateway with {keys} keys, {answered} requests were answered, the upstream was asked \
                     {upstream} times, and the ledger has {ledger} rows"
                );
            }
        }
        Ok(())
    }
}

/// Whole numbers, both of them.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.5
}

pub fn run(
    length: &Length,
    scene: &mut Scene,
    bench: &Path,
    postgres: &Postgres,
    report: Report,
) -> Result<Measurement> {
    let counts = scene.gateways.iter().map(|gateway| Count {
        keys: gateway.keys,
        answered: 0.0,
        upstream: 0.0,
        ledger: 0.0,
        ready_after: gateway.ready_after,
        idle_memory: gateway.idle_memory,
    });
    let measurement = Measurement {
        length: *length,
        rounds: Vec::new(),
        targets: scene.stands.iter().map(|stand| stand.target).collect(),
        busy: CALM,
        counts: counts.collect(),
        failures: BTreeMap::new(),
    };
    let database = postgres.pid().context("PostgreSQL has gone")?;
    let mut run = Run { measurement, scene, bench, database };
    report.during("round 0 of loads: warms everything up, does not count", || run.warm_up(length.warm_up))?;
    for number in 1..=length.rounds {
        let what = format!("round {number} of {} of loads", length.rounds);
        let round = report.during(&what, || run.round(number, length.seconds))?;
        run.measurement.rounds.push(round);
    }
    run.count_ledger(postgres)?;
    Ok(run.measurement)
}

struct Run<'a> {
    measurement: Measurement,
    scene: &'a mut Scene,
    bench: &'a Path,
    /// The cluster's first process.
    database: u32,
}

impl Run<'_> {
    fn warm_up(&mut self, seconds: u32) -> Result<()> {
        let round = [self.round(0, seconds)?];
        let speeds = self.measurement.targets.iter();
        let slowest = speeds
            .filter_map(|target| median(&round, Case::Plain, *target, Cell::per_second))
            .min_by(f64::total_cmp);
        self.measurement.busy = (slowest.context("nobody has answered")? * BUSY_PART).round();
        Ok(())
    }

    /// Each load on every target, each time another one first.
    fn round(&mut self, number: u32, seconds: u32) -> Result<Round> {
        let mut round = Round::new();
        let mut stands = self.scene.stands.clone();
        let first = usize::try_from(number)? % stands.len();
        stands.rotate_left(first);
        for case in Case::ALL {
            for stand in stands.iter().filter(|stand| stand.target.runs(case)) {
                if interrupt::seen() {
                    bail!("interrupted");
                }
                self.scene.check()?;
                let cell = self.cell(case, stand, seconds)?;
                round.insert((case, stand.target), cell);
            }
        }
        Ok(round)
    }

    fn cell(&mut self, case: Case, stand: &Stand, seconds: u32) -> Result<Cell> {
        let asked = self.asked()?;
        let (cpu, postgres) = (cost::cpu(stand.pid)?, cost::cpu(self.database)?);
        let seen = self.load(case, stand, seconds)?;
        if let Some(gateway) = stand.gateway {
            // What its usage records cost is of its cost.
            self.settle(gateway)?;
        }
        let mut cell = Cell::from_json(&seen)?;
        cell.cpu = cost::cpu(stand.pid)?.saturating_sub(cpu);
        cell.postgres = cost::cpu(self.database)?.saturating_sub(postgres);
        cell.memory = cost::memory(stand.pid)?;
        if cell.failed > 0.0 || cell.broken > 0.0 {
            let failures = self.measurement.failures.entry((case, stand.target)).or_default();
            failures.failed += cell.failed;
            failures.broken += cell.broken;
            let first = seen["first_failure"].as_str().map(str::to_owned);
            failures.first = failures.first.take().or(first);
        }
        let asked = self.asked()? - asked;
        if let Some(count) = stand.gateway.and_then(|gateway| self.measurement.counts.get_mut(gateway)) {
            count.upstream += asked;
            count.answered += if case.is_refusal() { 0.0 } else { cell.answered };
        }
        Ok(cell)
    }

    fn load(&self, case: Case, stand: &Stand, seconds: u32) -> Result<Value> {
        let mut load = cores::command(Core::Shared, self.bench);
        load.args(["load", "--target", &format!("127.0.0.1:{}", stand.port), "--kind", case.kind()]);
        load.arg("--keys").arg(stand.secrets.join(stand.target.secrets(case)));
        load.args(["--seconds", &seconds.to_string(), "--expect", &case.expected_status().to_string()]);
        let rate = match case.pace() {
            Pace::Closed => None,
            Pace::Calm => Some(CALM),
            Pace::Busy => Some(self.measurement.busy),
        };
        match rate {
            None => load.args(["--connections", CONNECTIONS]),
            Some(rate) => load.args(["--connections", AT_ONCE, "--rate", &rate.to_string()]),
        };
        let told = process::output(load.stdin(Stdio::null()))?;
        serde_json::from_str(&told).with_context(|| format!("the load generator says {told:?}"))
    }

    /// How many requests the upstream has been asked so far.
    fn asked(&self) -> Result<f64> {
        let told = http::body(self.scene.upstream, "/stats").context("the upstream does not answer")?;
        let told: Value = serde_json::from_str(&told)?;
        Ok(["plain", "streams"].iter().filter_map(|kind| told[*kind].as_f64()).sum())
    }

    /// Waits until a gateway's queue of usage records is empty.
    fn settle(&self, gateway: usize) -> Result<()> {
        let gateway = self.scene.gateways.get(gateway).context("no such gateway")?;
        let began = Instant::now();
        while began.elapsed() < SETTLED_WITHIN {
            let metrics = http::body(gateway.metrics, "/metrics").context("a gateway has no metrics")?;
            if metrics.lines().any(|line| line == "latchkey_gateway_journal_queue 0") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("usage records are still not in {} after {} s", gateway.database, SETTLED_WITHIN.as_secs())
    }

    /// What had no place in a gateway's memory comes into the ledger last, by way of its spool.
    fn count_ledger(&mut self, postgres: &Postgres) -> Result<()> {
        for (gateway, count) in self.scene.gateways.iter().zip(&mut self.measurement.counts) {
            let began = Instant::now();
            loop {
                let rows = postgres.ask(gateway.database, "SELECT count(*) FROM usage_records")?;
                count.ledger = rows.parse()?;
                if same(count.ledger, count.answered) || began.elapsed() > SETTLED_WITHIN {
                    break;
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        Ok(())
    }
}
