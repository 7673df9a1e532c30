//! The directory of a store and its secret: only the user may write there, or it is not used.

use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Makes the directory if it is not there, and checks that it is the user's own.
pub(crate) fn prepare(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::metadata(path)?;
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("`{}` can be written by others; remove it, or take that right from them", path.display()),
        ));
    }
    for name in ["v1", "v1/tmp"] {
        DirBuilder::new().recursive(true).mode(0o700).create(path.join(name))?;
    }
    Ok(())
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
        let (temporary, mut file) = temporary(directory)?;
        let mut bytes = [0; 32];
        random(&mut bytes)?;
        let linked = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&temporary, &path));
        drop(fs::remove_file(&temporary));
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
    let no_follow = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    OpenOptions::new().read(true).custom_flags(no_follow).open(path)
}

/// A new file for something that is being written.
pub(crate) fn temporary(directory: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let mut bytes = [0; 8];
        random(&mut bytes)?;
        let path = directory.join("v1/tmp").join(format!("{:016x}", u64::from_le_bytes(bytes)));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (path, file)),
        }
    }
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())? {
        len if len == bytes.len() => Ok(()),
        _ => Err(io::Error::other("the system has no random bytes")),
    }
}
