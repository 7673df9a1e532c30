//! File descriptors: type, flags, rights, size, times, names of preopened directories.

use super::clock::{nanos, timespec};
use super::context::WasiCtx;
use super::errno::Errno;
use super::fdtable::{FdEntry, filetype_of_open_file};
use super::memory::{GuestMemory, field};
use super::rights::{
    self, FD_FDSTAT_SET_FLAGS, FD_FILESTAT_GET, FD_FILESTAT_SET_SIZE, FD_FILESTAT_SET_TIMES,
};
use super::types::{
    FDFLAG_APPEND, FDFLAG_DSYNC, FDFLAG_NONBLOCK, FDFLAG_RSYNC, FDFLAG_SYNC, Filetype, check_fdflags,
    check_flags, host_fdflags,
};
use rustix::fd::AsFd;
use rustix::fs::{OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fcntl_getfl, fcntl_setfl};
use rustix::fs::{fstat, ftruncate, futimens};
use rustix::io::retry_on_intr;

/// `$fstflags`.
const SET_ATIM: u32 = 1 << 0;
const SET_ATIM_NOW: u32 = 1 << 1;
const SET_MTIM: u32 = 1 << 2;
const SET_MTIM_NOW: u32 = 1 << 3;

/// `$preopentype`: the only one.
const PREOPENTYPE_DIR: u32 = 0;

/// Bytes of `$fdstat` and `$prestat`.
const FDSTAT_SIZE: u32 = 24;
const PRESTAT_SIZE: u32 = 8;

/// Attributes of a file as `$filestat` has them.
///
/// ```text
/// offset        preview 1   preview 0
/// dev: u64      0           0
/// ino: u64      8           8
/// filetype: u8  16          16
/// nlink         24 (u64)    20 (u32)
/// size: u64     32          24
/// atim: u64     40          32
/// mtim: u64     48          40
/// ctim: u64     56          48
/// ```
#[derive(Debug)]
pub struct Filestat {
    dev: u64,
    ino: u64,
    filetype: Filetype,
    nlink: u64,
    size: u64,
    atim: u64,
    mtim: u64,
    ctim: u64,
}

impl Filestat {
    /// Bytes of the record.
    const SIZE: u32 = 64;
    const PREVIEW0_SIZE: u32 = 56;

    /// The attributes that the host reports.
    #[allow(clippy::unnecessary_cast, reason = "the types of the fields differ between architectures")]
    pub fn from_host(stat: &Stat, filetype: Filetype) -> Result<Filestat, Errno> {
        // No field is wider than 64 bits anywhere; the size and the nanoseconds are never negative.
        Ok(Filestat {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            filetype,
            nlink: stat.st_nlink as u64,
            size: stat.st_size as u64,
            atim: nanos(stat.st_atime as i64, stat.st_atime_nsec as u64)?,
            mtim: nanos(stat.st_mtime as i64, stat.st_mtime_nsec as u64)?,
            ctim: nanos(stat.st_ctime as i64, stat.st_ctime_nsec as u64)?,
        })
    }

    /// Writes the record of preview 1.
    pub fn write(&self, memory: &mut GuestMemory<'_>, addr: u32) -> Result<(), Errno> {
        memory.bytes_mut(addr, Self::SIZE)?.fill(0);
        memory.write_u64(field(addr, 24)?, self.nlink)?;
        self.write_rest(memory, addr, 32)
    }

    /// Writes the record of preview 0.
    pub fn write_preview0(&self, memory: &mut GuestMemory<'_>, addr: u32) -> Result<(), Errno> {
        memory.bytes_mut(addr, Self::PREVIEW0_SIZE)?.fill(0);
        memory.write_u32(field(addr, 20)?, u32::try_from(self.nlink).unwrap_or(u32::MAX))?;
        self.write_rest(memory, addr, 24)
    }

    fn write_rest(&self, memory: &mut GuestMemory<'_>, addr: u32, size_offset: u32) -> Result<(), Errno> {
        memory.write_u64(addr, self.dev)?;
        memory.write_u64(field(addr, 8)?, self.ino)?;
        memory.write_bytes(field(addr, 16)?, &[self.filetype as u8])?;
        for (offset, value) in [(0, self.size), (8, self.atim), (16, self.mtim), (24, self.ctim)] {
            memory.write_u64(field(addr, size_offset + offset)?, value)?;
        }
        Ok(())
    }
}

/// The attributes of an open file.
pub fn filestat_of(entry: &FdEntry) -> Result<Filestat, Errno> {
    entry.require(FD_FILESTAT_GET)?;
    if entry.is_standard_stream() && entry.filetype != Filetype::RegularFile {
        // Times and numbers of a terminal or pipe tell about the host and mean nothing to the guest.
        let filetype = entry.filetype;
        return Ok(Filestat { dev: 0, ino: 0, filetype, nlink: 0, size: 0, atim: 0, mtim: 0, ctim: 0 });
    }
    let stat = fstat(&entry.host)?;
    Filestat::from_host(&stat, filetype_of_open_file(entry.host.as_fd(), &stat))
}

