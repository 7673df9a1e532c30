//! File descriptors: reading, writing, offsets, closing.

use super::context::WasiCtx;
use super::errno::Errno;
use super::fdtable::{FdEntry, FdTable};
use super::memory::GuestMemory;
use super::rights::{FD_ADVISE, FD_ALLOCATE, FD_DATASYNC, FD_READ, FD_SEEK, FD_SYNC, FD_TELL, FD_WRITE};
use super::types::{FDFLAG_NONBLOCK, Filetype};
use core::num::NonZeroU64;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Advice, FallocateFlags, SeekFrom, fadvise, fallocate, fdatasync, fsync, seek, tell};
use rustix::io::{self, Errno as HostErrno, preadv, pwritev, readv, retry_on_intr, writev};

/// `$whence`.
pub const WHENCE_SET: u32 = 0;
pub const WHENCE_CUR: u32 = 1;
pub const WHENCE_END: u32 = 2;

/// Calls `operation` until it is done, blocking if and only if the guest's flags say so.
///
/// The guest's flags and the host's can differ: a standard stream may be non-blocking because of another process,
/// which the guest must not notice, and the guest's `NONBLOCK` isn't passed on to it.
pub fn blocking<T>(
    entry: &FdEntry,
    events: PollFlags,
    mut operation: impl FnMut() -> io::Result<T>,
) -> Result<T, Errno> {
    let nonblock = entry.fdflags & FDFLAG_NONBLOCK != 0;
    if nonblock && entry.is_standard_stream() && !is_ready(entry, events)? {
        return Err(Errno::Again);
    }
    loop {
        match operation() {
            Ok(value) => return Ok(value),
            Err(HostErrno::INTR) => {}
            Err(HostErrno::AGAIN) if !nonblock => wait(entry, events)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_ready(entry: &FdEntry, events: PollFlags) -> Result<bool, Errno> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(&entry.host, events)], Some(&now)))?;
    Ok(ready != 0)
}

fn wait(entry: &FdEntry, events: PollFlags) -> Result<(), Errno> {
    retry_on_intr(|| poll(&mut [PollFd::new(&entry.host, events)], None))?;
    Ok(())
}

/// The entry of a file with an offset and all of `rights`.
fn file_with_offset(fds: &FdTable, fd: u32, rights: u64) -> Result<&FdEntry, Errno> {
    let entry = fds.file(fd, 0)?;
    match entry.require(rights) {
        Ok(()) => Ok(entry),
        Err(Errno::Notcapable)
            if !matches!(entry.filetype, Filetype::RegularFile | Filetype::BlockDevice) =>
        {
            Err(Errno::Spipe)
        }
        Err(errno) => Err(errno),
    }
}

fn write_size(memory: &mut GuestMemory<'_>, addr: u32, size: usize) -> Result<(), Errno> {
    memory.write_u32(addr, u32::try_from(size).map_err(|_| Errno::Overflow)?)
}

/// Reads at the current offset.
pub fn fd_read(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_READ)?;
    memory.check(nread, 4)?;
    let (mut slices, used) = memory.scatter(iovs, iovs_len)?;
    let slices = slices.get_mut(..used).unwrap_or(&mut []);
    let count = blocking(entry, PollFlags::IN, || readv(&entry.host, slices))?;
    write_size(memory, nread, count)
}

/// Reads at `offset`.
pub fn fd_pread(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Result<(), Errno> {
    let entry = file_with_offset(&ctx.fds, fd, FD_READ | FD_SEEK)?;
    memory.check(nread, 4)?;
    let (mut slices, used) = memory.scatter(iovs, iovs_len)?;
    let slices = slices.get_mut(..used).unwrap_or(&mut []);
    let count = blocking(entry, PollFlags::IN, || preadv(&entry.host, slices, offset))?;
    write_size(memory, nread, count)
}

/// Writes at the current offset. A closed pipe is the errno `PIPE`; see the module documentation on `SIGPIPE`.
pub fn fd_write(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_WRITE)?;
    memory.check(nwritten, 4)?;
    let (slices, used) = memory.gather(iovs, iovs_len)?;
    let slices = slices.get(..used).unwrap_or(&[]);
    let count = blocking(entry, PollFlags::OUT, || writev(&entry.host, slices))?;
    write_size(memory, nwritten, count)
}

/// Writes at `offset`; in append mode at the end, as Linux does.
pub fn fd_pwrite(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Result<(), Errno> {
    let entry = file_with_offset(&ctx.fds, fd, FD_WRITE | FD_SEEK)?;
    memory.check(nwritten, 4)?;
    let (slices, used) = memory.gather(iovs, iovs_len)?;
    let slices = slices.get(..used).unwrap_or(&[]);
    let count = blocking(entry, PollFlags::OUT, || pwritev(&entry.host, slices, offset))?;
    write_size(memory, nwritten, count)
}

/// Moves the offset; `offset` is a signed number.
pub fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    new_offset: u32,
) -> Result<(), Errno> {
    let delta = offset.cast_signed();
    let (to, right) = match whence {
        WHENCE_SET => (SeekFrom::Start(u64::try_from(delta).map_err(|_| Errno::Inval)?), FD_SEEK),
        // To ask for the offset, the weaker right is enough.
        WHENCE_CUR if delta == 0 => (SeekFrom::Current(0), FD_TELL),
        WHENCE_CUR => (SeekFrom::Current(delta), FD_SEEK),
        WHENCE_END => (SeekFrom::End(delta), FD_SEEK),
        _ => return Err(Errno::Inval),
    };
    let entry = file_with_offset(&ctx.fds, fd, right)?;
    memory.check(new_offset, 8)?;
    let position = seek(&entry.host, to)?;
    memory.write_u64(new_offset, position)
}

/// The current offset.
pub fn fd_tell(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, offset: u32) -> Result<(), Errno> {
    let entry = file_with_offset(&ctx.fds, fd, FD_TELL)?;
    let position = tell(&entry.host)?;
    memory.write_u64(offset, position)
}

/// Closes a descriptor.
pub fn fd_close(ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    ctx.fds.remove(fd).map(drop)
}

/// Gives the descriptor `fd` the number `to`, which must be open and is closed.
pub fn fd_renumber(ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32, to: u32) -> Result<(), Errno> {
    ctx.fds.renumber(fd, to)
}

/// Writes data and attributes to the disk.
pub fn fd_sync(ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_SYNC)?;
    Ok(retry_on_intr(|| fsync(&entry.host))?)
}

/// Writes data to the disk.
pub fn fd_datasync(ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_DATASYNC)?;
    Ok(retry_on_intr(|| fdatasync(&entry.host))?)
}

/// Tells how a range will be used; a length of 0 reaches to the end.
pub fn fd_advise(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Result<(), Errno> {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    let entry = file_with_offset(&ctx.fds, fd, FD_ADVISE)?;
    Ok(fadvise(&entry.host, offset, NonZeroU64::new(len), advice)?)
}

/// Makes sure that a range has space on the disk, growing the file if need be.
pub fn fd_allocate(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
) -> Result<(), Errno> {
    let entry = file_with_offset(&ctx.fds, fd, FD_ALLOCATE)?;
    Ok(retry_on_intr(|| fallocate(&entry.host, FallocateFlags::empty(), offset, len))?)
}
