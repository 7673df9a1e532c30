//! Error codes of WASI preview 1 (`$errno` in `typenames.witx`) and how the host's errors map to them.

use rustix::io::Errno as HostErrno;

macro_rules! errnos {
    ($($name:ident = $value:literal,)*) => {
        /// An error code of WASI preview 1. Success is `Ok(())` of the functions, not a value of this type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Errno {
            $($name = $value,)*
        }
    };
}

errnos! {
    TooBig = 1, Acces = 2, Addrinuse = 3, Addrnotavail = 4, Afnosupport = 5, Again = 6, Already = 7, Badf = 8,
    Badmsg = 9, Busy = 10, Canceled = 11, Child = 12, Connaborted = 13, Connrefused = 14, Connreset = 15,
    Deadlk = 16, Destaddrreq = 17, Dom = 18, Dquot = 19, Exist = 20, Fault = 21, Fbig = 22, Hostunreach = 23,
    Idrm = 24, Ilseq = 25, Inprogress = 26, Intr = 27, Inval = 28, Io = 29, Isconn = 30, Isdir = 31, Loop = 32,
    Mfile = 33, Mlink = 34, Msgsize = 35, Multihop = 36, Nametoolong = 37, Netdown = 38, Netreset = 39,
    Netunreach = 40, Nfile = 41, Nobufs = 42, Nodev = 43, Noent = 44, Noexec = 45, Nolck = 46, Nolink = 47,
    Nomem = 48, Nomsg = 49, Noprotoopt = 50, Nospc = 51, Nosys = 52, Notconn = 53, Notdir = 54, Notempty = 55,
    Notrecoverable = 56, Notsock = 57, Notsup = 58, Notty = 59, Nxio = 60, Overflow = 61, Ownerdead = 62,
    Perm = 63, Pipe = 64, Proto = 65, Protonosupport = 66, Prototype = 67, Range = 68, Rofs = 69, Spipe = 70,
    Srch = 71, Stale = 72, Timedout = 73, Txtbsy = 74, Xdev = 75, Notcapable = 76,
}

/// The number a WASI function returns.
pub fn to_raw(result: Result<(), Errno>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(errno) => u32::from(errno as u16),
    }
}

macro_rules! from_host {
    ($value:ident: $($host:ident => $wasi:ident,)*) => {
        match $value {
            $(HostErrno::$host => Errno::$wasi,)*
            // The host knows errors that preview 1 has no number for.
            _ => Errno::Io,
        }
    };
}

impl From<HostErrno> for Errno {
    fn from(host: HostErrno) -> Self {
        from_host! { host:
            TOOBIG => TooBig, ACCESS => Acces, ADDRINUSE => Addrinuse, ADDRNOTAVAIL => Addrnotavail,
            AFNOSUPPORT => Afnosupport, AGAIN => Again, ALREADY => Already, BADF => Badf, BADMSG => Badmsg,
            BUSY => Busy, CANCELED => Canceled, CHILD => Child, CONNABORTED => Connaborted,
            CONNREFUSED => Connrefused, CONNRESET => Connreset, DEADLK => Deadlk, DESTADDRREQ => Destaddrreq,
            DOM => Dom, DQUOT => Dquot, EXIST => Exist, FAULT => Fault, FBIG => Fbig, HOSTUNREACH => Hostunreach,
            IDRM => Idrm, ILSEQ => Ilseq, INPROGRESS => Inprogress, INTR => Intr, INVAL => Inval, IO => Io,
            ISCONN => Isconn, ISDIR => Isdir, LOOP => Loop, MFILE => Mfile, MLINK => Mlink, MSGSIZE => Msgsize,
            MULTIHOP => Multihop, NAMETOOLONG => Nametoolong, NETDOWN => Netdown, NETRESET => Netreset,
            NETUNREACH => Netunreach, NFILE => Nfile, NOBUFS => Nobufs, NODEV => Nodev, NOENT => Noent,
            NOEXEC => Noexec, NOLCK => Nolck, NOLINK => Nolink, NOMEM => Nomem, NOMSG => Nomsg,
            NOPROTOOPT => Noprotoopt, NOSPC => Nospc, NOSYS => Nosys, NOTCONN => Notconn, NOTDIR => Notdir,
            NOTEMPTY => Notempty, NOTRECOVERABLE => Notrecoverable, NOTSOCK => Notsock, OPNOTSUPP => Notsup,
            NOTTY => Notty, NXIO => Nxio, OVERFLOW => Overflow, OWNERDEAD => Ownerdead, PERM => Perm,
            PIPE => Pipe, PROTO => Proto, PROTONOSUPPORT => Protonosupport, PROTOTYPE => Prototype,
            RANGE => Range, ROFS => Rofs, SPIPE => Spipe, SRCH => Srch, STALE => Stale, TIMEDOUT => Timedout,
            TXTBSY => Txtbsy, XDEV => Xdev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        assert_eq!(Errno::Badf as u16, 8);
        assert_eq!(Errno::Inval as u16, 28);
        assert_eq!(Errno::Noent as u16, 44);
        assert_eq!(Errno::Perm as u16, 63);
        assert_eq!(Errno::Notcapable as u16, 76);
        assert_eq!(to_raw(Ok(())), 0);
        assert_eq!(to_raw(Err(Errno::Spipe)), 70);
    }

    #[test]
    fn host_errors_keep_their_meaning() {
        assert_eq!(Errno::from(HostErrno::NOENT), Errno::Noent);
        assert_eq!(Errno::from(HostErrno::AGAIN), Errno::Again);
        assert_eq!(Errno::from(HostErrno::OPNOTSUPP), Errno::Notsup);
        assert_eq!(Errno::from(HostErrno::UCLEAN), Errno::Io);
    }
}
