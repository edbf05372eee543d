//! Who runs the cluster. PostgreSQL refuses to run as root, so for root it is another user of the machine.

use std::{
    fs::{self, DirBuilder},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::place::write_secret;

/// Ourselves, or for root a user with fewer rights.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    Us,
    Other { uid: u32, gid: u32 },
}

impl Owner {
    pub fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Us);
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let found = ["postgres", "nobody"].into_iter().find_map(|name| ids_of(name, &users));
        let (uid, gid) =
            found.context("PostgreSQL does not run as root, and there is no user postgres or nobody")?;
        Ok(Self::Other { uid, gid })
    }

    /// Makes `command` run as this user.
    pub fn run_as(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Makes `dir`, which only this user may enter; refuses one that somebody else made.
    pub fn make_own_dir(self, dir: &Path) -> Result<()> {
        if !dir.exists() {
            DirBuilder::new()
                .mode(0o700)
                .create(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
            if let Self::Other { uid, gid } = self {
                chown(dir, Some(uid), Some(gid))?;
            }
        }
        let is = fs::symlink_metadata(dir)?;
        if !is.is_dir() || is.uid() != self.uid() || is.permissions().mode() & 0o077 != 0 {
            bail!("{} is not a folder of ours alone; please remove it", dir.display());
        }
        Ok(())
    }

    /// Writes a file that only this user may read.
    pub fn write_own_file(self, path: &Path, text: &str) -> Result<PathBuf> {
        write_secret(path, text)?;
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(path.to_owned())
    }

    /// Whether this user can pass through every folder above `path`.
    pub fn can_reach(self, path: &Path) -> bool {
        matches!(self, Self::Us)
            || path
                .ancestors()
                .skip(1)
                .all(|dir| fs::metadata(dir).is_ok_and(|is| is.mode() & 0o001 != 0 || is.uid() == self.uid()))
    }

    fn uid(self) -> u32 {
        match self {
            Self::Us => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }
}

/// User and group id of `name` in the text of `/etc/passwd`.
fn ids_of(name: &str, users: &str) -> Option<(u32, u32)> {
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\npostgres2:x:1:1::/:/bin/sh\npostgres:x:107:112::/:/bin/sh\n";
        assert_eq!(ids_of("postgres", users), Some((107, 112)));
        assert_eq!(ids_of("nobody", users), None);
    }
}
