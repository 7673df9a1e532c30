//! `poll_oneoff`: waits for clocks and files.

use super::clock::{CLOCK_MONOTONIC, CLOCK_REALTIME, now, timespec};
use super::context::WasiCtx;
use super::errno::Errno;
use super::fdtable::FdEntry;
use super::memory::{GuestMemory, field};
use super::rights::{FD_READ, FD_WRITE, POLL_FD_READWRITE};
use super::types::{Filetype, NANOS_PER_SEC, check_flags};
use alloc::vec::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{fstat, tell};
use rustix::io::{Errno as HostErrno, ioctl_fionread};

/// The most subscriptions of a call. They cost memory of the host.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// `$eventtype`.
const EVENT_CLOCK: u8 = 0;
const EVENT_FD_READ: u8 = 1;
const EVENT_FD_WRITE: u8 = 2;

/// `$subclockflags`: the timeout is a time of the clock, not a duration.
const CLOCK_ABSTIME: u32 = 1;

/// `$eventrwflags`: the other end has hung up.
const HANGUP: u16 = 1;

/// Bytes of `$event`: userdata u64, error u16, type u8, padding, nbytes u64 at 16, flags u16 at 24.
const EVENT_SIZE: u32 = 32;

/// The longest wait for an absolute time of the real-time clock before looking at the clock again: it can be set
/// meanwhile, which a wait of a given length doesn't notice.
const REALTIME_RECHECK: u64 = NANOS_PER_SEC;

/// Where the fields of `$subscription` are. Both previews start with userdata (u64), and the tag (u8) at 8.
pub struct SubscriptionLayout {
    pub size: u32,
    pub clock_id: u32,
    pub clock_timeout: u32,
    pub clock_flags: u32,
}

/// The layout of preview 1. The descriptor of a file is where the clock's id is.
const LAYOUT: SubscriptionLayout =
    SubscriptionLayout { size: 48, clock_id: 16, clock_timeout: 24, clock_flags: 40 };

const FD_OFFSET: u32 = 16;

enum Subscription {
    /// A duration from the start of the call, or a time of the monotonic clock.
    Monotonic(u64),
    /// A time of the real-time clock.
    Realtime(u64),
    Read(u32),
    Write(u32),
}

/// The times at which a call ends, in nanoseconds of each clock.
#[derive(Default)]
struct Deadlines {
    monotonic: Option<u64>,
    realtime: Option<u64>,
}

impl Deadlines {
    fn add(deadline: &mut Option<u64>, time: u64) {
        *deadline = Some(deadline.map_or(time, |earlier| earlier.min(time)));
    }

    /// How long to wait at most; nothing is forever.
    fn remaining(&self) -> Result<Option<u64>, Errno> {
        let mut shortest = None;
        if let Some(time) = self.monotonic {
            Self::add(&mut shortest, time.saturating_sub(now(CLOCK_MONOTONIC)?));
        }
        if let Some(time) = self.realtime {
            Self::add(&mut shortest, time.saturating_sub(now(CLOCK_REALTIME)?));
        }
        Ok(shortest)
    }
}

fn read_subscription(
    memory: &GuestMemory<'_>,
    addr: u32,
    layout: &SubscriptionLayout,
    start: u64,
    replaced_now: impl Fn(u32) -> Option<u64>,
) -> Result<Subscription, Errno> {
    match memory.read_u8(field(addr, 8)?)? {
        EVENT_CLOCK => {
            let id = memory.read_u32(field(addr, layout.clock_id)?)?;
            let timeout = memory.read_u64(field(addr, layout.clock_timeout)?)?;
            let flags = u32::from(memory.read_u16(field(addr, layout.clock_flags)?)?);
            let absolute = check_flags(flags, CLOCK_ABSTIME)? != 0;
            match id {
                CLOCK_REALTIME | CLOCK_MONOTONIC if absolute && let Some(now) = replaced_now(id) => {
                    // Waiting takes the machine's time, also for a guest with another clock.
                    Ok(Subscription::Monotonic(start.saturating_add(timeout.saturating_sub(now))))
                }
                CLOCK_REALTIME if absolute => Ok(Subscription::Realtime(timeout)),
                CLOCK_MONOTONIC if absolute => Ok(Subscription::Monotonic(timeout)),
                CLOCK_REALTIME | CLOCK_MONOTONIC => {
                    Ok(Subscription::Monotonic(start.saturating_add(timeout)))
                }
                _ => Err(Errno::Inval),
            }
        }
        EVENT_FD_READ => Ok(Subscription::Read(memory.read_u32(field(addr, FD_OFFSET)?)?)),
        EVENT_FD_WRITE => Ok(Subscription::Write(memory.read_u32(field(addr, FD_OFFSET)?)?)),
        _ => Err(Errno::Inval),
    }
}

/// Waits until one of the subscriptions occurs, and stores those that have.
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

