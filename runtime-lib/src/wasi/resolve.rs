//! The sandbox of paths: every path is resolved inside the directory it is relative to.
//!
//! The kernel does it (`openat2` with `RESOLVE_BENEATH`), or [`walk`] where it can't. Functions that act on a name
//! instead of an open file open the directory of the name this way and then use the kernel's `*at` call with the
//! last component alone, which the kernel looks up in that directory and nowhere else.
//!
//! What must never reach the kernel outside `openat2` is a path with more than one component, or a last component
//! that the call would follow: `..`, a symbolic link without a `NOFOLLOW`, or a symbolic link with a slash after
//! it, which the kernel follows whatever the flags say. Calls that only look up the directory of a new or doomed
//! name (`mkdirat`, `unlinkat`, `renameat`, `symlinkat`, the new name of `linkat`) never follow the last component,
//! and know what a slash after it means.

use super::errno::Errno;
use super::memory::GuestMemory;
use super::walk;
use crate::sys;
use core::ffi::CStr;
use core::str;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, readlinkat_raw};
use rustix::io::Errno as HostErrno;

/// Bytes of the longest path including its NUL (`PATH_MAX` of Linux).
pub const PATH_MAX: usize = 4096;

/// Symbolic links that a path may go through (`MAXSYMLINKS` of Linux).
pub const MAX_SYMLINKS: usize = 40;

/// How often the kernel is asked again when something was renamed during a lookup, before the walk takes over.
const OPENAT2_ATTEMPTS: usize = 16;

/// Flags to open a directory for the sake of `*at` calls.
pub const DIRECTORY_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// A path with a NUL at its end.
pub struct GuestPath {
    bytes: [u8; PATH_MAX],
    len: usize,
}

impl GuestPath {
    /// The path of `len` bytes at `addr`. It is copied before it is checked: another thread of the guest could
    /// change it.
    pub fn read(memory: &GuestMemory<'_>, addr: u32, len: u32) -> Result<GuestPath, Errno> {
        let path = GuestPath::new(memory.bytes(addr, len)?)?;
        str::from_utf8(path.as_bytes()).map_err(|_| Errno::Ilseq)?;
        Ok(path)
    }

    /// A path of any bytes but NUL.
    pub fn new(source: &[u8]) -> Result<GuestPath, Errno> {
        let mut path = GuestPath { bytes: [0; PATH_MAX], len: 0 };
        path.append(source)?;
        if path.as_bytes().contains(&0) { Err(Errno::Inval) } else { Ok(path) }
    }

    fn append(&mut self, source: &[u8]) -> Result<(), Errno> {
        let end = self.len + source.len();
        if end >= PATH_MAX {
            return Err(Errno::Nametoolong);
        }
        self.bytes.get_mut(self.len..end).ok_or(Errno::Nametoolong)?.copy_from_slice(source);
        self.len = end;
        Ok(())
    }

    /// The path without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// The path for the kernel.
    pub fn as_c_str(&self) -> &CStr {
        self.tail(0)
    }

    fn tail(&self, start: usize) -> &CStr {
        self.bytes.get(start..=self.len).and_then(|tail| CStr::from_bytes_with_nul(tail).ok()).unwrap_or(c"")
    }

    /// Where the last component starts.
    fn last_start(&self) -> usize {
        let end = self.as_bytes().iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let name = self.bytes.get(..end).unwrap_or(&[]);
        name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)
    }

    /// The last component with the slashes after it.
    pub fn last(&self) -> &CStr {
        self.tail(self.last_start())
    }

    /// Whether the path has one component.
    pub fn is_single(&self) -> bool {
        self.last_start() == 0
    }

    /// Whether slashes follow the last component.
    pub fn has_trailing_slash(&self) -> bool {
        self.as_bytes().last() == Some(&b'/')
    }

    /// Whether the path can only mean a directory, following symbolic links: it ends in a slash, `.` or `..`.
    /// Such a last component must not be given to a call that looks at it.
    pub fn names_directory(&self) -> bool {
        self.has_trailing_slash() || matches!(self.last().to_bytes(), b"." | b"..")
    }

    fn check_relative(&self) -> Result<(), Errno> {
        match self.as_bytes().first() {
            None => Err(Errno::Noent),
            // `PERM` as from `wasmtime`; the same for paths that lead out with `..`.
            Some(b'/') => Err(Errno::Perm),
            Some(_) => Ok(()),
        }
    }
}

/// A directory that names are looked up in.
pub enum Directory<'d> {
    Given(BorrowedFd<'d>),
    Opened(OwnedFd),
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Directory::Given(fd) => *fd,
            Directory::Opened(fd) => fd.as_fd(),
        }
    }
}

/// Resolves paths inside directories.
#[derive(Debug, Default)]
pub struct Resolver {
    /// The kernel has no `openat2`, or a test wants the walk.
    walk: bool,
}

