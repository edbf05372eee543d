//! API keys as the console would make them: their digests as a table for `COPY`, their secrets in files for the load
//! generator.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use domain::secret::{ENTROPY, KeyPrefix, Pepper, PlainSecret};

/// What to make.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Folder for `keys.csv` and one file of secrets for each kind
    #[arg(long)]
    folder: PathBuf,
    /// Keys without any rule or limit
    #[arg(long)]
    bare: u32,
    /// Keys with every rule and limit
    #[arg(long)]
    full: u32,
    /// Keys that are revoked; as many again are well-formed and nobody's
    #[arg(long)]
    revoked: u32,
    /// What keys begin with
    #[arg(long, default_value = "sk-lk-")]
    prefix: String,
    /// The gateway's
    #[arg(long, env = "KEY_PEPPER", hide_env_values = true)]
    key_pepper: String,
}

/// Makes the keys and writes the files.
pub fn make(args: &KeysArgs) -> anyhow::Result<()> {
    let prefix = KeyPrefix::parse(&args.prefix)?;
    let pepper = Pepper::new(args.key_pepper.as_bytes(), 1);
    let mut table = create(&args.folder, "keys.csv")?;
    for (kind, count) in [("bare", args.bare), ("full", args.full), ("revoked", args.revoked)] {
        let mut secrets = create(&args.folder, &format!("{kind}.secrets"))?;
        for _ in 0..count {
            let secret = secret(&prefix)?;
            writeln!(secrets, "{}", secret.expose())?;
            write!(table, "{kind},{},\\x", secret.public_id())?;
            for byte in pepper.digest(&secret).0 {
                write!(table, "{byte:02x}")?;
            }
            writeln!(table, ",{}", secret.last4())?;
        }
        secrets.flush()?;
    }
    let mut secrets = create(&args.folder, "unknown.secrets")?;
    for _ in 0..args.revoked {
        writeln!(secrets, "{}", secret(&prefix)?.expose())?;
    }
    secrets.flush()?;
    table.flush().context("keys.csv cannot be written")
}

fn secret(prefix: &KeyPrefix) -> anyhow::Result<PlainSecret> {
    let mut entropy = [0; ENTROPY];
    getrandom::fill(&mut entropy).context("the operating system gives no random numbers")?;
    Ok(PlainSecret::from_entropy(prefix, &entropy))
}

fn create(folder: &Path, name: &str) -> anyhow::Result<BufWriter<File>> {
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}
