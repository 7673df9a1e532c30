//! Tests that call the WASI functions as a guest does, on a vector as memory and a real directory.

mod files;
mod paths;
mod polling;
mod readdir;
mod rights;
mod sandbox;
mod streams;

use super::context::{Stdio, WasiCtx, WasiCtxBuilder};
use super::errno::Errno;
use super::memory::GuestMemory;
use super::rights::{FD_READ, FD_WRITE};
use super::*;
use alloc::vec;
use alloc::vec::Vec;
use rustix::fd::{FromRawFd, OwnedFd};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The preopened directory.
const ROOT: u32 = 3;
/// Read and write.
const RW: u64 = FD_READ | FD_WRITE;

// Where the harness puts things in the guest's memory.
const RESULT: u32 = 0x10;
const RESULT2: u32 = 0x18;
const IOVECS: u32 = 0x100;
const PATH: u32 = 0x1000;
const PATH2: u32 = 0x4000;
const BUFFER: u32 = 0x8000;
const MEMORY_SIZE: usize = 0x20000;

const CREAT: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCL: u32 = 4;
const TRUNC: u32 = 8;
const FOLLOW: u32 = 1;

type Result<T, E = Errno> = core::result::Result<T, E>;

/// A directory of the host that is removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(parent: &Path) -> TempDir {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(std::format!("aot-wasi-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            std::eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// A guest with one preopened directory, `sandbox` in a temporary directory that also has things outside.
struct Guest {
    ctx: WasiCtx,
    memory: Vec<u8>,
    outside: TempDir,
}

impl Guest {
    fn new(walk: bool) -> Guest {
        Guest::new_in(&std::env::temp_dir(), walk)
    }

    fn new_in(parent: &Path, walk: bool) -> Guest {
        let outside = TempDir::new(parent);
        let inside = outside.0.join("sandbox");
        fs::create_dir(&inside).unwrap();
        let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
        builder.preopen(inside.as_os_str().as_bytes(), b"/").unwrap();
        if walk {
            builder.walk_paths();
        }
        Guest { ctx: builder.build(), memory: vec![0; MEMORY_SIZE], outside }
    }

    /// The host's path of a file in the sandbox.
    fn host(&self, path: &str) -> PathBuf {
        self.outside.0.join("sandbox").join(path)
    }

    fn call(
        &mut self,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> Result<()>,
    ) -> Result<()> {
        function(&mut self.ctx, &mut GuestMemory::from_slice(&mut self.memory))
    }

