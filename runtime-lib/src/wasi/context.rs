//! What a guest can see of the world: the context that every WASI function works on.

use super::args::StringTable;
#[cfg(feature = "embed")]
use super::clock::Clock;
use super::errno::Errno;
use super::fdtable::{FdEntry, FdTable, HostFd};
use super::memory::GuestMemory;
use super::readdir::Mark;
use super::resolve::Resolver;
use super::rights;
use super::types::{FDFLAG_APPEND, Filetype};
use crate::sys;
#[cfg(feature = "embed")]
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use rustix::fd::OwnedFd;
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io;

/// The state of one guest.
#[derive(Debug)]
pub struct WasiCtx {
    pub(super) args: StringTable,
    pub(super) env: StringTable,
    pub(super) fds: FdTable,
    pub(super) resolver: Resolver,
    /// Where `fd_readdir` ended last, by descriptor.
    pub(super) marks: Vec<Mark>,
    #[cfg(feature = "embed")]
    pub(super) host: Replaced,
}

/// What a host program gives its guest in place of the machine's own.
#[cfg(feature = "embed")]
#[derive(Default)]
pub(super) struct Replaced {
    pub clock: Option<Box<dyn Clock>>,
    pub random: Option<Box<RandomSource>>,
}

/// Fills a buffer with random bytes.
#[cfg(feature = "embed")]
pub type RandomSource = dyn FnMut(&mut [u8]) + Send;

#[cfg(feature = "embed")]
impl core::fmt::Debug for Replaced {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (clock, random) = (self.clock.is_some(), self.random.is_some());
        f.debug_struct("Replaced").field("clock", &clock).field("random", &random).finish()
    }
}

/// What a WASI function works on, found from the instance that called it.
#[derive(Debug)]
pub struct Caller<'a> {
    pub ctx: &'a mut WasiCtx,
    pub memory: GuestMemory<'a>,
}

/// What one of the guest's standard streams is.
#[derive(Debug)]
pub enum Stdio {
    /// The process's own stream.
    Inherit,
    /// Nothing to read, and what is written is lost.
    Null,
    /// An open file, or one end of a pipe, of the host.
    File(OwnedFd),
    /// A file in memory that is only written at its end (`OutputBuffer`).
    Buffer(OwnedFd),
}

/// Builds a [`WasiCtx`].
#[derive(Debug)]
pub struct WasiCtxBuilder {
    ctx: WasiCtx,
}

impl WasiCtxBuilder {
    /// A guest with these standard streams and nothing else.
    ///
    /// # Errors
    ///
    /// A given file can't be examined, or `/dev/null` not be opened.
    pub fn new(stdin: Stdio, stdout: Stdio, stderr: Stdio) -> io::Result<WasiCtxBuilder> {
        let mut fds = FdTable::default();
        for (number, stream) in [(0, stdin), (1, stdout), (2, stderr)] {
            let entry = stream_entry(number, stream)?;
            fds.insert(entry).map_err(|_| io::Errno::MFILE)?;
        }
        let ctx = WasiCtx {
            args: StringTable::default(),
            env: StringTable::default(),
            fds,
            resolver: Resolver::default(),
            marks: Vec::new(),
            #[cfg(feature = "embed")]
            host: Replaced::default(),
        };
        Ok(WasiCtxBuilder { ctx })
    }

    /// Adds an argument; the first is the name of the program.
    pub fn arg(&mut self, arg: &[u8]) -> &mut Self {
        self.ctx.args.push(arg);
        self
    }

    /// Adds an environment variable as `NAME=VALUE`.
    pub fn env(&mut self, variable: &[u8]) -> &mut Self {
        self.ctx.env.push(variable);
        self
    }

