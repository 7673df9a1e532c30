//! Looking entries up, and adding them.

use crate::directory::{self, Temporary};
use crate::ledger::Ledger;
use crate::{Key, Limits};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

/// Bytes of the tag at the end of an entry.
pub(crate) const TAG: usize = 32;

/// The time of the last use is noted no more often than this.
const USED_EVERY: Duration = Duration::from_secs(60);

/// Bytes that are read at a time.
const CHUNK: usize = 256 * 1024;

/// A store. Opening it makes the directory; nothing else is kept open.
#[derive(Debug)]
pub struct Store {
    pub(crate) directory: PathBuf,
    pub(crate) secret: [u8; 32],
    pub(crate) limits: Limits,
    swept: Once,
}

/// What came of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    Hit(T),
    Miss,
    /// There was an entry that is not what was put there. It is removed.
    Damaged,
}

/// An entry that was checked, as a file. Its bytes stay what they are if the entry is removed or replaced.
#[derive(Debug)]
pub struct Found {
    file: File,
    len: u64,
}

impl Found {
    /// Bytes of the value.
    #[expect(clippy::len_without_is_empty, reason = "it is no collection")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The file, which can be executed: the value, and a tag behind it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the value to a file, by sharing its blocks where the file system can. There is no hard link: who then
    /// changed the file would change the entry.
    pub fn copy_to(&self, file: &mut File) -> io::Result<()> {
        let mut source = &self.file;
        source.rewind()?;
        // The standard library lets the system copy.
        match io::copy(&mut source.take(self.len), file)? {
            len if len == self.len => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut source = &self.file;
        source.rewind()?;
        let mut bytes = Vec::new();
        source.take(self.len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Store {
    /// Opens the store of a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// If the directory cannot be made, or is not the user's own.
    pub fn open(directory: &Path, limits: Limits) -> io::Result<Store> {
        directory::prepare(directory)?;
        let secret = directory::secret(directory)?;
        Ok(Store { directory: directory.to_owned(), secret, limits, swept: Once::new() })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether there is an entry, which nobody has looked at.
    pub fn has(&self, key: &Key) -> bool {
        self.path(key).exists()
    }

    /// The value of a key. A hit makes the entry the last one to go.
    pub fn get(&self, key: &Key) -> Lookup<Vec<u8>> {
        self.look_up(key, |file, len| {
            let mut bytes = Vec::with_capacity(len);
            file.take(len as u64).read_to_end(&mut bytes).ok()?;
            let (value, tag) = bytes.split_last_chunk::<TAG>()?;
            let mut hasher = self.hasher(key);
            hasher.update(value);
            let is_sound = hasher.finalize() == *tag;
            bytes.truncate(bytes.len() - TAG);
            is_sound.then_some(bytes)
        })
    }

    /// The value of a key as a file: for what is large, and need not come into memory.
    pub fn find(&self, key: &Key) -> Lookup<Found> {
        self.look_up(key, |mut file, len| {
            let value_len = len.checked_sub(TAG)?;
            let mut hasher = self.hasher(key);
            let mut buffer = vec![0; CHUNK.min(value_len)];
            let mut left = value_len;
            while left > 0 {
                let part = &mut buffer[..CHUNK.min(left)];
                file.read_exact(part).ok()?;
                hasher.update(part);
                left -= part.len();
            }
            let mut tag = [0; TAG];
            file.read_exact(&mut tag).ok()?;
            let is_sound = hasher.finalize() == tag;
            is_sound.then_some(Found { file: file.try_clone().ok()?, len: value_len as u64 })
        })
    }

    /// Opens the entry of a key and checks it. What is not sound is removed.
    fn look_up<T>(&self, key: &Key, check: impl FnOnce(&File, usize) -> Option<T>) -> Lookup<T> {
        let path = self.path(key);
        let Ok(file) = directory::open(&path) else { return Lookup::Miss };
        let metadata = file.metadata().ok().filter(|metadata| {
            // What is larger than all entries may be is none.
            metadata.is_file() && metadata.len() <= self.limits.size
        });
        let len = metadata.as_ref().and_then(|metadata| usize::try_from(metadata.len()).ok());
        let Some(value) = len.and_then(|len| check(&file, len)) else {
            drop(fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)));
            return Lookup::Damaged;
        };
        let now = SystemTime::now();
        let used = metadata.and_then(|metadata| metadata.modified().ok());
        if used.and_then(|used| now.duration_since(used).ok()).is_none_or(|age| age >= USED_EVERY) {
            // Best effort: an entry whose time cannot be set only goes earlier.
            drop(file.set_modified(now));
        }
        Lookup::Hit(value)
    }

    /// Adds an entry, or replaces it, after making room for it.
    ///
    /// Nothing waits for the disk: an entry that a crash of the machine has torn is a miss, as its tag is not right.
    ///
    /// # Errors
    /// If it cannot be written. Nothing is left behind.
    pub fn put(&self, key: &Key, value: &[u8]) -> io::Result<()> {
        let len = (value.len() + TAG) as u64;
        if len > self.limits.size {
            return Ok(());
        }
        self.swept.call_once(|| directory::sweep(&self.directory));
        let mut temporary = Temporary::new(&self.directory, 0o700)?;
        let mut hasher = self.hasher(key);
        crate::key::update(&mut hasher, value);
        temporary.writer().write_all(value)?;
        temporary.writer().write_all(hasher.finalize().as_bytes())?;
        let path = self.path(key);
        if let Some(parent) = path.parent() {
            directory::folder(parent)?;
        }
        let ledger = Ledger::lock(&self.directory, &self.secret)?;
        let size = match ledger.size() {
            Some(size) if size.saturating_add(len) <= self.limits.size => size,
            _ => {
                let (size, _) = self.make_room(len);
                ledger.set_counted(size)?;
                if size.saturating_add(len) > self.limits.size {
                    return Err(io::Error::other("entries that have to go cannot be removed"));
                }
                size
            }
        };
        let replaced = fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
        // Before it is there: a process that is killed in between has noted too much, never too little.
        ledger.set_size(size + len)?;
        temporary.rename(&path)?;
        if replaced > 0 {
            ledger.set_size((size + len).saturating_sub(replaced))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.directory.join("v1").join(&name[..2]).join(&name[2..])
    }

    /// What makes the tag of an entry, once it has seen the value.
    fn hasher(&self, key: &Key) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&key.0);
        hasher
    }
}

#[cfg(test)]
mod tests;
