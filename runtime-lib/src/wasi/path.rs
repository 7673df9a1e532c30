//! Functions on paths, other than `path_open`.

use super::context::WasiCtx;
use super::errno::Errno;
use super::fd_attributes::{Filestat, timestamps};
use super::memory::GuestMemory;
use super::resolve::{DIRECTORY_FLAGS, GuestPath, Resolver};
use super::rights::{
    PATH_CREATE_DIRECTORY, PATH_FILESTAT_GET, PATH_FILESTAT_SET_TIMES, PATH_LINK_SOURCE, PATH_LINK_TARGET,
    PATH_READLINK, PATH_REMOVE_DIRECTORY, PATH_RENAME_SOURCE, PATH_RENAME_TARGET, PATH_SYMLINK,
    PATH_UNLINK_FILE,
};
use super::types::{Filetype, check_lookupflags};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, readlinkat_raw, renameat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno as HostErrno;

/// The permissions of a new directory, before the process's mask.
const NEW_DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o777);

/// Creates a directory.
pub fn path_create_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_CREATE_DIRECTORY)?;
    let parent = ctx.resolver.parent(dir.host.as_fd(), &path)?;
    Ok(mkdirat(&parent, path.last(), NEW_DIRECTORY_MODE)?)
}

/// Attributes of the file that a path names.
pub fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Result<(), Errno> {
    filestat_of_path(ctx, memory, fd, flags, path, path_len)?.write(memory, stat)
}

/// What [`path_filestat_get`] writes.
pub fn filestat_of_path(
    ctx: &mut WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
) -> Result<Filestat, Errno> {
    let follow = check_lookupflags(flags)?;
    let path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_FILESTAT_GET)?;
    let stat = stat_path(&mut ctx.resolver, dir.host.as_fd(), &path, follow)?;
    Filestat::from_host(&stat, Filetype::from_host(FileType::from_raw_mode(stat.st_mode)))
}

fn stat_path(
    resolver: &mut Resolver,
    dir: BorrowedFd<'_>,
    path: &GuestPath,
    follow: bool,
) -> Result<Stat, Errno> {
    if path.is_single() && !path.names_directory() && !path.as_bytes().is_empty() {
        // One call instead of three for the usual case, a name that is no symbolic link.
        let stat = statat(dir, path.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        if !follow || FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(stat);
        }
    }
    let file = resolver.open(dir, path, OFlags::PATH, Mode::empty(), follow)?;
    Ok(fstat(&file)?)
}

/// Sets the times of the file that a path names.
pub fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    atim: u64,
    mtim: u64,
    fst_flags: u32,
) -> Result<(), Errno> {
    let follow = check_lookupflags(flags)?;
    let times = timestamps(atim, mtim, fst_flags)?;
    let mut path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_FILESTAT_SET_TIMES)?.host.as_fd();
    let parent = if follow {
        ctx.resolver.parent_of_target(dir, &mut path)?
    } else {
        ctx.resolver.parent(dir, &path)?
    };
    if path.names_directory() {
        let target = ctx.resolver.open(dir, &path, DIRECTORY_FLAGS, Mode::empty(), true)?;
        return Ok(utimensat(&target, c".", &times, AtFlags::SYMLINK_NOFOLLOW)?);
    }
    Ok(utimensat(&parent, path.last(), &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes a hard link. Following symbolic links is refused, as `wasmtime` does.
pub fn path_link(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    if check_lookupflags(old_flags)? {
        return Err(Errno::Inval);
    }
    let old_path = GuestPath::read(memory, old_path, old_path_len)?;
    let new_path = GuestPath::read(memory, new_path, new_path_len)?;
    let old_dir = ctx.fds.directory(old_fd, PATH_LINK_SOURCE)?.host.as_fd();
    let new_dir = ctx.fds.directory(new_fd, PATH_LINK_TARGET)?.host.as_fd();
    if old_path.names_directory() {
        // The kernel would follow the last component; and a directory can't have another name.
        ctx.resolver.open(old_dir, &old_path, DIRECTORY_FLAGS, Mode::empty(), true)?;
        return Err(Errno::Perm);
    }
    let old_parent = ctx.resolver.parent(old_dir, &old_path)?;
    let new_parent = ctx.resolver.parent(new_dir, &new_path)?;
    Ok(linkat(&old_parent, old_path.last(), &new_parent, new_path.last(), AtFlags::empty())?)
}

/// Reads the target of a symbolic link, cut off to the size of the buffer.
pub fn path_readlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    used: u32,
) -> Result<(), Errno> {
    let path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_READLINK)?.host.as_fd();
    memory.check(used, 4)?;
    if path.names_directory() {
        ctx.resolver.open(dir, &path, DIRECTORY_FLAGS, Mode::empty(), true)?;
        return Err(Errno::Inval);
    }
    let parent = ctx.resolver.parent(dir, &path)?;
    let buffer = memory.bytes_mut(buf, buf_len)?;
    let len = if buffer.is_empty() {
        // The kernel refuses an empty buffer; the guest gets nothing, if there is a link.
        readlinkat_raw(&parent, path.last(), &mut [0u8; 1])?;
        0
    } else {
        readlinkat_raw(&parent, path.last(), buffer)?
    };
    memory.write_u32(used, u32::try_from(len).map_err(|_| Errno::Overflow)?)
}

/// Removes an empty directory.
pub fn path_remove_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_REMOVE_DIRECTORY)?;
    let parent = ctx.resolver.parent(dir.host.as_fd(), &path)?;
    Ok(unlinkat(&parent, path.last(), AtFlags::REMOVEDIR)?)
}

/// Renames a file or directory.
pub fn path_rename(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old_path = GuestPath::read(memory, old_path, old_path_len)?;
    let new_path = GuestPath::read(memory, new_path, new_path_len)?;
    let old_dir = ctx.fds.directory(fd, PATH_RENAME_SOURCE)?.host.as_fd();
    let new_dir = ctx.fds.directory(new_fd, PATH_RENAME_TARGET)?.host.as_fd();
    let old_parent = ctx.resolver.parent(old_dir, &old_path)?;
    let new_parent = ctx.resolver.parent(new_dir, &new_path)?;
    Ok(renameat(&old_parent, old_path.last(), &new_parent, new_path.last())?)
}

/// Makes a symbolic link at `new_path` to `old_path`. An absolute target could never be followed and is refused.
pub fn path_symlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_path: u32,
    old_path_len: u32,
    fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old_path = GuestPath::read(memory, old_path, old_path_len)?;
    let new_path = GuestPath::read(memory, new_path, new_path_len)?;
    if old_path.as_bytes().first() == Some(&b'/') {
        return Err(Errno::Perm);
    }
    let dir = ctx.fds.directory(fd, PATH_SYMLINK)?.host.as_fd();
    let parent = ctx.resolver.parent(dir, &new_path)?;
    match symlinkat(old_path.as_c_str(), &parent, new_path.last()) {
        Err(HostErrno::EXIST) if new_path.has_trailing_slash() => {
            // For a file with a slash after it, POSIX and the test suites want `NOTDIR`.
            ctx.resolver.open(dir, &new_path, DIRECTORY_FLAGS, Mode::empty(), true)?;
            Err(Errno::Exist)
        }
        result => Ok(result?),
    }
}

/// Removes a name that isn't a directory's.
pub fn path_unlink_file(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let path = GuestPath::read(memory, path, path_len)?;
    let dir = ctx.fds.directory(fd, PATH_UNLINK_FILE)?;
    let parent = ctx.resolver.parent(dir.host.as_fd(), &path)?;
    Ok(unlinkat(&parent, path.last(), AtFlags::empty())?)
}
