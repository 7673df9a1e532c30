//! Sockets. Preview 1 can't make any; a guest has those that it inherits as standard streams or that a host
//! program gives it, and what they accept.

use super::context::WasiCtx;
use super::errno::Errno;
use super::fd::blocking;
use super::fdtable::{FdEntry, FdTable, HostFd};
use super::memory::GuestMemory;
use super::rights::{FD_READ, FD_WRITE, SOCK_ACCEPT, SOCK_SHUTDOWN};
use super::types::{FDFLAG_NONBLOCK, Filetype, check_fdflags, check_flags};
use rustix::event::PollFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags,
    accept_with, recvmsg, sendmsg, shutdown,
};

/// `$riflags`.
const RECV_PEEK: u32 = 1 << 0;
const RECV_WAITALL: u32 = 1 << 1;
/// `$roflags`: the message was longer than the buffers.
const RECV_DATA_TRUNCATED: u32 = 1 << 0;
/// `$sdflags`.
const SHUTDOWN_READ: u32 = 1 << 0;
const SHUTDOWN_WRITE: u32 = 1 << 1;

fn socket(fds: &FdTable, fd: u32, rights: u64) -> Result<&FdEntry, Errno> {
    let entry = fds.get(fd)?;
    if !matches!(entry.filetype, Filetype::SocketDgram | Filetype::SocketStream) {
        return Err(Errno::Notsock);
    }
    entry.require(rights).map(|()| entry)
}

/// Accepts a connection.
pub fn sock_accept(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    accepted: u32,
) -> Result<(), Errno> {
    let nonblock = match check_fdflags(flags)? {
        0 => false,
        FDFLAG_NONBLOCK => true,
        _ => return Err(Errno::Inval),
    };
    ctx.fds.check_room()?;
    memory.check(accepted, 4)?;
    let listener = socket(&ctx.fds, fd, SOCK_ACCEPT)?;
    let mut host_flags = SocketFlags::CLOEXEC;
    host_flags.set(SocketFlags::NONBLOCK, nonblock);
    let connection = blocking(listener, PollFlags::IN, || accept_with(&listener.host, host_flags))?;
    let mut entry = FdEntry::new(HostFd::Owned(connection))?;
    entry.fdflags = flags;
    let number = ctx.fds.insert(entry)?;
    memory.write_u32(accepted, number)
}

/// Receives a message.
pub fn sock_recv(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    data: u32,
    data_len: u32,
    flags: u32,
    received: u32,
    out_flags: u32,
) -> Result<(), Errno> {
    let flags = check_flags(flags, RECV_PEEK | RECV_WAITALL)?;
    memory.check(received, 4)?;
    memory.check(out_flags, 2)?;
    let entry = socket(&ctx.fds, fd, FD_READ)?;
    let mut host_flags = RecvFlags::empty();
    host_flags.set(RecvFlags::PEEK, flags & RECV_PEEK != 0);
    host_flags.set(RecvFlags::WAITALL, flags & RECV_WAITALL != 0);
    let (mut slices, used) = memory.scatter(data, data_len)?;
    let slices = slices.get_mut(..used).unwrap_or(&mut []);
    let message = blocking(entry, PollFlags::IN, || {
        recvmsg(&entry.host, slices, &mut RecvAncillaryBuffer::default(), host_flags)
    })?;
    let truncated = message.flags.contains(ReturnFlags::TRUNC);
    memory.write_u32(received, u32::try_from(message.bytes).map_err(|_| Errno::Overflow)?)?;
    memory.write_u16(out_flags, if truncated { RECV_DATA_TRUNCATED as u16 } else { 0 })
}

/// Sends a message.
pub fn sock_send(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    data: u32,
    data_len: u32,
    flags: u32,
    sent: u32,
) -> Result<(), Errno> {
    check_flags(flags, 0)?;
    memory.check(sent, 4)?;
    let entry = socket(&ctx.fds, fd, FD_WRITE)?;
    let (slices, used) = memory.gather(data, data_len)?;
    let slices = slices.get(..used).unwrap_or(&[]);
    let count = blocking(entry, PollFlags::OUT, || {
        sendmsg(&entry.host, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
    })?;
    memory.write_u32(sent, u32::try_from(count).map_err(|_| Errno::Overflow)?)
}

/// Closes one or both directions of a connection. Not of a standard stream, which other processes may be using: the
/// connection would end for them too.
pub fn sock_shutdown(
    ctx: &mut WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    how: u32,
) -> Result<(), Errno> {
    let entry = socket(&ctx.fds, fd, SOCK_SHUTDOWN)?;
    if entry.is_standard_stream() {
        return Err(Errno::Notsock);
    }
    let how = match check_flags(how, SHUTDOWN_READ | SHUTDOWN_WRITE)? {
        SHUTDOWN_READ => Shutdown::Read,
        SHUTDOWN_WRITE => Shutdown::Write,
        0 => return Err(Errno::Inval),
        _ => Shutdown::Both,
    };
    Ok(shutdown(&entry.host, how)?)
}
