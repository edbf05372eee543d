//! Where things lie: the repository, its private folder `.latchkey/`, the user's cache.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::config::Config;

/// The folders xtask works in.
#[derive(Clone, Debug)]
pub struct Place {
    pub root: PathBuf,
    /// `.latchkey/`: the private cluster, development secrets, logs. Never committed.
    pub private: PathBuf,
    pub cache: PathBuf,
    /// Cargo's: `CARGO_TARGET_DIR`, else `target/`.
    pub target: PathBuf,
}

impl Place {
    pub fn new(config: &Config) -> Result<Self> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?.to_owned();
        let target = config.target_dir.clone().unwrap_or_else(|| root.join("target"));
        Ok(Self { private: root.join(".latchkey"), root, cache: config.cache.clone(), target })
    }

    /// Makes `.latchkey/`. Others may pass through it (the database's user does), not list it.
    pub fn make_private(&self) -> Result<()> {
        fs::create_dir_all(&self.private)
            .with_context(|| format!("cannot make {}", self.private.display()))?;
        fs::set_permissions(&self.private, Permissions::from_mode(0o711))?;
        Ok(())
    }

    /// Keeps a second `command` out of this repository for as long as the answer lives.
    pub fn lock(&self, command: &str) -> Result<File> {
        self.make_private()?;
        let path = self.private.join(format!("{command}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!("another `cargo xtask {command}` is running in this repository")
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    pub fn node_bin(&self) -> PathBuf {
        self.root.join("node_modules/.bin")
    }
}

/// Writes a file that only we may read.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// A short name for something long, the same in every run.
pub fn short_hash(of: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}
