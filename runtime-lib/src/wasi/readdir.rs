//! `fd_readdir`.
//!
//! A cookie is the number of entries before it. The entries `.` and `..` are made here, since not every file system
//! has them, and come first. So cookies are small on every file system: C programs keep them in 32 bits
//! (`telldir`), and others count entries themselves.
//!
//! To go on where the last call ended, the context remembers for each descriptor the host's position after the last
//! complete entry. That makes reading a directory linear, and entries that are removed meanwhile don't shift the
//! others. Any other cookie is found by counting from the start.

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::GuestMemory;
use super::rights::FD_READDIR;
use super::types::Filetype;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom, fstat, seek, statat};
use rustix::io::Errno as HostErrno;

/// Bytes of `$dirent` before the name: d_next u64, d_ino u64, d_namlen u32, d_type u8, padding.
const DIRENT_SIZE: usize = 24;

const COOKIE_DOT_DOT: u64 = 1;
/// The cookie of the host's first entry.
const COOKIE_HOST: u64 = 2;

/// Bytes of entries that are read from the host at once. A name has at most 255 bytes on Linux.
const HOST_BUFFER_SIZE: usize = 4096;

/// The guest's buffer and how much of it is used.
struct Sink<'m> {
    buffer: &'m mut [u8],
    used: usize,
}

/// Where the host's directory goes on after a number of its entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    entries: u64,
    position: u64,
}

impl Sink<'_> {
    fn is_full(&self) -> bool {
        self.used == self.buffer.len()
    }

    /// Appends as much as there is room for, and tells whether that is all.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let room = self.buffer.get_mut(self.used..).unwrap_or(&mut []);
        let len = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.used += len;
        len == bytes.len()
    }

    /// Appends an entry, and tells whether it isn't cut off. No name is empty, so that is what its name tells.
    fn push_entry(&mut self, next: u64, ino: u64, filetype: Filetype, name: &[u8]) -> bool {
        let mut head = [0; DIRENT_SIZE];
        let name_len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let fields = next.to_le_bytes().into_iter().chain(ino.to_le_bytes()).chain(name_len.to_le_bytes());
        for (to, from) in head.iter_mut().zip(fields.chain([filetype as u8])) {
            *to = from;
        }
        self.push(&head);
        self.push(name)
    }
}

/// The mark of a descriptor. One left over from a descriptor that had the same number does no harm: the new one is
/// read from the start first.
fn mark_of(marks: &mut Vec<Mark>, fd: u32) -> Result<&mut Mark, Errno> {
    let index = usize::try_from(fd).map_err(|_| Errno::Badf)?;
    if marks.len() <= index {
        marks.try_reserve(index + 1 - marks.len()).map_err(|_| Errno::Nomem)?;
        marks.resize(index + 1, Mark::default());
    }
    marks.get_mut(index).ok_or(Errno::Nomem)
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
    let saved = mark_of(&mut ctx.marks, fd)?;
    memory.check(used, 4)?;
    let mut sink = Sink { buffer: memory.bytes_mut(buf, buf_len)?, used: 0 };

    if cookie < COOKIE_HOST {
        // The parent's number is that of the directory itself: the parent may be outside the sandbox.
        let ino = fstat(dir)?.st_ino;
        if cookie < COOKIE_DOT_DOT {
            sink.push_entry(COOKIE_DOT_DOT, ino, Filetype::Directory, b".");
        }
        sink.push_entry(COOKIE_HOST, ino, Filetype::Directory, b"..");
    }

    let mut mark = *saved;
    if !sink.is_full() {
        let wanted = cookie.saturating_sub(COOKIE_HOST);
        if mark.entries != wanted {
            mark = Mark::default();
        }
        seek(dir, SeekFrom::Start(mark.position))?;
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
            let after = Mark { entries: mark.entries + 1, position: entry.next_entry_cookie() };
            if mark.entries < wanted {
                mark = after;
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
            let next = after.entries + COOKIE_HOST;
            if sink.push_entry(next, ino, Filetype::from_host(filetype), name.to_bytes()) {
                mark = after;
            }
        }
    }
    let total = u32::try_from(sink.used).map_err(|_| Errno::Overflow)?;
    *saved = mark;
    memory.write_u32(used, total)
}
