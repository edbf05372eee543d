//! The spool's folder: one gateway's own, held by an OS lock, with the gateway's id and the segments in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

const LOCK: &str = "lock";
const ID: &str = "gateway-id";
const SUFFIX: &str = "spool";
/// Addresses of clients and public ids of keys are nobody else's business.
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Why a folder cannot be a spool.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "SPOOL_DIR {} is in use by another gateway (process {owner}); give each gateway a folder of its own",
        folder.display()
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// What that process wrote down about itself.
        owner: String,
    },
    /// The id's file says something else.
    #[error("{} holds no gateway id; put it right, or remove it to become another gateway", .0.display())]
    NoId(PathBuf),
    /// The file system says no.
    #[error("SPOOL_DIR cannot be used: {}: {error}", path.display())]
    Io {
        /// At which path.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    |error| FolderError::Io { path, error }
}

/// A spool's folder, locked for as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    id: Uuid,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, locks it and reads the gateway's id, which is made the first time.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path).map_err(at(path))?;
        let lock = lock(path)?;
        let id = read_id(path)?.map_or_else(|| make_id(path), Ok)?;
        Ok(Self { path: path.to_owned(), id, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The gateway's id, the same at every start.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The numbers of the segments there are, oldest first, with their sizes in bytes.
    pub fn segments(&self) -> Result<Vec<(u64, u64)>, FolderError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let entry = entry.map_err(at(&self.path))?;
            if let Some(number) = number_of(&entry.path()) {
                found.push((number, entry.metadata().map_err(at(&entry.path()))?.len()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// The path of a segment.
pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.{SUFFIX}"))
}

fn number_of(path: &Path) -> Option<u64> {
    if path.extension()? != SUFFIX {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Opens a file of the spool for writing, and makes it where it is missing.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(PRIVATE_FILE).open(path)
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(LOCK);
    let mut file = open_file(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only for the message.
            let _ = (&file).take(20).read_to_string(&mut owner);
            return Err(FolderError::InUse { folder: folder.to_owned(), owner: owner.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    // A full disk keeps nobody from starting: what is in the spool must still get to the ledger.
    if let Err(error) = write {
        tracing::warn!(path = %path.display(), %error, "the lock's file could not be written; it is locked all the same");
    }
    Ok(file)
}

fn read_id(folder: &Path) -> Result<Option<Uuid>, FolderError> {
    let path = folder.join(ID);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| FolderError::NoId(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path)(error)),
    }
}

/// Written beside its place and then moved there, so that there is never half an id.
fn make_id(folder: &Path) -> Result<Uuid, FolderError> {
    let id = store::new_id();
    let (new, path) = (folder.join("gateway-id.new"), folder.join(ID));
    let write = || {
        let mut file = open_file(&new)?;
        file.set_len(0)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(folder)
    };
    write().map_err(at(&path)).map(|()| id)
}

/// Makes names of new files outlast a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Bytes the folder's file system still has for this process.
pub(super) fn room(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_id_outlasts_the_process_and_the_folder_is_private() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made/on/demand");
        let first = Folder::open(&path).unwrap().id();
        assert_eq!(Folder::open(&path).unwrap().id(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(ID))), (0o700, 0o600));
    }

    #[test]
    fn two_gateways_never_share_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        let error = Folder::open(place.path()).unwrap_err().to_string();
        assert!(
            error.contains("in use by another gateway") && error.contains("a folder of its own"),
            "{error}"
        );
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        Folder::open(place.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_path() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Folder::open(&file.join("below")).unwrap_err().to_string();
        assert!(error.starts_with("SPOOL_DIR cannot be used") && error.contains("below"), "{error}");
        fs::write(place.path().join(ID), "me").unwrap();
        assert!(Folder::open(place.path()).unwrap_err().to_string().contains("holds no gateway id"));
    }

    #[test]
    fn segments_are_listed_by_number_and_nothing_else_is() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        for number in [10, 9, 11] {
            fs::write(segment_path(place.path(), number), "x").unwrap();
        }
        fs::write(place.path().join("notes.txt"), "").unwrap();
        fs::write(place.path().join("x.spool"), "").unwrap();
        assert_eq!(folder.segments().unwrap(), [(9, 1), (10, 1), (11, 1)]);
    }
}