    /// A call with a path: its address and length are the last arguments.
    fn with_path<T: AsRef<[u8]>>(
        &mut self,
        path: T,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>, u32, u32) -> Result<()>,
    ) -> Result<()> {
        let len = self.put(PATH, path.as_ref());
        self.call(|ctx, memory| function(ctx, memory, PATH, len))
    }

    fn with_paths(
        &mut self,
        old: &str,
        new: &str,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>, [u32; 4]) -> Result<()>,
    ) -> Result<()> {
        let old_len = self.put(PATH, old.as_bytes());
        let new_len = self.put(PATH2, new.as_bytes());
        self.call(|ctx, memory| function(ctx, memory, [PATH, old_len, PATH2, new_len]))
    }

    fn put(&mut self, addr: u32, bytes: &[u8]) -> u32 {
        self.memory[addr as usize..][..bytes.len()].copy_from_slice(bytes);
        bytes.len() as u32
    }

    fn get(&self, addr: u32, len: u32) -> &[u8] {
        &self.memory[addr as usize..][..len as usize]
    }

    fn u32(&self, addr: u32) -> u32 {
        u32::from_le_bytes(self.get(addr, 4).try_into().unwrap())
    }

    fn u64(&self, addr: u32) -> u64 {
        u64::from_le_bytes(self.get(addr, 8).try_into().unwrap())
    }

    fn open_at(
        &mut self,
        dir: u32,
        dirflags: u32,
        path: &str,
        oflags: u32,
        base: u64,
        fdflags: u32,
    ) -> Result<u32> {
        self.with_path(path, |ctx, memory, path, len| {
            path_open(ctx, memory, dir, dirflags, path, len, oflags, base, 0, fdflags, RESULT)
        })?;
        Ok(self.u32(RESULT))
    }

    fn open(&mut self, path: &str, oflags: u32, base: u64) -> Result<u32> {
        self.open_at(ROOT, 0, path, oflags, base, 0)
    }

    fn create(&mut self, path: &str) {
        let fd = self.open(path, CREAT, 0).unwrap();
        self.close(fd).unwrap();
    }

    fn close(&mut self, fd: u32) -> Result<()> {
        self.call(|ctx, memory| fd_close(ctx, memory, fd))
    }

    /// One `$iovec` for `len` bytes of the buffer.
    fn iovec(&mut self, len: u32) {
        self.put(IOVECS, &BUFFER.to_le_bytes());
        self.put(IOVECS + 4, &len.to_le_bytes());
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32> {
        let len = self.put(BUFFER, bytes);
        self.iovec(len);
        self.call(|ctx, memory| fd_write(ctx, memory, fd, IOVECS, 1, RESULT))?;
        Ok(self.u32(RESULT))
    }

    fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>> {
        self.iovec(len);
        self.call(|ctx, memory| fd_read(ctx, memory, fd, IOVECS, 1, RESULT))?;
        Ok(self.get(BUFFER, self.u32(RESULT)).to_vec())
    }

    fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64> {
        self.call(|ctx, memory| fd_seek(ctx, memory, fd, offset.cast_unsigned(), whence, RESULT))?;
        Ok(self.u64(RESULT))
    }

    fn tell(&mut self, fd: u32) -> Result<u64> {
        self.call(|ctx, memory| fd_tell(ctx, memory, fd, RESULT))?;
        Ok(self.u64(RESULT))
    }

    fn fdstat(&mut self, fd: u32) -> Result<Fdstat> {
        self.call(|ctx, memory| fd_fdstat_get(ctx, memory, fd, BUFFER))?;
        Ok(Fdstat {
            filetype: self.memory[BUFFER as usize],
            flags: u16::from_le_bytes(self.get(BUFFER + 2, 2).try_into().unwrap()),
            base: self.u64(BUFFER + 8),
            inheriting: self.u64(BUFFER + 16),
        })
    }

    fn stat(&self) -> FileStat {
        FileStat {
            dev: self.u64(BUFFER),
            ino: self.u64(BUFFER + 8),
            filetype: self.memory[BUFFER as usize + 16],
            nlink: self.u64(BUFFER + 24),
            size: self.u64(BUFFER + 32),
            atim: self.u64(BUFFER + 40),
            mtim: self.u64(BUFFER + 48),
        }
    }

    fn filestat(&mut self, fd: u32) -> Result<FileStat> {
        self.call(|ctx, memory| fd_filestat_get(ctx, memory, fd, BUFFER))?;
        Ok(self.stat())
    }

    fn path_filestat(&mut self, flags: u32, path: &str) -> Result<FileStat> {
        self.with_path(path, |ctx, memory, path, len| {
            path_filestat_get(ctx, memory, ROOT, flags, path, len, BUFFER)
        })?;
        Ok(self.stat())
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        self.with_path(path, |ctx, memory, path, len| path_create_directory(ctx, memory, ROOT, path, len))
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        self.with_path(path, |ctx, memory, path, len| path_remove_directory(ctx, memory, ROOT, path, len))
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        self.with_path(path, |ctx, memory, path, len| path_unlink_file(ctx, memory, ROOT, path, len))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.with_paths(old, new, |ctx, memory, [old, old_len, new, new_len]| {
            path_rename(ctx, memory, ROOT, old, old_len, ROOT, new, new_len)
        })
    }

    fn link(&mut self, flags: u32, old: &str, new: &str) -> Result<()> {
        self.with_paths(old, new, |ctx, memory, [old, old_len, new, new_len]| {
            path_link(ctx, memory, ROOT, flags, old, old_len, ROOT, new, new_len)
        })
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        self.with_paths(target, path, |ctx, memory, [old, old_len, new, new_len]| {
            path_symlink(ctx, memory, old, old_len, ROOT, new, new_len)
        })
    }

    fn readlink(&mut self, path: &str, len: u32) -> Result<Vec<u8>> {
        self.with_path(path, |ctx, memory, path, path_len| {
            path_readlink(ctx, memory, ROOT, path, path_len, BUFFER, len, RESULT)
        })?;
        Ok(self.get(BUFFER, self.u32(RESULT)).to_vec())
    }

    fn set_times(&mut self, flags: u32, path: &str, mtim: u64, fst_flags: u32) -> Result<()> {
        self.with_path(path, |ctx, memory, path, len| {
            path_filestat_set_times(ctx, memory, ROOT, flags, path, len, 0, mtim, fst_flags)
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Fdstat {
    filetype: u8,
    flags: u16,
    base: u64,
    inheriting: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct FileStat {
    dev: u64,
    ino: u64,
    filetype: u8,
    nlink: u64,
    size: u64,
    atim: u64,
    mtim: u64,
}

const TYPE_CHARACTER_DEVICE: u8 = 2;
const TYPE_DIRECTORY: u8 = 3;
const TYPE_FILE: u8 = 4;
const TYPE_SYMLINK: u8 = 7;

/// A file of the standard library in the form of `rustix`, whose type is another one where it has no `std`.
fn host_fd(file: impl Into<std::os::fd::OwnedFd>) -> OwnedFd {
    let raw = std::os::fd::IntoRawFd::into_raw_fd(file.into());
    // SAFETY: the number was just given up by its owner.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Runs a test with both ways of resolving paths.
fn both(test: fn(&mut Guest)) {
    for walk in [false, true] {
        std::eprintln!("with {}", if walk { "the walk" } else { "openat2" });
        test(&mut Guest::new(walk));
    }
}

fn host_symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) {
    std::os::unix::fs::symlink(target, link).unwrap();
}
