//! The guest's file descriptors: what each refers to on the host, and what may be done with it.

use super::errno::Errno;
use super::rights;
use super::types::Filetype;
use alloc::boxed::Box;
use alloc::vec::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, Stat};
use rustix::{io, net, termios};

/// The most file descriptors a guest can have. The host's own limit is usually lower.
pub const MAX_FDS: usize = 1 << 16;

/// A file descriptor of the host.
#[derive(Debug)]
pub enum HostFd {
    /// Opened for the guest, closed with the guest's descriptor.
    Owned(OwnedFd),
    /// A standard stream of the process. It stays open when the guest closes its descriptor: the runtime still
    /// reports traps on it, and no other file must ever get its number.
    Standard(BorrowedFd<'static>),
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            HostFd::Owned(fd) => fd.as_fd(),
            HostFd::Standard(fd) => *fd,
        }
    }
}

/// What a file descriptor of the guest refers to.
#[derive(Debug)]
pub struct FdEntry {
    pub host: HostFd,
    pub filetype: Filetype,
    /// What may be done with this descriptor.
    pub rights_base: u64,
    /// What may be done with descriptors that are opened through this one.
    pub rights_inheriting: u64,
    /// The guest's view of the flags. For a standard stream `NONBLOCK` exists only here: the host shares the flag
    /// with other processes, and a terminal left non-blocking breaks the user's shell.
    pub fdflags: u32,
    /// The guest's name of a preopened directory.
    pub preopen: Option<Box<[u8]>>,
}

impl FdEntry {
    /// An entry for a file whose type is not yet known, with every right that applies to its type.
    pub fn new(host: HostFd) -> io::Result<FdEntry> {
        let stat = fs::fstat(&host)?;
        let filetype = filetype_of_open_file(host.as_fd(), &stat);
        let terminal = filetype == Filetype::CharacterDevice && termios::isatty(&host);
        Ok(FdEntry {
            host,
            filetype,
            rights_base: rights::applicable(filetype, terminal),
            rights_inheriting: if filetype == Filetype::Directory { rights::ALL } else { 0 },
            fdflags: 0,
            preopen: None,
        })
    }

    /// An entry for a standard stream that is closed: it has its number and nothing else.
    pub fn closed(host: HostFd) -> FdEntry {
        FdEntry {
            host,
            filetype: Filetype::Unknown,
            rights_base: 0,
            rights_inheriting: 0,
            fdflags: 0,
            preopen: None,
        }
    }

    /// Whether this is a standard stream of the process.
    pub fn is_standard_stream(&self) -> bool {
        matches!(self.host, HostFd::Standard(_))
    }

    /// Checks that the guest has all of `rights` for this descriptor.
    ///
    /// Reading and writing without the right is `BADF`, as where a file was opened for the other.
    pub fn require(&self, rights: u64) -> Result<(), Errno> {
        // The right to seek includes the right to ask for the offset.
        let implied = if self.rights_base & rights::FD_SEEK != 0 { rights::FD_TELL } else { 0 };
        let missing = rights & !(self.rights_base | implied);
        if missing == 0 {
            Ok(())
        } else if missing & (rights::FD_READ | rights::FD_WRITE) != 0 {
            Err(Errno::Badf)
        } else {
            Err(Errno::Notcapable)
        }
    }
}

/// The type of an open file: as [`Filetype::from_host`], but a socket can be asked what kind it is.
pub fn filetype_of_open_file(fd: BorrowedFd<'_>, stat: &Stat) -> Filetype {
    match Filetype::from_host(fs::FileType::from_raw_mode(stat.st_mode)) {
        Filetype::SocketStream if net::sockopt::socket_type(fd) == Ok(net::SocketType::DGRAM) => {
            Filetype::SocketDgram
        }
        other => other,
    }
}

/// The table from the guest's numbers to entries.
#[derive(Debug, Default)]
pub struct FdTable {
    entries: Vec<Option<FdEntry>>,
    /// No number below this one is free.
    first_free: usize,
}

impl FdTable {
    /// The entry of a descriptor.
    pub fn get(&self, fd: u32) -> Result<&FdEntry, Errno> {
        self.slot(fd).and_then(|index| self.entries.get(index)?.as_ref()).ok_or(Errno::Badf)
    }

    /// The entry of a descriptor, to change it.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut FdEntry, Errno> {
        self.slot(fd).and_then(|index| self.entries.get_mut(index)?.as_mut()).ok_or(Errno::Badf)
    }

    /// The entry of a directory with all of `rights`.
    pub fn directory(&self, fd: u32, rights: u64) -> Result<&FdEntry, Errno> {
        let entry = self.get(fd)?;
        match entry.filetype {
            Filetype::Directory => entry.require(rights).map(|()| entry),
            Filetype::RegularFile => Err(Errno::Notdir),
            _ => Err(Errno::Badf),
        }
    }

    /// The entry of anything but a directory with all of `rights`.
    pub fn file(&self, fd: u32, rights: u64) -> Result<&FdEntry, Errno> {
        let entry = self.get(fd)?;
        if entry.filetype == Filetype::Directory {
            return Err(Errno::Badf);
        }
        entry.require(rights).map(|()| entry)
    }

    /// Whether another descriptor can be made. To be asked before something is opened or created.
    pub fn check_room(&self) -> Result<(), Errno> {
        if self.first_free < MAX_FDS { Ok(()) } else { Err(Errno::Nfile) }
    }

    /// Adds an entry under the lowest free number. POSIX promises that number, and C programs count on it when
    /// they close and reopen a standard stream.
    pub fn insert(&mut self, entry: FdEntry) -> Result<u32, Errno> {
        self.check_room()?;
        let index = self.first_free;
        match self.entries.get_mut(index) {
            Some(slot) => *slot = Some(entry),
            None => {
                self.entries.try_reserve(1).map_err(|_| Errno::Nomem)?;
                self.entries.push(Some(entry));
            }
        }
        self.first_free = (index + 1..self.entries.len())
            .find(|&free| self.entries.get(free).is_some_and(Option::is_none))
            .unwrap_or(self.entries.len());
        u32::try_from(index).map_err(|_| Errno::Nfile)
    }

    /// Takes an entry out of the table. Dropping it closes the host's descriptor.
    pub fn remove(&mut self, fd: u32) -> Result<FdEntry, Errno> {
        let index = self.slot(fd).ok_or(Errno::Badf)?;
        let entry = self.entries.get_mut(index).and_then(Option::take).ok_or(Errno::Badf)?;
        self.first_free = self.first_free.min(index);
        Ok(entry)
    }

    /// Moves the entry `from` to the number `to`, closing what was there. Both must be open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from != to {
            let entry = self.remove(from)?;
            *self.get_mut(to)? = entry;
        }
        Ok(())
    }

    fn slot(&self, fd: u32) -> Option<usize> {
        usize::try_from(fd).ok()
    }
}