    /// Opens the host's directory `host` for the guest under the name `guest`. Directories get the file
    /// descriptors from 3 on, in order.
    ///
    /// # Errors
    ///
    /// The directory can't be opened.
    pub fn preopen(&mut self, host: &[u8], guest: &[u8]) -> io::Result<&mut Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Paths that have to be copied first are opened by much code.
        let host = CString::new(host).map_err(|_| io::Errno::INVAL)?;
        let dir = match fs::openat(CWD, &*host, OFlags::RDONLY | flags, Mode::empty()) {
            // A directory that may be entered but not listed is still good for opening files in it.
            Err(io::Errno::ACCESS) => fs::openat(CWD, &*host, OFlags::PATH | flags, Mode::empty())?,
            result => result?,
        };
        self.preopen_dir(dir, guest)
    }

    /// Gives the guest an open directory under the name `guest`.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` if it is no directory; else as `fstat`.
    pub fn preopen_dir(&mut self, dir: OwnedFd, guest: &[u8]) -> io::Result<&mut Self> {
        let mut entry = FdEntry::new(HostFd::Owned(dir))?;
        if entry.filetype != Filetype::Directory {
            return Err(io::Errno::NOTDIR);
        }
        entry.preopen = Some(guest.into());
        self.insert(entry)
    }

    /// Gives the guest an open file or socket under the next number.
    ///
    /// # Errors
    ///
    /// As `fstat`.
    pub fn open_file(&mut self, file: OwnedFd) -> io::Result<&mut Self> {
        let entry = FdEntry::new(HostFd::Owned(file))?;
        self.insert(entry)
    }

    fn insert(&mut self, entry: FdEntry) -> io::Result<&mut Self> {
        self.ctx.fds.insert(entry).map_err(|errno| match errno {
            Errno::Nomem => io::Errno::NOMEM,
            _ => io::Errno::NFILE,
        })?;
        Ok(self)
    }

    /// Gives the guest another real-time and monotonic clock than the machine's. Waiting takes the machine's time.
    #[cfg(feature = "embed")]
    pub fn clock(&mut self, clock: impl Clock + 'static) -> &mut Self {
        self.ctx.host.clock = Some(Box::new(clock));
        self
    }

    /// Gives the guest another source of random numbers than the system's.
    #[cfg(feature = "embed")]
    pub fn random(&mut self, source: impl FnMut(&mut [u8]) + Send + 'static) -> &mut Self {
        self.ctx.host.random = Some(Box::new(source));
        self
    }

    /// Resolves paths without `openat2`, as on a kernel that lacks it.
    #[cfg(test)]
    pub fn walk_paths(&mut self) -> &mut Self {
        self.ctx.resolver = Resolver::walking();
        self
    }

    /// The context.
    pub fn build(self) -> WasiCtx {
        self.ctx
    }
}

fn stream_entry(number: u8, stream: Stdio) -> io::Result<FdEntry> {
    let is_buffer = matches!(stream, Stdio::Buffer(_));
    let host = match stream {
        Stdio::Inherit => HostFd::Standard(sys::standard_stream(number)),
        Stdio::Null => {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            HostFd::Owned(fs::openat(CWD, c"/dev/null", flags, Mode::empty())?)
        }
        Stdio::File(file) | Stdio::Buffer(file) => HostFd::Owned(file),
    };
    let flags = match fs::fcntl_getfl(&host) {
        Ok(flags) => flags,
        Err(_) if matches!(host, HostFd::Standard(_)) => return Ok(FdEntry::closed(host)),
        Err(error) => return Err(error),
    };
    let mut entry = FdEntry::new(host)?;
    if is_buffer {
        // What was written ends at the offset.
        entry.rights_base &= rights::FD_WRITE | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE;
    }
    // A terminal is open for both on all three; the guest sees one direction, as it does with a pipe.
    entry.rights_base &= if number == 0 { !rights::FD_WRITE } else { !rights::FD_READ };
    if flags.contains(OFlags::APPEND) {
        entry.fdflags = FDFLAG_APPEND;
    }
    Ok(entry)
}
