//! `cargo xtask doctor`: what this machine has, what it lacks, and the command that gets it. Changes nothing.

use anyhow::{Result, bail};

use crate::{
    apt,
    config::Config,
    node,
    place::Place,
    postgres,
    report::Report,
    test::{chromium, python, redis},
    toolchain::{DEBIAN_PACKAGES, Toolchain, WASM, on_path},
    tools::Tools,
};

/// What is known of one need.
struct Finding {
    need: &'static str,
    /// What there is, or how to get it.
    state: Result<String, String>,
    /// `dev` and `test` get it by themselves.
    automatic: bool,
}

pub fn run(config: &Config, place: &Place, report: Report) -> Result<()> {
    let findings = [
        rust(config, place),
        linker(config),
        tools(place),
        node_itself(config),
        packages(place),
        database(config),
        browser(config),
        redis_itself(config),
        python_itself(config),
    ];
    let mut by_hand = 0;
    for Finding { need, state, automatic } in findings {
        match state {
            Ok(found) => report.good(format_args!("{need:<22} {found}")),
            Err(fix) if automatic => report.say(format_args!("-- {need:<22} {fix}")),
            Err(fix) => {
                by_hand += 1;
                report.warn(format_args!("{need:<22} {fix}"));
            }
        }
    }
    report.say("\n-- is installed by `cargo xtask dev` or `test` itself; !! is for you to do");
    if by_hand > 0 {
        bail!("{by_hand} missing");
    }
    Ok(())
}

fn rust(config: &Config, place: &Place) -> Finding {
    let found = Toolchain::find(config, place).map(|rust| rust.describe());
    let missing = apt::missing(&DEBIAN_PACKAGES);
    let is_root = apt::is_root();
    let state = found.ok_or_else(|| {
        let debian = apt::command_line(&missing);
        let debian = if missing.is_empty() {
            "Debian's is here, its library will be built".to_owned()
        } else {
            debian
        };
        format!("`rustup target add {WASM}`, or: {debian}")
    });
    let automatic = is_root || missing.is_empty() || on_path(&config.path, "rustup").is_some();
    Finding { need: "Rust with WASM", state, automatic }
}

fn linker(config: &Config) -> Finding {
    let found = on_path(&config.path, "cc").map(|cc| cc.display().to_string());
    Finding {
        need: "C linker",
        state: found.ok_or_else(|| apt::command_line(&["build-essential"])),
        automatic: false,
    }
}

fn tools(place: &Place) -> Finding {
    let missing = Tools::missing(place).join(", ");
    let state = if missing.is_empty() {
        Ok("in the cache".to_owned())
    } else {
        Err(format!("{missing}, compiled once"))
    };
    Finding { need: "cargo-leptos, bindgen", state, automatic: true }
}

fn node_itself(config: &Config) -> Finding {
    let state = node::check(config).map(|()| "here".to_owned()).map_err(|error| error.to_string());
    Finding { need: "Node and npm", state, automatic: false }
}

fn packages(place: &Place) -> Finding {
    let state = if node::is_ready(place) { Ok("node_modules".to_owned()) } else { Err("npm ci".to_owned()) };
    Finding { need: "npm packages", state, automatic: true }
}

fn database(config: &Config) -> Finding {
    let own = config.database.as_ref().map(|_| "DATABASE_URL".to_owned());
    let state = own.or_else(|| postgres::found(config)).ok_or_else(|| apt::command_line(&["postgresql"]));
    Finding { need: "PostgreSQL", state, automatic: apt::is_root() }
}

fn browser(config: &Config) -> Finding {
    let found = chromium::find(config).map(|path| path.display().to_string());
    let state = found.ok_or_else(|| format!("{} (for tests)", apt::command_line(&["chromium"])));
    Finding { need: "Chromium", state, automatic: apt::is_root() }
}

fn redis_itself(config: &Config) -> Finding {
    let found = redis::find(config).map(|path| path.display().to_string());
    let state = found.ok_or_else(|| format!("{} (for tests)", apt::command_line(&["redis-server"])));
    Finding { need: "redis-server", state, automatic: apt::is_root() }
}

fn python_itself(config: &Config) -> Finding {
    let state =
        python::check(config).map(|path| path.display().to_string()).map_err(|error| error.to_string());
    Finding { need: "Python with venv", state, automatic: apt::is_root() }
}
