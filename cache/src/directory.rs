//! The directory of a store and its secret: only the user may write there, or it is not used.

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Makes the directory if it is not there, and checks that it is the user's own.
pub(crate) fn prepare(path: &Path) -> io::Result<()> {
    make(path)?;
    // A link may lead there if the user has made it.
    let link = fs::symlink_metadata(path)?;
    let metadata = fs::metadata(path)?;
    let user = geteuid().as_raw();
    if link.uid() != user || metadata.uid() != user || metadata.mode() & 0o022 != 0 {
        return Err(refused(path, "can be written by others; remove it, or take that right from them"));
    }
    for name in ["v1", "v1/tmp"] {
        folder(&path.join(name))?;
    }
    Ok(())
}

/// Makes a folder of a store if it is not there. A link in its place is refused: nothing is written elsewhere.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    make(path)?;
    match fs::symlink_metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(refused(path, "is not a directory of a cache; remove it")),
    }
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        // A file system that cannot be written may have an answer of its own for what is there already.
        Err(_) if path.is_dir() => Ok(()),
        result => result,
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("`{}` {why}", path.display()))
}

/// The user's key, made at the first use.
pub(crate) fn secret(directory: &Path) -> io::Result<[u8; 32]> {
    let path = directory.join("key");
    for _ in 0..100 {
        match read_secret(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        // Whoever links its file first has made the key; the others read that one.
        let mut temporary = Temporary::new(directory, 0o600)?;
        let mut bytes = [0; 32];
        random(&mut bytes)?;
        let linked = temporary
            .writer()
            .write_all(&bytes)
            // Unlike an entry, it cannot be made again: with it, all entries would be lost.
            .and_then(|()| temporary.writer().sync_all())
            .and_then(|()| fs::hard_link(&temporary.path, &path));
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::other("the key of the cache cannot be made"))
}

fn read_secret(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = [0; 32];
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 || metadata.len() != 32 {
        let message = format!("`{}` is not the key of a cache; remove it", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file for reading, and no link.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_link()).open(path)
}

/// Opens a file for reading and writing, and no link; makes it if it is not there.
pub(crate) fn open_or_make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(no_link()).open(path)
}

fn no_link() -> i32 {
    // The bits are those of the system's header, which has them as `int`.
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// A file that is being written. It goes away unless it is renamed.
///
/// Its maker has a lock on it: one without was left by a process that was killed, and is removed by [`sweep`].
pub(crate) struct Temporary {
    path: PathBuf,
    writer: Option<File>,
    /// Holds the lock, and keeps nobody from executing the file.
    _lock: File,
}

impl Temporary {
    pub fn new(directory: &Path, mode: u32) -> io::Result<Temporary> {
        loop {
            let mut bytes = [0; 8];
            random(&mut bytes)?;
            let path = directory.join("v1/tmp").join(format!("{:016x}", u64::from_le_bytes(bytes)));
            let writer = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => result?,
            };
            let lock = match open(&path) {
                // Another process took it for a left one before it was locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result?,
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                result => result?,
            }
            if lock.metadata()?.nlink() > 0 {
                return Ok(Temporary { path, writer: Some(writer), _lock: lock });
            }
        }
    }

    pub fn writer(&mut self) -> &mut File {
        self.writer.as_mut().expect("it is closed only when the file is renamed")
    }

    /// Gives the file its name, in place of what has it.
    pub fn rename(mut self, path: &Path) -> io::Result<()> {
        // Whoever finds it may execute it, which the system refuses for what is open for writing.
        self.writer = None;
        fs::rename(&self.path, path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // There is none if it was renamed: its name was random.
        drop(fs::remove_file(&self.path));
    }
}

/// Removes what processes that were killed have left.
pub(crate) fn sweep(directory: &Path) {
    for path in list(&directory.join("v1/tmp")) {
        let Ok(file) = open(&path) else {
            // A link, or something else that no store has put there.
            drop(fs::remove_file(&path));
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(fs::remove_file(&path));
        }
    }
}

pub(crate) fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(directory) else { return Vec::new() };
    items.filter_map(|item| Some(item.ok()?.path())).collect()
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())? {
        len if len == bytes.len() => Ok(()),
        _ => Err(io::Error::other("the system has no random bytes")),
    }
}
