//! Looking entries up, adding and removing them.

use crate::{Key, Limits, directory};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes of the tag at the end of an entry.
const TAG: usize = 32;

/// What is being written is left over after this time.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A store. Opening it makes the directory; nothing else is kept open.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    secret: [u8; 32],
    limits: Limits,
}

/// What came of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    Hit(Vec<u8>),
    Miss,
    /// There was an entry that is not what was put there. It is removed.
    Damaged,
}

/// An entry as the directory shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    /// Bytes of the value.
    pub len: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub entries: u64,
    /// Bytes of all files of entries.
    pub size: u64,
}

/// What came of checking all entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub sound: u64,
    /// Removed.
    pub damaged: u64,
}

impl Store {
    /// Opens the store of a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// If the directory cannot be made or written to, or others can write to it.
    pub fn open(directory: &Path, limits: Limits) -> io::Result<Store> {
        directory::prepare(directory)?;
        let secret = directory::secret(directory)?;
        Ok(Store { directory: directory.to_owned(), secret, limits })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The value of a key. A hit makes the entry the last one to go.
    pub fn get(&self, key: &Key) -> Lookup {
        let path = self.path(key);
        let Ok(mut file) = directory::open(&path) else { return Lookup::Miss };
        let mut bytes = Vec::new();
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !is_file || file.read_to_end(&mut bytes).is_err() || !self.is_sound(key, &bytes) {
            drop(fs::remove_file(&path));
            return Lookup::Damaged;
        }
        bytes.truncate(bytes.len() - TAG);
        // Best effort: an entry whose time cannot be set only goes earlier.
        drop(file.set_modified(SystemTime::now()));
        Lookup::Hit(bytes)
    }

    /// Adds an entry, or replaces it, and then removes what is too much.
    ///
    /// # Errors
    /// If it cannot be written. Nothing is left behind.
    pub fn put(&self, key: &Key, value: &[u8]) -> io::Result<()> {
        if (value.len() + TAG) as u64 > self.limits.size {
            return Ok(());
        }
        let path = self.path(key);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let (temporary, mut file) = directory::temporary(&self.directory)?;
        let written = file
            .write_all(value)
            .and_then(|()| file.write_all(self.tag(key, value).as_bytes()))
            .and_then(|()| file.sync_data())
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written?;
        self.collect();
        Ok(())
    }

    /// All entries, the least recently used first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for folder in list(&self.directory.join("v1")) {
            let Some(prefix) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            for file in list(&folder) {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let (Some(key), Ok(metadata)) =
                    (Key::parse(&format!("{prefix}{name}")), fs::symlink_metadata(&file))
                else {
                    continue;
                };
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push(Entry { key, len: metadata.len().saturating_sub(TAG as u64), used });
            }
        }
        entries.sort_by_key(|entry| (entry.used, entry.key.0));
        entries
    }

    pub fn stats(&self) -> Stats {
        let entries = self.entries();
        let size = entries.iter().map(|entry| entry.len + TAG as u64).sum();
        Stats { entries: entries.len() as u64, size }
    }

    /// Removes what is too old, and the least recently used entries beyond the bound. Returns how many.
    pub fn collect(&self) -> u64 {
        let now = SystemTime::now();
        // A clock that was set back makes nothing old.
        let age = |time: SystemTime| now.duration_since(time).unwrap_or(Duration::ZERO);
        for file in list(&self.directory.join("v1/tmp")) {
            let modified = fs::symlink_metadata(&file).and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|time| age(time) > ABANDONED) {
                drop(fs::remove_file(&file));
            }
        }
        let entries = self.entries();
        let mut size: u64 = entries.iter().map(|entry| entry.len + TAG as u64).sum();
        let mut removed = 0;
        for entry in entries {
            if size <= self.limits.size && age(entry.used) <= self.limits.age {
                continue;
            }
            if fs::remove_file(self.path(&entry.key)).is_ok() {
                removed += 1;
            }
            size -= entry.len + TAG as u64;
        }
        removed
    }

    /// Checks every entry, and removes the damaged ones.
    pub fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        for Entry { key, used, .. } in self.entries() {
            match self.get(&key) {
                Lookup::Hit(_) => {
                    verified.sound += 1;
                    // Looking at an entry is not using it.
                    if let Ok(file) = directory::open(&self.path(&key)) {
                        drop(file.set_modified(used));
                    }
                }
                Lookup::Damaged => verified.damaged += 1,
                Lookup::Miss => {}
            }
        }
        verified
    }

    /// Removes all entries. Returns how many.
    pub fn clear(&self) -> u64 {
        let entries = self.entries();
        entries.iter().filter(|entry| fs::remove_file(self.path(&entry.key)).is_ok()).count() as u64
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.directory.join("v1").join(&name[..2]).join(&name[2..])
    }

    fn tag(&self, key: &Key, value: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&key.0);
        hasher.update(value);
        hasher.finalize()
    }

    fn is_sound(&self, key: &Key, bytes: &[u8]) -> bool {
        let Some((value, tag)) = bytes.split_last_chunk::<TAG>() else { return false };
        // This comparison takes the same time wherever the tags differ.
        self.tag(key, value) == *tag
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(directory) else { return Vec::new() };
    items.filter_map(|item| Some(item.ok()?.path())).collect()
}

#[cfg(test)]
mod tests;