impl Resolver {
    /// A resolver that doesn't use `openat2`.
    #[cfg(test)]
    pub fn walking() -> Resolver {
        Resolver { walk: true }
    }

    /// Opens `path` inside `dir`. With `follow`, a symbolic link in the last component is expanded.
    ///
    /// # Errors
    ///
    /// `PERM` if the path leads out of `dir`; else what `open` gives.
    pub fn open(
        &mut self,
        dir: BorrowedFd<'_>,
        path: &GuestPath,
        flags: OFlags,
        mode: Mode,
        follow: bool,
    ) -> Result<OwnedFd, Errno> {
        path.check_relative()?;
        if !self.walk {
            let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
            for _ in 0..OPENAT2_ATTEMPTS {
                match sys::open_beneath(dir, path.as_c_str(), flags, mode) {
                    Ok(fd) => return Ok(fd),
                    Err(HostErrno::XDEV) => return Err(Errno::Perm),
                    Err(HostErrno::AGAIN | HostErrno::INTR) => {}
                    Err(HostErrno::NOSYS) => {
                        self.walk = true;
                        break;
                    }
                    // Sandboxes of older container runtimes refuse calls that they don't know with `EPERM`. If
                    // the file itself is the reason, the walk gets the same error.
                    Err(HostErrno::PERM) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        walk::open(dir, path.as_bytes(), flags, mode, follow)
    }

    /// Opens the directory that the last component of `path` is a name in.
    pub fn parent<'d>(&mut self, dir: BorrowedFd<'d>, path: &GuestPath) -> Result<Directory<'d>, Errno> {
        path.check_relative()?;
        if matches!(path.last().to_bytes(), [b'.', b'.', rest @ ..] if rest.iter().all(|&byte| byte == b'/'))
        {
            // The kernel refuses `..` as a name to make or remove; but first it must be inside the sandbox.
            self.open(dir, path, DIRECTORY_FLAGS, Mode::empty(), true)?;
        }
        let start = path.last_start();
        match path.as_bytes().get(..start) {
            None | Some([]) => Ok(Directory::Given(dir)),
            Some(parent) => {
                let parent = GuestPath::new(parent)?;
                self.open(dir, &parent, DIRECTORY_FLAGS, Mode::empty(), true).map(Directory::Opened)
            }
        }
    }

    /// Like [`Resolver::parent`], but expands symbolic links in the last component first, in `path` itself. So the
    /// last component is then no symbolic link, unless somebody puts one there this moment.
    pub fn parent_of_target<'d>(
        &mut self,
        dir: BorrowedFd<'d>,
        path: &mut GuestPath,
    ) -> Result<Directory<'d>, Errno> {
        for _ in 0..=MAX_SYMLINKS {
            let parent = self.parent(dir, path)?;
            if path.names_directory() {
                return Ok(parent);
            }
            let mut target = [0; PATH_MAX];
            let len = match readlinkat_raw(&parent, path.last(), &mut target) {
                Ok(len) => len,
                // Not a symbolic link.
                Err(HostErrno::INVAL) => return Ok(parent),
                Err(error) => return Err(error.into()),
            };
            let target = target.get(..len).unwrap_or(&[]);
            if target.first() == Some(&b'/') {
                return Err(Errno::Perm);
            }
            let mut expanded = GuestPath::new(path.as_bytes().get(..path.last_start()).unwrap_or(&[]))?;
            expanded.append(target)?;
            *path = expanded;
        }
        Err(Errno::Loop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_the_last_component() {
        fn check(path: &[u8], last: &[u8], single: bool, names_directory: bool) {
            let path = GuestPath::new(path).unwrap();
            assert_eq!(path.last().to_bytes(), last);
            assert_eq!(path.is_single(), single);
            assert_eq!(path.names_directory(), names_directory);
        }
        check(b"a", b"a", true, false);
        check(b"a/", b"a/", true, true);
        check(b"a//b", b"b", false, false);
        check(b"a/b///", b"b///", false, true);
        check(b"..", b"..", true, true);
        check(b"a/.", b".", false, true);
        check(b"a/..b", b"..b", false, false);
        check(b"", b"", true, false);
    }

    #[test]
    fn bad_paths_are_refused() {
        assert_eq!(GuestPath::new(b"a\0b").map(|_| ()), Err(Errno::Inval));
        assert_eq!(GuestPath::new(&[b'a'; PATH_MAX]).map(|_| ()), Err(Errno::Nametoolong));
        assert!(GuestPath::new(&[b'a'; PATH_MAX - 1]).is_ok());
        let mut bytes = *b"ab\xff";
        let memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(GuestPath::read(&memory, 0, 3).map(|_| ()), Err(Errno::Ilseq));
        assert_eq!(GuestPath::read(&memory, 1, 3).map(|_| ()), Err(Errno::Fault));
        assert!(GuestPath::read(&memory, 0, 2).is_ok());
    }
}
