//! The ledger of a store: how many bytes its entries have, so that not every new entry has to count them.
//!
//! ```text
//! v1/ledger    size: u64, counted: u64 (seconds since 1970), both little-endian; then their tag under the user's key
//! ```
//! Who has it locked may add entries and make room. The lock is the system's: it goes with the process that holds it.

use crate::directory;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NUMBERS: usize = 16;
const LEN: usize = NUMBERS + 32;

/// How long a process waits for another one to make room, before it gives up keeping its entry.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this time the entries are counted again, and the old ones go.
const COUNT_EVERY: Duration = Duration::from_secs(3600);

/// The ledger, locked.
pub(crate) struct Ledger<'a> {
    file: File,
    secret: &'a [u8; 32],
}

impl<'a> Ledger<'a> {
    /// # Errors
    /// If it cannot be written, or another process has it for too long.
    pub fn lock(directory: &Path, secret: &'a [u8; 32]) -> io::Result<Ledger<'a>> {
        let file = directory::open_or_make(&directory.join("v1/ledger"))?;
        let start = Instant::now();
        let mut pause = Duration::from_micros(50);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Ledger { file, secret }),
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => thread::sleep(pause),
                Err(Errno::WOULDBLOCK) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps it locked"));
                }
                Err(error) => return Err(error.into()),
            }
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    /// Bytes of all entries; never too few. Nothing if they have to be counted.
    pub fn size(&self) -> Option<u64> {
        let mut bytes = [0; LEN];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (numbers, tag) = bytes.split_first_chunk::<NUMBERS>()?;
        if self.tag(numbers) != *tag {
            return None;
        }
        let (size, counted) = numbers.split_first_chunk::<8>()?;
        let counted = u64::from_le_bytes(counted.try_into().ok()?);
        // A time to come is that of a clock that was wrong.
        let age = now().checked_sub(counted)?;
        (age < COUNT_EVERY.as_secs()).then_some(u64::from_le_bytes(*size))
    }

    /// Notes the size as it will be after an entry was added.
    pub fn set_size(&self, size: u64) -> io::Result<()> {
        let counted = self.read_counted().unwrap_or_else(now);
        self.write(size, counted)
    }

    /// Notes the size that was counted just now.
    pub fn set_counted(&self, size: u64) -> io::Result<()> {
        self.write(size, now())
    }

    fn read_counted(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 8).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    fn write(&self, size: u64, counted: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend(size.to_le_bytes());
        bytes.extend(counted.to_le_bytes());
        bytes.extend(self.tag(&bytes).as_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    fn tag(&self, numbers: &[u8]) -> blake3::Hash {
        // No key of an entry is as short as this text.
        let mut hasher = blake3::Hasher::new_keyed(self.secret);
        hasher.update(b"ledger");
        hasher.update(numbers);
        hasher.finalize()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