/// [`poll_oneoff`] for subscriptions of another layout.
pub fn poll_with_layout(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    nsubscriptions: u32,
    nevents: u32,
    layout: &SubscriptionLayout,
) -> Result<(), Errno> {
    if nsubscriptions == 0 || nsubscriptions > MAX_SUBSCRIPTIONS {
        return Err(Errno::Inval);
    }
    memory.check(subscriptions, nsubscriptions * layout.size)?;
    memory.check(events, nsubscriptions * EVENT_SIZE)?;
    memory.check(nevents, 4)?;

    let start = now(CLOCK_MONOTONIC)?;
    let replaced_now = [CLOCK_REALTIME, CLOCK_MONOTONIC].map(|id| ctx.replaced_now(id));
    let replaced = |id| replaced_now[usize::from(id == CLOCK_MONOTONIC)];
    let mut deadlines = Deadlines::default();
    let mut files: Vec<PollFd<'_>> = Vec::new();
    for index in 0..nsubscriptions {
        let addr = field(subscriptions, index * layout.size)?;
        let (fd, right, wanted) = match read_subscription(memory, addr, layout, start, replaced)? {
            Subscription::Monotonic(time) => {
                Deadlines::add(&mut deadlines.monotonic, time);
                continue;
            }
            Subscription::Realtime(time) => {
                Deadlines::add(&mut deadlines.realtime, time);
                continue;
            }
            Subscription::Read(fd) => (fd, FD_READ, PollFlags::IN),
            Subscription::Write(fd) => (fd, FD_WRITE, PollFlags::OUT),
        };
        let entry = ctx.fds.file(fd, right | POLL_FD_READWRITE)?;
        files.try_reserve(1).map_err(|_| Errno::Nomem)?;
        files.push(PollFd::new(&entry.host, wanted));
    }

    wait(&mut files, &deadlines)?;

    // Both clocks are read once, so that all subscriptions see the same time.
    let monotonic_now = now(CLOCK_MONOTONIC)?;
    let realtime_now = now(CLOCK_REALTIME)?;
    let mut states = files.iter().map(PollFd::revents);
    let mut count = 0;
    for index in 0..nsubscriptions {
        let addr = field(subscriptions, index * layout.size)?;
        let userdata = memory.read_u64(addr)?;
        let mut event = Event { userdata, kind: EVENT_CLOCK, nbytes: 0, flags: 0 };
        let (fd, kind) = match read_subscription(memory, addr, layout, start, replaced)? {
            Subscription::Monotonic(time) if time > monotonic_now => continue,
            Subscription::Realtime(time) if time > realtime_now => continue,
            Subscription::Monotonic(_) | Subscription::Realtime(_) => {
                event.write(memory, field(events, count * EVENT_SIZE)?)?;
                count += 1;
                continue;
            }
            Subscription::Read(fd) => (fd, EVENT_FD_READ),
            Subscription::Write(fd) => (fd, EVENT_FD_WRITE),
        };
        // The states are in the order of the file subscriptions.
        let state = states.next().unwrap_or(PollFlags::empty());
        if state.is_empty() {
            continue;
        }
        event.kind = kind;
        event.describe(ctx.fds.get(fd)?, state);
        event.write(memory, field(events, count * EVENT_SIZE)?)?;
        count += 1;
    }
    memory.write_u32(nevents, count)
}

/// Waits until a file is ready or a deadline has passed.
fn wait(files: &mut [PollFd<'_>], deadlines: &Deadlines) -> Result<(), Errno> {
    loop {
        let remaining = deadlines.remaining()?;
        let slice = match deadlines.realtime {
            Some(_) => remaining.map(|time| time.min(REALTIME_RECHECK)),
            None => remaining,
        };
        match poll(files, slice.map(timespec).as_ref()) {
            Ok(0) if remaining != Some(0) => {}
            Ok(_) => return Ok(()),
            Err(HostErrno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

struct Event {
    userdata: u64,
    kind: u8,
    nbytes: u64,
    flags: u16,
}

impl Event {
    /// Sets the number of bytes and the flags for a file in this state.
    fn describe(&mut self, entry: &FdEntry, state: PollFlags) {
        if self.kind == EVENT_FD_WRITE {
            // The host doesn't say how much; one byte is certain.
            self.nbytes = 1;
            if state.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.flags = HANGUP;
            }
            return;
        }
        self.nbytes = readable_bytes(entry);
        // The end of a file is reported like a closed pipe, as `wasmtime` does.
        let at_end = entry.filetype == Filetype::RegularFile;
        if self.nbytes == 0 && (at_end || state.contains(PollFlags::HUP)) {
            self.flags = HANGUP;
        }
    }

    fn write(&self, memory: &mut GuestMemory<'_>, addr: u32) -> Result<(), Errno> {
        memory.bytes_mut(addr, EVENT_SIZE)?.fill(0);
        memory.write_u64(addr, self.userdata)?;
        memory.write_bytes(field(addr, 10)?, &[self.kind])?;
        memory.write_u64(field(addr, 16)?, self.nbytes)?;
        memory.write_u16(field(addr, 24)?, self.flags)
    }
}

fn readable_bytes(entry: &FdEntry) -> u64 {
    if entry.filetype == Filetype::RegularFile {
        let size = fstat(&entry.host).map_or(0, |stat| stat.st_size as u64);
        return size.saturating_sub(tell(&entry.host).unwrap_or(0));
    }
    // A file that can't tell has at least one byte, or the end of the file, to read.
    ioctl_fionread(&entry.host).unwrap_or(1)
}
