//! The environment of xtask itself, read once. What the console and the gateway read is `stack::env`'s.

use std::{env, ffi::OsString, path::PathBuf};

/// What the caller's environment says.
#[derive(Clone, Debug)]
pub struct Config {
    /// `XDG_CACHE_HOME`, else `~/.cache`, plus `latchkey`.
    pub cache: PathBuf,
    /// Where cargo put us: the directory with the cargo that runs, if it said so.
    pub cargo_bin: Option<PathBuf>,
    pub path: OsString,
    /// Library folders, without those that cargo adds for the program it runs.
    pub library_path: Option<OsString>,
    /// A database of the caller's own instead of the private cluster.
    pub database: Option<OwnDatabase>,
    pub upstream_api_key: Option<String>,
    /// `XDG_RUNTIME_DIR`: short, ours alone, gone after logout.
    pub runtime_dir: Option<PathBuf>,
    pub rustup_home: Option<PathBuf>,
    pub target_dir: Option<PathBuf>,
    pub no_colour: bool,
}

/// A database that xtask neither starts nor stops.
#[derive(Clone, Debug)]
pub struct OwnDatabase {
    /// May change the schema: `MIGRATION_DATABASE_URL`, else `DATABASE_URL`.
    pub owner: String,
    pub console: String,
    /// `GATEWAY_DATABASE_URL`, else `DATABASE_URL`.
    pub gateway: String,
}

impl Config {
    pub fn from_environment() -> Self {
        let home = env::home_dir().unwrap_or_else(|| PathBuf::from("/tmp"));
        let cache = path("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        Self {
            cache: cache.join("latchkey"),
            cargo_bin: path("CARGO").and_then(|cargo| cargo.parent().map(PathBuf::from)),
            path: env::var_os("PATH").unwrap_or_default(),
            library_path: env::var_os("LD_LIBRARY_PATH").and_then(|all| without_cargos(&all)),
            database: own_database(),
            upstream_api_key: text("UPSTREAM_API_KEY"),
            runtime_dir: path("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()),
            rustup_home: path("RUSTUP_HOME").or_else(|| Some(env::home_dir()?.join(".rustup"))),
            target_dir: path("CARGO_TARGET_DIR"),
            no_colour: env::var_os("NO_COLOR").is_some(),
        }
    }
}

fn text(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn own_database() -> Option<OwnDatabase> {
    let console = text("DATABASE_URL")?;
    Some(OwnDatabase {
        owner: text("MIGRATION_DATABASE_URL").unwrap_or_else(|| console.clone()),
        gateway: text("GATEWAY_DATABASE_URL").unwrap_or_else(|| console.clone()),
        console,
    })
}

/// `cargo run` puts its toolchain's and its target's libraries in front; another toolchain must not load them.
fn without_cargos(all: &OsString) -> Option<OsString> {
    let kept: Vec<_> = env::split_paths(all)
        .filter(|dir| {
            !dir.components().any(|part| part.as_os_str() == "target" || part.as_os_str() == "rustlib")
        })
        .filter(|dir| {
            !dir.components().any(|part| part.as_os_str() == ".rustup" || part.as_os_str() == "toolchains")
        })
        .collect();
    if kept.is_empty() { None } else { env::join_paths(kept).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_callers_own_library_folders_are_kept() {
        let kept = |all: &str| without_cargos(&all.into()).and_then(|kept| kept.into_string().ok());
        let cargos = "/r/target/debug/deps:/home/a/.rustup/toolchains/x/lib";
        assert_eq!(kept(cargos), None);
        assert_eq!(kept(&format!("{cargos}:/opt/lib")).as_deref(), Some("/opt/lib"));
    }
}
