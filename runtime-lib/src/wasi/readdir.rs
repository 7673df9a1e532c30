//! `fd_readdir`.
//!
//! A cookie is where the host's directory goes on, so that a directory needs no memory here and entries that are
//! removed meanwhile don't shift the others. The entries `.` and `..` are made here, since not every file system
//! has them, and come first:
//!
//! ```text
//! cookie 0      the start: `.` comes next
//! cookie 1      `..` comes next
//! cookie 2      the host's first entry comes next
//! cookie c > 2  the entry at the host's position c - 3 comes next
//! ```

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::GuestMemory;
use super::rights::FD_READDIR;
use super::types::Filetype;
use core::mem::MaybeUninit;
use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom, fstat, seek, statat};
use rustix::io::Errno as HostErrno;

/// Bytes of `$dirent` before the name: d_next u64, d_ino u64, d_namlen u32, d_type u8, padding.
const DIRENT_SIZE: usize = 24;

const COOKIE_DOT_DOT: u64 = 1;
const COOKIE_HOST_START: u64 = 2;
const COOKIE_HOST_BASE: u64 = 3;

/// Bytes of entries that are read from the host at once. A name has at most 255 bytes on Linux.
const HOST_BUFFER_SIZE: usize = 4096;

/// The guest's buffer and how much of it is used.
struct Sink<'m> {
    buffer: &'m mut [u8],
    used: usize,
}

impl Sink<'_> {
    fn is_full(&self) -> bool {
        self.used == self.buffer.len()
    }

    /// Appends as much as there is room for: the last entry may be cut off.
    fn push(&mut self, bytes: &[u8]) {
        let room = self.buffer.get_mut(self.used..).unwrap_or(&mut []);
        let len = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.used += len;
    }

    fn push_entry(&mut self, next: u64, ino: u64, filetype: Filetype, name: &[u8]) {
        let mut head = [0; DIRENT_SIZE];
        let name_len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let fields = next.to_le_bytes().into_iter().chain(ino.to_le_bytes()).chain(name_len.to_le_bytes());
        for (to, from) in head.iter_mut().zip(fields.chain([filetype as u8])) {
            *to = from;
        }
        self.push(&head);
        self.push(name);
    }
}

/// Fills a buffer with the entries of a directory from `cookie` on. Less than a full buffer means the end.
pub fn fd_readdir(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    used: u32,
) -> Result<(), Errno> {
    let dir = &ctx.fds.directory(fd, FD_READDIR)?.host;
    memory.check(used, 4)?;
    let mut sink = Sink { buffer: memory.bytes_mut(buf, buf_len)?, used: 0 };

    if cookie < COOKIE_HOST_START {
        // The parent's number is that of the directory itself: the parent may be outside the sandbox.
        let ino = fstat(dir)?.st_ino;
        if cookie < COOKIE_DOT_DOT {
            sink.push_entry(COOKIE_DOT_DOT, ino, Filetype::Directory, b".");
        }
        sink.push_entry(COOKIE_HOST_START, ino, Filetype::Directory, b"..");
    }

    if !sink.is_full() {
        seek(dir, SeekFrom::Start(cookie.saturating_sub(COOKIE_HOST_BASE)))?;
        let mut host_buffer = [MaybeUninit::uninit(); HOST_BUFFER_SIZE];
        let mut entries = RawDir::new(dir, &mut host_buffer);
        while !sink.is_full() {
            let entry = match entries.next() {
                None => break,
                // The directory has been removed.
                Some(Err(HostErrno::NOENT)) => break,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut ino = entry.ino();
            let mut filetype = entry.file_type();
            if filetype == FileType::Unknown {
                // Some file systems leave the type to `stat`. A file that is gone by now has none.
                if let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    ino = stat.st_ino;
                    filetype = FileType::from_raw_mode(stat.st_mode);
                }
            }
            let next = entry.next_entry_cookie().saturating_add(COOKIE_HOST_BASE);
            sink.push_entry(next, ino, Filetype::from_host(filetype), name.to_bytes());
        }
    }
    let total = u32::try_from(sink.used).map_err(|_| Errno::Overflow)?;
    memory.write_u32(used, total)
}