/// The times to set, from the parameters of the `*_set_times` functions.
pub fn timestamps(atim: u64, mtim: u64, fst_flags: u32) -> Result<Timestamps, Errno> {
    let flags = check_flags(fst_flags, SET_ATIM | SET_ATIM_NOW | SET_MTIM | SET_MTIM_NOW)?;
    Ok(Timestamps {
        last_access: time_to_set(atim, flags & SET_ATIM != 0, flags & SET_ATIM_NOW != 0)?,
        last_modification: time_to_set(mtim, flags & SET_MTIM != 0, flags & SET_MTIM_NOW != 0)?,
    })
}

fn time_to_set(value: u64, set: bool, now: bool) -> Result<Timespec, Errno> {
    match (set, now) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(timespec(value)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    }
}

/// Type, flags and rights.
pub fn fd_fdstat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    stat: u32,
) -> Result<(), Errno> {
    let entry = ctx.fds.get(fd)?;
    memory.bytes_mut(stat, FDSTAT_SIZE)?.fill(0);
    memory.write_bytes(stat, &[entry.filetype as u8])?;
    memory.write_u16(field(stat, 2)?, entry.fdflags as u16)?;
    memory.write_u64(field(stat, 8)?, entry.rights_base)?;
    memory.write_u64(field(stat, 16)?, entry.rights_inheriting)
}

/// Sets the flags. Only `APPEND` and `NONBLOCK` can change, as with `fcntl(F_SETFL)`.
pub fn fd_fdstat_set_flags(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_FDSTAT_SET_FLAGS)?;
    let flags = check_fdflags(flags)?;
    let changed = flags ^ entry.fdflags;
    if changed & (FDFLAG_DSYNC | FDFLAG_RSYNC | FDFLAG_SYNC) != 0 {
        return Err(Errno::Inval);
    }
    if entry.is_standard_stream() {
        if changed & FDFLAG_APPEND != 0 {
            fcntl_setfl(&entry.host, fcntl_getfl(&entry.host)? ^ OFlags::APPEND)?;
        }
    } else if changed != 0 {
        fcntl_setfl(&entry.host, host_fdflags(flags & (FDFLAG_APPEND | FDFLAG_NONBLOCK)))?;
    }
    ctx.fds.get_mut(fd)?.fdflags = flags;
    Ok(())
}

/// Takes rights away. They can't be had back.
pub fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Result<(), Errno> {
    let entry = ctx.fds.get_mut(fd)?;
    let (base, inheriting) = (base & rights::ALL, inheriting & rights::ALL);
    if base & !entry.rights_base != 0 || inheriting & !entry.rights_inheriting != 0 {
        return Err(Errno::Notcapable);
    }
    entry.rights_base = base;
    entry.rights_inheriting = inheriting;
    Ok(())
}

/// Attributes of an open file.
pub fn fd_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    stat: u32,
) -> Result<(), Errno> {
    filestat_of(ctx.fds.get(fd)?)?.write(memory, stat)
}

/// Sets the size of a file; what is new reads as zeros.
pub fn fd_filestat_set_size(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    size: u64,
) -> Result<(), Errno> {
    let entry = ctx.fds.file(fd, FD_FILESTAT_SET_SIZE)?;
    Ok(retry_on_intr(|| ftruncate(&entry.host, size))?)
}

/// Sets the times of a file or directory.
pub fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    atim: u64,
    mtim: u64,
    fst_flags: u32,
) -> Result<(), Errno> {
    let times = timestamps(atim, mtim, fst_flags)?;
    let entry = ctx.fds.get(fd)?;
    entry.require(FD_FILESTAT_SET_TIMES)?;
    Ok(futimens(&entry.host, &times)?)
}

fn preopen_name(entry: &FdEntry, otherwise: Errno) -> Result<&[u8], Errno> {
    entry.preopen.as_deref().ok_or(otherwise)
}

/// The length of the name of a preopened directory.
pub fn fd_prestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    prestat: u32,
) -> Result<(), Errno> {
    // Programs ask for 3, 4, 5, … until this error.
    let name = preopen_name(ctx.fds.get(fd)?, Errno::Badf)?;
    let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    memory.check(prestat, PRESTAT_SIZE)?;
    memory.write_u32(prestat, PREOPENTYPE_DIR)?;
    memory.write_u32(field(prestat, 4)?, len)
}

/// The name of a preopened directory, without a NUL.
pub fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let name = preopen_name(ctx.fds.get(fd)?, Errno::Notdir)?;
    if u32::try_from(name.len()).map_err(|_| Errno::Overflow)? > path_len {
        return Err(Errno::Nametoolong);
    }
    memory.write_bytes(path, name)
}
