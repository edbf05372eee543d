//! The command line.

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::{bench, dev, postgres::Kind, test};

pub const HELP: &str = "\
cargo xtask dev [--upstream URL] [--watch]
    Run everything on this machine with demo data. Ctrl-C stops it.
    --upstream URL   a real provider, its key from UPSTREAM_API_KEY
    --watch          rebuild and restart the console when a source changes
cargo xtask test [--long] [--only STEP]... [--list]
    Run every test. --list names the steps, --only runs some of them,
    --long also fuzzes each parser for a minute.
cargo xtask check
    Format, lints for host and browser, what may not be linked.
cargo xtask db prepare [--check]
    Write crates/store/.sqlx from the queries, or compare it with them.
cargo xtask db start | stop | url [--test]
    The private PostgreSQL of `dev`, or with --test the one of `test`.
cargo xtask bench gateway [--quick] [--million] [--rounds N] [--seconds N] [--write] [--hold]
    What the gateway costs beside a bare proxy and nginx; a full run takes 20 min.
    --quick          one short round: does everything work?
    --hold           only set everything up and wait, for a profiler
    --million        also a gateway that knows 1 000 000 keys
    --write          into docs/benchmarks.md instead of onto the terminal
cargo xtask doctor
    Say what this machine lacks and how to get it.

Missing tools are installed by `dev`, `test`, `check` and `bench` themselves.";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Dev(dev::Options),
    Test(test::Options),
    Check,
    Bench(bench::Options),
    Db(Db),
    Doctor,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Db {
    Start(Kind),
    Stop(Kind),
    Url(Kind),
    Prepare { check: bool },
}

impl Command {
    pub fn parse() -> Result<Self> {
        Self::from(Parser::from_env())
    }

    fn from(mut parser: Parser) -> Result<Self> {
        let Some(verb) = value(&mut parser)? else { return Ok(Self::Help) };
        match verb.as_str() {
            "help" => Ok(Self::Help),
            "dev" => dev(parser).map(Self::Dev),
            "test" => test(parser).map(Self::Test),
            "bench" => bench(parser).map(Self::Bench),
            "check" => nothing_more(parser, Self::Check),
            "doctor" => nothing_more(parser, Self::Doctor),
            "db" => db(parser).map(Self::Db),
            other => bail!("there is no command {other:?}"),
        }
    }
}

fn value(parser: &mut Parser) -> Result<Option<String>> {
    match parser.next()? {
        Some(Arg::Value(value)) => Ok(Some(value.string()?)),
        Some(Arg::Long("help") | Arg::Short('h')) | None => Ok(None),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn dev(mut parser: Parser) -> Result<dev::Options> {
    let mut options = dev::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("upstream") => options.upstream = Some(parser.value()?.string()?),
            Arg::Long("watch") => options.watch = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn test(mut parser: Parser) -> Result<test::Options> {
    let mut options = test::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("only") => options.only.push(parser.value()?.string()?),
            Arg::Long("list") => options.list = true,
            Arg::Long("long") => options.long = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn bench(mut parser: Parser) -> Result<bench::Options> {
    let Some("gateway") = value(&mut parser)?.as_deref() else { bail!("bench needs gateway") };
    let mut options = bench::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("quick") => options.quick = true,
            Arg::Long("million") => options.million = true,
            Arg::Long("write") => options.write = true,
            Arg::Long("hold") => options.hold = true,
            Arg::Long("rounds") => options.rounds = Some(above_zero(&mut parser)?),
            Arg::Long("seconds") => options.seconds = Some(above_zero(&mut parser)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn above_zero(parser: &mut Parser) -> Result<u32> {
    let number = parser.value()?.parse()?;
    if number == 0 {
        bail!("0 of them is no measurement");
    }
    Ok(number)
}

fn db(mut parser: Parser) -> Result<Db> {
    let Some(verb) = value(&mut parser)? else { bail!("db needs prepare, start, stop or url") };
    let (mut check, mut kind) = (false, Kind::Development);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("check") if verb == "prepare" => check = true,
            Arg::Long("test") if verb != "prepare" => kind = Kind::Test,
            other => return Err(other.unexpected().into()),
        }
    }
    match verb.as_str() {
        "prepare" => Ok(Db::Prepare { check }),
        "start" => Ok(Db::Start(kind)),
        "stop" => Ok(Db::Stop(kind)),
        "url" => Ok(Db::Url(kind)),
        other => bail!("there is no command db {other:?}"),
    }
}

fn nothing_more(mut parser: Parser, command: Command) -> Result<Command> {
    match parser.next()? {
        None => Ok(command),
        Some(other) => Err(other.unexpected().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        Command::from(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn commands_are_understood() {
        assert_eq!(parsed("").unwrap(), Command::Help);
        assert_eq!(parsed("db prepare --check").unwrap(), Command::Db(Db::Prepare { check: true }));
        assert_eq!(parsed("db url --test").unwrap(), Command::Db(Db::Url(Kind::Test)));
        let options = dev::Options { upstream: Some("https://a/v1".to_owned()), watch: true };
        assert_eq!(parsed("dev --upstream https://a/v1 --watch").unwrap(), Command::Dev(options));
        let options =
            test::Options { only: vec!["fmt".to_owned(), "size".to_owned()], ..test::Options::default() };
        assert_eq!(parsed("test --only fmt --only size").unwrap(), Command::Test(options));
        let options = test::Options { long: true, ..test::Options::default() };
        assert_eq!(parsed("test --long").unwrap(), Command::Test(options));
    }

    #[test]
    fn a_measurement_is_of_something_and_has_a_length() {
        let options = bench::Options { million: true, rounds: Some(3), ..bench::Options::default() };
        assert_eq!(parsed("bench gateway --million --rounds 3").unwrap(), Command::Bench(options));
        for line in ["bench", "bench console", "bench gateway --rounds 0", "bench gateway --seconds x"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["deploy", "check --fast", "db start --check", "dev --upstream", "db"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
