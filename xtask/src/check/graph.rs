//! Who may be linked with whom, read from `cargo tree`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::{
    compile::HOST,
    place::Place,
    process,
    toolchain::{Toolchain, WASM},
};

/// Would bloat the browser's download, or shows that a server feature leaked into it.
const NOT_IN_WASM: [&str; 8] = ["tokio", "mio", "axum", "hyper", "sqlx", "store", "argon2", "lettre"];
/// One TLS provider (ring): two would be linked side by side and chosen by chance.
const NOT_ON_HOST: [&str; 6] =
    ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "ring-compat"];

pub fn check(rust: &Toolchain, place: &Place) -> Result<()> {
    let front = [
        "--package",
        "latchkey",
        "--locked",
        "--no-default-features",
        "--features",
        "hydrate",
        "--target",
        WASM,
    ];
    refuse(&tree(rust, place, &front)?, &NOT_IN_WASM, "the WASM build")?;
    let mut host = HOST.to_vec();
    // Every platform's: a ban that holds on this machine only is none.
    host.extend(["--target", "all"]);
    refuse(&tree(rust, place, &host)?, &NOT_ON_HOST, "the host build")
}

fn tree(rust: &Toolchain, place: &Place, selection: &[&str]) -> Result<String> {
    let mut tree = rust.cargo();
    tree.arg("tree").args(selection).args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    process::output(tree.current_dir(&place.root))
}

fn refuse(tree: &str, banned: &[&str], from: &str) -> Result<()> {
    let linked: BTreeSet<_> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let found: Vec<_> = banned.iter().filter(|name| linked.contains(*name)).collect();
    if linked.is_empty() {
        bail!("cargo tree named no crate of {from}");
    }
    if !found.is_empty() {
        bail!("{from} links {found:?}; `cargo tree --invert NAME` shows why");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_found_by_its_whole_name() {
        let tree = "latchkey v0.1.0 (/r)\ntokio-util v0.7.20\nserde v1.0.229 (*)\n";
        refuse(tree, &["tokio"], "x").unwrap();
        assert!(refuse(tree, &["serde"], "x").unwrap_err().to_string().contains("serde"));
        assert!(refuse("", &["serde"], "x").is_err());
    }
}
