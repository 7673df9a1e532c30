//! Constants and small types of `typenames.witx` that several groups of functions share.

use super::errno::Errno;
use rustix::fs::{FileType as HostFiletype, OFlags};

/// `$lookupflags`: expand a symbolic link in the last component.
pub const LOOKUP_SYMLINK_FOLLOW: u32 = 1;

/// `$fdflags`.
pub const FDFLAG_APPEND: u32 = 1 << 0;
pub const FDFLAG_DSYNC: u32 = 1 << 1;
pub const FDFLAG_NONBLOCK: u32 = 1 << 2;
pub const FDFLAG_RSYNC: u32 = 1 << 3;
pub const FDFLAG_SYNC: u32 = 1 << 4;
const FDFLAGS_ALL: u32 = (1 << 5) - 1;

/// `$oflags`.
pub const OFLAG_CREAT: u32 = 1 << 0;
pub const OFLAG_DIRECTORY: u32 = 1 << 1;
pub const OFLAG_EXCL: u32 = 1 << 2;
pub const OFLAG_TRUNC: u32 = 1 << 3;
const OFLAGS_ALL: u32 = (1 << 4) - 1;

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// `$filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Filetype {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketDgram = 5,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl Filetype {
    /// The type of a file on the host. Preview 1 has no number for pipes. Whether a socket is a datagram socket
    /// only the socket can tell, not the file.
    pub fn from_host(host: HostFiletype) -> Filetype {
        match host {
            HostFiletype::RegularFile => Filetype::RegularFile,
            HostFiletype::Directory => Filetype::Directory,
            HostFiletype::Symlink => Filetype::SymbolicLink,
            HostFiletype::CharacterDevice => Filetype::CharacterDevice,
            HostFiletype::BlockDevice => Filetype::BlockDevice,
            HostFiletype::Socket => Filetype::SocketStream,
            HostFiletype::Fifo | HostFiletype::Unknown => Filetype::Unknown,
        }
    }
}

/// Checks flags that arrive as an `i32` against the bits that the specification defines.
pub fn check_flags(flags: u32, defined: u32) -> Result<u32, Errno> {
    if flags & !defined == 0 { Ok(flags) } else { Err(Errno::Inval) }
}

/// `$fdflags` from the guest.
pub fn check_fdflags(flags: u32) -> Result<u32, Errno> {
    check_flags(flags, FDFLAGS_ALL)
}

/// `$oflags` from the guest.
pub fn check_oflags(flags: u32) -> Result<u32, Errno> {
    check_flags(flags, OFLAGS_ALL)
}

/// `$lookupflags` from the guest: whether to follow a symbolic link in the last component.
pub fn check_lookupflags(flags: u32) -> Result<bool, Errno> {
    Ok(check_flags(flags, LOOKUP_SYMLINK_FOLLOW)? != 0)
}

/// The flags of the host that the file descriptor flags stand for.
pub fn host_fdflags(fdflags: u32) -> OFlags {
    let mut host = OFlags::empty();
    if fdflags & FDFLAG_APPEND != 0 {
        host |= OFlags::APPEND;
    }
    if fdflags & FDFLAG_DSYNC != 0 {
        host |= OFlags::DSYNC;
    }
    if fdflags & FDFLAG_NONBLOCK != 0 {
        host |= OFlags::NONBLOCK;
    }
    if fdflags & FDFLAG_RSYNC != 0 {
        host |= OFlags::RSYNC;
    }
    if fdflags & FDFLAG_SYNC != 0 {
        host |= OFlags::SYNC;
    }
    host
}
