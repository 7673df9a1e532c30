//! Rights of file descriptors (`$rights` in `typenames.witx`) and which of them make sense for which file type.

use super::types::Filetype;

pub const FD_DATASYNC: u64 = 1 << 0;
pub const FD_READ: u64 = 1 << 1;
pub const FD_SEEK: u64 = 1 << 2;
pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
pub const FD_SYNC: u64 = 1 << 4;
pub const FD_TELL: u64 = 1 << 5;
pub const FD_WRITE: u64 = 1 << 6;
pub const FD_ADVISE: u64 = 1 << 7;
pub const FD_ALLOCATE: u64 = 1 << 8;
pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
pub const PATH_CREATE_FILE: u64 = 1 << 10;
pub const PATH_LINK_SOURCE: u64 = 1 << 11;
pub const PATH_LINK_TARGET: u64 = 1 << 12;
pub const PATH_OPEN: u64 = 1 << 13;
pub const FD_READDIR: u64 = 1 << 14;
pub const PATH_READLINK: u64 = 1 << 15;
pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
pub const PATH_RENAME_TARGET: u64 = 1 << 17;
pub const PATH_FILESTAT_GET: u64 = 1 << 18;
pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
pub const FD_FILESTAT_GET: u64 = 1 << 21;
pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
pub const PATH_SYMLINK: u64 = 1 << 24;
pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
pub const PATH_UNLINK_FILE: u64 = 1 << 26;
pub const POLL_FD_READWRITE: u64 = 1 << 27;
pub const SOCK_SHUTDOWN: u64 = 1 << 28;
pub const SOCK_ACCEPT: u64 = 1 << 29;

/// Every right that preview 1 defines. Other bits in a request are ignored.
pub const ALL: u64 = (1 << 30) - 1;

/// Rights to use a directory. Programs compare against this set, so it has at least what wasmtime reports.
pub const DIRECTORY: u64 = PATH_CREATE_DIRECTORY
    | PATH_CREATE_FILE
    | PATH_LINK_SOURCE
    | PATH_LINK_TARGET
    | PATH_OPEN
    | FD_READDIR
    | PATH_READLINK
    | PATH_RENAME_SOURCE
    | PATH_RENAME_TARGET
    | PATH_FILESTAT_GET
    | PATH_FILESTAT_SET_SIZE
    | PATH_FILESTAT_SET_TIMES
    | FD_FILESTAT_GET
    | FD_FILESTAT_SET_TIMES
    | PATH_SYMLINK
    | PATH_REMOVE_DIRECTORY
    | PATH_UNLINK_FILE;

/// Rights to use a stream: a terminal, a pipe or anything else without an offset.
pub const STREAM: u64 =
    FD_READ | FD_WRITE | FD_SYNC | FD_DATASYNC | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// Rights to use a file with an offset.
pub const FILE: u64 =
    STREAM | FD_SEEK | FD_TELL | FD_ADVISE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE | FD_FILESTAT_SET_TIMES;

/// Rights to use a socket.
pub const SOCKET: u64 = STREAM | SOCK_SHUTDOWN | SOCK_ACCEPT;

/// The rights that apply to a file of this type. `terminal` tells terminals from other character devices.
///
/// The C library takes a character device for a terminal if it lacks `FD_SEEK` and `FD_TELL`. So other character
/// devices (`/dev/null`), where seeking succeeds on the host too, keep those two.
pub fn applicable(filetype: Filetype, terminal: bool) -> u64 {
    match filetype {
        Filetype::Directory => DIRECTORY,
        Filetype::RegularFile | Filetype::BlockDevice => FILE,
        Filetype::CharacterDevice if !terminal => FILE,
        Filetype::SocketDgram | Filetype::SocketStream => SOCKET,
        Filetype::CharacterDevice | Filetype::SymbolicLink | Filetype::Unknown => STREAM,
    }
}
