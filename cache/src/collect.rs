//! All entries of a store: listing, checking and removing them.

use crate::ledger::Ledger;
use crate::store::TAG;
use crate::{Key, Lookup, Store, directory};
use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

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
    /// All entries, the least recently used first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let now = SystemTime::now();
        for folder in directory::list(&self.directory.join("v1")) {
            let Some(prefix) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            for file in directory::list(&folder) {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let (Some(key), Ok(metadata)) =
                    (Key::parse(&format!("{prefix}{name}")), fs::symlink_metadata(&file))
                else {
                    continue;
                };
                let mut used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if used > now {
                    // It was put there while a clock was wrong, and would stay for ever.
                    used = now;
                    if let Ok(file) = directory::open(&file) {
                        drop(file.set_modified(now));
                    }
                }
                entries.push(Entry { key, len: metadata.len().saturating_sub(TAG as u64), used });
            }
        }
        entries.sort_by_key(|entry| (entry.used, entry.key.0));
        entries
    }

    pub fn stats(&self) -> Stats {
        let entries = self.entries();
        Stats { entries: entries.len() as u64, size: size(&entries) }
    }

    /// Removes what is too old, and the least recently used entries beyond the bound. Returns how many.
    ///
    /// # Errors
    /// If the directory cannot be written, or another process keeps it locked.
    pub fn collect(&self) -> io::Result<u64> {
        directory::sweep(&self.directory);
        let ledger = Ledger::lock(&self.directory, &self.secret)?;
        let (size, removed) = self.make_room(0);
        ledger.set_counted(size)?;
        Ok(removed)
    }

    /// Counts the entries and makes room for one of `len` bytes; more than that, so that the next ones find room too.
    /// The ledger is locked meanwhile. Returns the bytes of what is left, and how many entries were removed.
    pub(crate) fn make_room(&self, len: u64) -> (u64, u64) {
        /// The part of the bound that is free after entries had to go for the bound's sake.
        const FREE: u64 = 16;
        let now = SystemTime::now();
        let entries = self.entries();
        let mut left = size(&entries);
        let bound = match left.saturating_add(len) > self.limits.size {
            true => self.limits.size - (self.limits.size / FREE).max(len),
            false => self.limits.size,
        };
        let mut removed = 0;
        for entry in entries {
            let age = now.duration_since(entry.used).unwrap_or(Duration::ZERO);
            if left <= bound && age <= self.limits.age {
                continue;
            }
            if fs::remove_file(self.path(&entry.key)).is_ok() {
                removed += 1;
                left -= entry.len + TAG as u64;
            }
        }
        (left, removed)
    }

    /// Checks every entry, and removes the damaged ones.
    pub fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        for Entry { key, used, .. } in self.entries() {
            match self.find(&key) {
                Lookup::Hit(found) => {
                    verified.sound += 1;
                    // Looking at an entry is not using it.
                    drop(found.file().set_modified(used));
                }
                Lookup::Damaged => verified.damaged += 1,
                Lookup::Miss => {}
            }
        }
        verified
    }

    /// Removes all entries. Returns how many.
    ///
    /// # Errors
    /// If the directory cannot be written, or another process keeps it locked.
    pub fn clear(&self) -> io::Result<u64> {
        directory::sweep(&self.directory);
        let ledger = Ledger::lock(&self.directory, &self.secret)?;
        let entries = self.entries();
        let removed = entries.iter().filter(|entry| fs::remove_file(self.path(&entry.key)).is_ok()).count();
        ledger.set_counted(size(&self.entries()))?;
        Ok(removed as u64)
    }
}

/// Bytes of the files of entries.
fn size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.len + TAG as u64).sum()
}
