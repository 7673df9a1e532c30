//! The functions of preview 0 (`wasi_unstable`) whose records or constants differ from preview 1. Everything else
//! is the same, so programs of 2019 share the rest.

use super::context::WasiCtx;
use super::errno::Errno;
use super::fd::{self, WHENCE_CUR, WHENCE_END, WHENCE_SET};
use super::fd_attributes::filestat_of;
use super::memory::GuestMemory;
use super::path::filestat_of_path;
use super::poll::{SubscriptionLayout, poll_with_layout};

/// A clock's subscription has one more field in front, an identifier that nobody used.
const LAYOUT: SubscriptionLayout =
    SubscriptionLayout { size: 56, clock_id: 24, clock_timeout: 32, clock_flags: 48 };

/// `fd_filestat_get` of preview 0.
pub fn fd_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    stat: u32,
) -> Result<(), Errno> {
    filestat_of(ctx.fds.get(fd)?)?.write_preview0(memory, stat)
}

/// `path_filestat_get` of preview 0.
pub fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Result<(), Errno> {
    filestat_of_path(ctx, memory, fd, flags, path, path_len)?.write_preview0(memory, stat)
}

/// `fd_seek` of preview 0: the constants have another order.
pub fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    new_offset: u32,
) -> Result<(), Errno> {
    let whence = match whence {
        0 => WHENCE_CUR,
        1 => WHENCE_END,
        2 => WHENCE_SET,
        _ => return Err(Errno::Inval),
    };
    fd::fd_seek(ctx, memory, fd, offset, whence, new_offset)
}

/// `poll_oneoff` of preview 0.
pub fn poll_oneoff(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    nsubscriptions: u32,
    nevents: u32,
) -> Result<(), Errno> {
    poll_with_layout(ctx, memory, subscriptions, events, nsubscriptions, nevents, &LAYOUT)
}
