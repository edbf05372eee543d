//! `docs/benchmarks.md`: the machine, the command, the tables, and how to read them.

use super::{
    Options,
    machine::Machine,
    measure::{Count, Failures, Measurement},
    table,
};
use crate::report::duration;

const READING: &str = "\
## How to read it

- **direct** is the upstream without anything in between (its own CPU time), **floor** a proxy of 100 lines on the
  gateway's HTTP library that checks nothing, **nginx** Debian's with kept connections and no log. Each round runs every
  load on every target in turn, another target first each time; a figure is the median of the rounds, a ratio the median
  of the ratios within a round. Compare ratios: the same machine moves by a tenth from one hour to the next.
- **CPU** is user and system time of the target's processes as the kernel counts them, for a thousand requests, at 32
  connections that are never idle. The gateway's includes what its usage records cost until the ledger has them;
  **Postgres** is the whole cluster's meanwhile, its housekeeping too. The cluster does not wait for its disk.
- Whoever is measured has a core to itself; upstream, load generator and database share the others. **a second** is
  bounded by them, too, and is no capacity.
- **MB** is proportional set size at the end of the load, workers included.
- A **refusal** (a well-formed key that nobody has made, and one that is revoked) is compared with what the others do with
  a plain request, since they refuse nothing.
- **every rule and limit**: expiry, three networks, permissions and models of key and group, requests per minute, a limit
  of cost and one of tokens for each of 1 000 keys, and one of cost for their group.
- **Times** are the load generator's, at a fixed rate; **added** is what a target adds to *direct* in the same round.
  Busy is 70 % of what the slowest target takes. A paced stream has 19 frames 20 ms apart, so the longest gap cannot
  be much below 20 ms; **longest way** is from the time that the upstream wrote into a frame to its arrival. Merged
  frames arrived in one piece, in all streams of a round.
";

pub fn text(options: &Options, machine: &Machine, measured: &Measurement) -> String {
    let mut parts = vec![
        "# What the gateway costs\n\nWritten by the command; do not edit.\n".to_owned(),
        about(machine, measured),
    ];
    if options.quick {
        parts.push(
            "**A quick run: it shows that everything works, and its figures mean nothing.**\n".to_owned(),
        );
    }
    if machine.nginx.is_none() {
        parts.push("**nginx: not run**, it is not on this machine.\n".to_owned());
    }
    let command = command(options);
    parts.extend([
        "## What a request costs\n".to_owned(),
        format!("`{command}`\n"),
        table::costs(measured),
        "## How long it takes\n".to_owned(),
        format!("`{command}`; busy is {} requests a second.\n", measured.busy),
        table::times(measured),
        "## Nothing lost, nothing twice\n".to_owned(),
        counts(&command, &measured.counts),
    ]);
    if !measured.failures.is_empty() {
        parts.push("Not everything was answered, warm-up included:\n".to_owned());
        parts.push(failures(measured));
    }
    parts.push(READING.to_owned());
    parts.join("\n")
}

fn about(machine: &Machine, measured: &Measurement) -> String {
    let Machine { processor, cores, memory_gb, system, rust, postgres, commit, date, load, .. } = machine;
    let nginx = machine.nginx.as_ref().map(|version| format!(", {version}")).unwrap_or_default();
    let length = measured.length;
    format!(
        "- Machine: {processor}, {cores} cores, {memory_gb} GB, {system}; load average {load} before\n\
         - Programs: commit {commit}, Rust {rust}, PostgreSQL {postgres}{nginx}\n\
         - Date: {date}\n\
         - Length: {} rounds, {} s for each load and target\n",
        length.rounds, length.seconds
    )
}

/// What makes this page.
fn command(options: &Options) -> String {
    let mut command = "cargo xtask bench gateway".to_owned();
    for (given, flag) in
        [(options.quick, " --quick"), (options.million, " --million"), (options.write, " --write")]
    {
        command += if given { flag } else { "" };
    }
    for (given, flag) in [(options.rounds, "--rounds"), (options.seconds, "--seconds")] {
        command += &given.map(|number| format!(" {flag} {number}")).unwrap_or_default();
    }
    command
}

fn failures(measured: &Measurement) -> String {
    let lines = measured.failures.iter().map(|((case, target), failures)| {
        let Failures { failed, first, broken } = failures;
        let first = first.as_deref().unwrap_or("none");
        format!(
            "- {}, {target}: {failed} requests (the first: {first}), {broken} incomplete streams\n",
            case.name()
        )
    });
    lines.collect::<Vec<_>>().concat()
}

/// A table like the others, the command above it: who runs that gets figures of the same kind, and equal ones in a row.
fn counts(command: &str, counts: &[Count]) -> String {
    let head = format!(
        "`{command}`; warm-up included. In a row all three counts are equal, or the command fails.\n\n\
         | keys | requests answered | asked of the upstream | rows in the ledger | ready after its start |\n\
         |-----:|------------------:|----------------------:|-------------------:|----------------------:|\n"
    );
    let row = |count: &Count| {
        let Count { keys, answered, upstream, ledger, ready_after, .. } = count;
        format!("| {keys} | {answered} | {upstream} | {ledger} | {} |\n", duration(*ready_after))
    };
    let mut parts = vec![head];
    parts.extend(counts.iter().map(row));
    if let [few, many, ..] = counts {
        let kilobytes = many.idle_memory.saturating_sub(few.idle_memory);
        let bytes = kilobytes * 1_024 / u64::from(many.keys.saturating_sub(few.keys).max(1));
        parts.push(format!("\n`{command}`: a key takes {bytes} bytes of a gateway's memory.\n"));
    }
    parts.concat()
}
