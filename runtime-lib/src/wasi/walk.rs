//! Resolves a path inside a directory component by component, for kernels without `openat2`.
//!
//! Every directory on the way is held open, and `..` goes back to the one before: the kernel is never asked for a
//! `..`, so no rename of a directory on the way can lead out. The kernel is never asked to follow a symbolic link
//! either; its target is read and put in front of the rest of the path.

use super::errno::Errno;
use super::resolve::{DIRECTORY_FLAGS, MAX_SYMLINKS, PATH_MAX};
use alloc::vec::Vec;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat_raw};
use rustix::io::{Errno as HostErrno, retry_on_intr};

/// Opens `path` inside `dir`; see [`super::resolve::Resolver::open`].
pub fn open(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    follow: bool,
) -> Result<OwnedFd, Errno> {
    if flags.contains(OFlags::CREATE) && path.ends_with(b"/") {
        return Err(Errno::Isdir);
    }
    let mut walk = Walk { dir, entered: Vec::new(), rest: path.to_vec(), links: 0 };
    loop {
        let (name, is_last) = walk.next_component()?;
        match name.to_bytes() {
            b"" => return walk.open_here(flags),
            b"." => {}
            b".." => {
                walk.entered.pop().ok_or(Errno::Perm)?;
            }
            _ if is_last => {
                if let Some(fd) = walk.open_last(name.as_c_str(), flags, mode, follow)? {
                    return Ok(fd);
                }
            }
            _ => walk.enter(name.as_c_str())?,
        }
    }
}

struct Walk<'d> {
    dir: BorrowedFd<'d>,
    /// The directories below `dir` on the way to the current one.
    entered: Vec<OwnedFd>,
    /// What is left of the path.
    rest: Vec<u8>,
    /// Symbolic links expanded so far.
    links: usize,
}

/// A component, or nothing at the end of the path.
struct Name {
    bytes: [u8; NAME_MAX + 1],
    len: usize,
}

/// Bytes of the longest component (`NAME_MAX` of Linux).
const NAME_MAX: usize = 255;

impl Name {
    fn new(component: &[u8]) -> Result<Name, Errno> {
        let mut bytes = [0; NAME_MAX + 1];
        if component.len() > NAME_MAX {
            return Err(Errno::Nametoolong);
        }
        bytes.get_mut(..component.len()).ok_or(Errno::Nametoolong)?.copy_from_slice(component);
        Ok(Name { bytes, len: component.len() })
    }

    fn to_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Walk<'_> {
    fn current(&self) -> BorrowedFd<'_> {
        self.entered.last().map_or(self.dir, AsFd::as_fd)
    }

    /// Takes the next component off the path, and tells whether nothing, not even a slash, follows it.
    fn next_component(&mut self) -> Result<(Name, bool), Errno> {
        let start = self.rest.iter().position(|&byte| byte != b'/').unwrap_or(self.rest.len());
        let tail = self.rest.get(start..).unwrap_or(&[]);
        let len = tail.iter().position(|&byte| byte == b'/').unwrap_or(tail.len());
        let name = Name::new(tail.get(..len).unwrap_or(&[]))?;
        self.rest.drain(..start + len);
        Ok((name, self.rest.is_empty()))
    }

    /// Opens the current directory: the path ended in a slash, `.` or `..`.
    fn open_here(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        if flags.contains(OFlags::CREATE) {
            return Err(Errno::Isdir);
        }
        Ok(retry_on_intr(|| openat(self.current(), c".", flags | OFlags::CLOEXEC, Mode::empty()))?)
    }

    /// Opens the last component, or puts the target of a symbolic link in its place.
    fn open_last(
        &mut self,
        name: &CStr,
        flags: OFlags,
        mode: Mode,
        follow: bool,
    ) -> Result<Option<OwnedFd>, Errno> {
        let host_flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| openat(self.current(), name, host_flags, mode)) {
            Ok(fd) => {
                // With `O_PATH`, a symbolic link itself can be opened.
                if follow && flags.contains(OFlags::PATH) && is_symlink(&fd)? {
                    self.expand(name, Errno::Loop)?;
                    return Ok(None);
                }
                Ok(Some(fd))
            }
            // What the kernel says about a symbolic link here; the second with `O_DIRECTORY`.
            Err(error @ (HostErrno::LOOP | HostErrno::NOTDIR)) if follow => {
                self.expand(name, error.into())?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a component that isn't the last one the current directory, or puts the target of a symbolic link in
    /// its place.
    fn enter(&mut self, name: &CStr) -> Result<(), Errno> {
        let flags = DIRECTORY_FLAGS | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| openat(self.current(), name, flags, Mode::empty())) {
            Ok(fd) => {
                self.entered.push(fd);
                Ok(())
            }
            Err(error @ (HostErrno::LOOP | HostErrno::NOTDIR)) => self.expand(name, error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the target of the symbolic link `name` in front of the rest of the path. If it is none, the error is
    /// `otherwise`.
    fn expand(&mut self, name: &CStr, otherwise: Errno) -> Result<(), Errno> {
        let mut target = [0; PATH_MAX];
        let len = match readlinkat_raw(self.current(), name, &mut target) {
            Ok(len) => len,
            Err(HostErrno::INVAL) => return Err(otherwise),
            Err(error) => return Err(error.into()),
        };
        let target = target.get(..len).unwrap_or(&[]);
        if target.first() == Some(&b'/') {
            return Err(Errno::Perm);
        }
        self.links += 1;
        if self.links > MAX_SYMLINKS {
            return Err(Errno::Loop);
        }
        // The rest is empty or starts with a slash. Its length is bounded by the number of links.
        self.rest.splice(..0, target.iter().copied());
        Ok(())
    }
}

fn is_symlink(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Symlink)
}
