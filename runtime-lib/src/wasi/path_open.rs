//! `path_open`.
//!
//! Rights: the right to read and the right to write are given if they are asked for, since they choose the mode in
//! which the file is opened. All others are given as far as they apply to the type of the file and the directory
//! passes them on, whether they are asked for or not: `wasmtime` does so, and programs count on it that open a
//! directory without rights and use it. To have less, a guest calls `fd_fdstat_set_rights`, which binds everything
//! that is opened through the descriptor from then on.

use super::context::WasiCtx;
use super::errno::Errno;
use super::fdtable::{FdEntry, HostFd};
use super::memory::GuestMemory;
use super::resolve::GuestPath;
use super::rights::{
    self, FD_DATASYNC, FD_READ, FD_SYNC, FD_WRITE, PATH_CREATE_FILE, PATH_FILESTAT_SET_SIZE, PATH_OPEN,
};
use super::types::{
    FDFLAG_DSYNC, FDFLAG_RSYNC, FDFLAG_SYNC, Filetype, OFLAG_CREAT, OFLAG_DIRECTORY, OFLAG_EXCL, OFLAG_TRUNC,
    check_fdflags, check_lookupflags, check_oflags, host_fdflags,
};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};

/// The permissions of a new file, before the process's mask.
const NEW_FILE_MODE: Mode = Mode::from_bits_retain(0o666);

/// The rights that opening a file in this way takes: those on the directory, and those that it must pass on.
fn needed_rights(oflags: u32, fdflags: u32) -> (u64, u64) {
    let mut base = PATH_OPEN;
    if oflags & OFLAG_CREAT != 0 {
        base |= PATH_CREATE_FILE;
    }
    if oflags & OFLAG_TRUNC != 0 {
        base |= PATH_FILESTAT_SET_SIZE;
    }
    let mut inheriting = 0;
    if fdflags & FDFLAG_DSYNC != 0 {
        inheriting |= FD_DATASYNC;
    }
    if fdflags & (FDFLAG_RSYNC | FDFLAG_SYNC) != 0 {
        inheriting |= FD_SYNC;
    }
    (base, inheriting)
}

fn host_oflags(oflags: u32, fdflags: u32, rights: u64) -> Result<OFlags, Errno> {
    let mut host = match (rights & FD_READ != 0, rights & FD_WRITE != 0) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        // A file must be opened for something.
        (_, false) => OFlags::RDONLY,
    };
    if oflags & OFLAG_DIRECTORY != 0 {
        if oflags & (OFLAG_CREAT | OFLAG_EXCL | OFLAG_TRUNC) != 0 {
            return Err(Errno::Inval);
        }
        host |= OFlags::DIRECTORY;
    }
    if oflags & OFLAG_CREAT != 0 {
        host |= OFlags::CREATE;
        if oflags & OFLAG_EXCL != 0 {
            host |= OFlags::EXCL;
        }
    }
    if oflags & OFLAG_TRUNC != 0 {
        host |= OFlags::TRUNC;
    }
    Ok(host | host_fdflags(fdflags) | OFlags::NOCTTY)
}

/// Opens a file or directory.
pub fn path_open(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    rights_base: u64,
    rights_inheriting: u64,
    fdflags: u32,
    opened: u32,
) -> Result<(), Errno> {
    let follow = check_lookupflags(dirflags)?;
    let oflags = check_oflags(oflags)?;
    let fdflags = check_fdflags(fdflags)?;
    let rights_base = rights_base & rights::ALL;
    let host_flags = host_oflags(oflags, fdflags, rights_base)?;
    let path = GuestPath::read(memory, path, path_len)?;
    // Nothing may fail after a file has been created or emptied.
    memory.check(opened, 4)?;
    ctx.fds.check_room()?;

    let (needed_base, needed_inheriting) = needed_rights(oflags, fdflags);
    let dir = ctx.fds.directory(fd, needed_base)?;
    let passed_on = dir.rights_inheriting;
    let asked_for = rights_base | (rights_inheriting & rights::ALL) | needed_inheriting;
    if asked_for & !passed_on != 0 {
        return Err(Errno::Notcapable);
    }

    let file = ctx.resolver.open(dir.host.as_fd(), &path, host_flags, NEW_FILE_MODE, follow)?;
    let mut entry = FdEntry::new(HostFd::Owned(file))?;
    let not_asked_for = (FD_READ | FD_WRITE) & !rights_base;
    entry.rights_base &= passed_on & !not_asked_for;
    entry.rights_inheriting &= passed_on;
    entry.fdflags = if entry.filetype == Filetype::Directory { 0 } else { fdflags };
    let number = ctx.fds.insert(entry)?;
    memory.write_u32(opened, number)
}
