//! Fuzz targets: built with coverage the fuzzer reads, and run for a minute each.
//!
//! The flags are cargo-fuzz's without a sanitizer: they are stable ones, and our own code has nothing unsafe for an address
//! sanitizer to find. So it needs neither cargo-fuzz nor a nightly compiler.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::{config::Config, process, toolchain::on_path};

/// `fuzz/targets/`, one program each.
const TARGETS: [&str; 6] = ["secret", "json_gate", "sse_tee", "forwarded", "networks", "spool"];
/// Seconds for each.
const TIME: u64 = 60;
/// The gateway and all it depends on, once more.
const BUILD_LIMIT: Duration = Duration::from_mins(40);
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";
/// How libFuzzer's closing report names the number.
const EXECUTIONS: &str = "stat::number_of_executed_units:";

/// Why there can be no fuzzing here.
pub(super) fn out_of_reach(config: &Config) -> Option<String> {
    let compilers = ["c++", "g++", "clang++"];
    let found = compilers.iter().any(|name| on_path(&config.path, name).is_some());
    (!found).then(|| "a C++ compiler is missing, which libFuzzer is built with (Debian: g++)".to_owned())
}

/// Builds every target and runs each; an error names the input that broke one.
pub(super) fn run(bench: Bench<'_>) -> Result<()> {
    let target = bench.place.target.join("fuzz");
    build(bench, &target)?;
    for name in TARGETS {
        let executions = fuzz(bench, name, &target)?;
        bench.report.good(format_args!("{name}: {executions} inputs in {TIME} s, none broke it"));
    }
    Ok(())
}

/// In a folder of its own: the flags are for everything that is linked. The target is named so that they are not for
/// build scripts and macros, which no fuzzer is linked with.
fn build(bench: Bench<'_>, target: &Path) -> Result<()> {
    let mut cargo = bench.workshop.rust.cargo();
    cargo.args(["build", "--locked", "--manifest-path", "fuzz/Cargo.toml"]).current_dir(&bench.place.root);
    cargo.args(["--target", &triple(), "--target-dir"]).arg(target).env("RUSTFLAGS", FLAGS);
    process::run_within(&mut cargo, BUILD_LIMIT)
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn fuzz(bench: Bench<'_>, name: &str, target: &Path) -> Result<u64> {
    let folder = |kind: &str| -> Result<_> {
        let folder = target.join(kind).join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    };
    let (corpus, broken) = (folder("corpus")?, folder("broken")?);
    let log = folder("logs")?.join("last.log");
    let mut program = Command::new(target.join(triple()).join("debug").join(name));
    program.arg(&corpus).arg(bench.place.root.join("fuzz/seeds").join(name)).args([
        &format!("-max_total_time={TIME}"),
        "-print_final_stats=1",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        &format!("-artifact_prefix={}/", broken.display()),
    ]);
    program.current_dir(&bench.place.root).stdin(Stdio::null()).stdout(Stdio::null());
    program.stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
    let done = process::run_within(&mut program, Duration::from_secs(3 * TIME));
    let said = fs::read_to_string(&log).unwrap_or_default();
    if done.is_err() {
        let end: Vec<&str> = said.lines().rev().take(25).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        bail!(
            "{name} broke; the input is in {}, the report in {}:\n{}",
            broken.display(),
            log.display(),
            end.join("\n")
        );
    }
    executions(&said).with_context(|| format!("{name} does not say how much it ran: {}", log.display()))
}

fn executions(said: &str) -> Option<u64> {
    said.lines()
        .find_map(|line| line.strip_prefix(EXECUTIONS)?.trim().parse().ok())
        .filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_executions_is_read() {
        let said =
            "Done 9 runs in 1 second(s)\nstat::number_of_executed_units: 1234\nstat::peak_rss_mb: 50\n";
        assert_eq!(executions(said), Some(1_234));
        assert_eq!((executions("stat::number_of_executed_units: 0"), executions("")), (None, None));
    }

    #[test]
    fn every_target_has_a_program_and_seeds() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let programs = fs::read_dir(fuzz.join("targets")).unwrap().count();
        assert_eq!(programs, TARGETS.len());
        for name in TARGETS {
            assert!(fuzz.join("targets").join(name).with_extension("rs").exists(), "{name}");
            assert!(fs::read_dir(fuzz.join("seeds").join(name)).unwrap().count() > 0, "{name}");
        }
    }
}
