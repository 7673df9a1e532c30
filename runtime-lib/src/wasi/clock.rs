//! Clocks.

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::GuestMemory;
use super::types::NANOS_PER_SEC;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// `$clockid`.
pub const CLOCK_REALTIME: u32 = 0;
pub const CLOCK_MONOTONIC: u32 = 1;

fn host_clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        CLOCK_REALTIME => Ok(ClockId::Realtime),
        CLOCK_MONOTONIC => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::Inval),
    }
}

/// A time of the host in nanoseconds. Times before 1970 are 0, since preview 1 has no negative timestamps.
pub fn nanos(seconds: i64, nanoseconds: u64) -> Result<u64, Errno> {
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(0) };
    seconds.checked_mul(NANOS_PER_SEC).and_then(|ns| ns.checked_add(nanoseconds)).ok_or(Errno::Overflow)
}

fn timespec_nanos(time: &Timespec) -> Result<u64, Errno> {
    nanos(time.tv_sec, u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// A timestamp in the host's form.
pub fn timespec(nanos: u64) -> Timespec {
    // Neither conversion loses anything: 2^64 ns are 584 years, and the remainder is below 10^9.
    Timespec { tv_sec: (nanos / NANOS_PER_SEC) as i64, tv_nsec: (nanos % NANOS_PER_SEC) as _ }
}

/// A clock that the host gives its guest in place of the machine's.
pub trait Clock: Send {
    /// Nanoseconds: since 1970 for the real-time clock, else since any time that does not change.
    fn now(&mut self, monotonic: bool) -> u64;

    /// Nanoseconds from one value of the clock to the next.
    fn resolution(&self) -> u64 {
        1
    }
}

impl WasiCtx {
    /// The clock that the host gave, if it is one of the two that can be replaced.
    #[cfg(feature = "embed")]
    fn replaced_clock(&mut self, id: u32) -> Option<&mut (dyn Clock + 'static)> {
        let replaceable = [CLOCK_REALTIME, CLOCK_MONOTONIC].contains(&id);
        self.host.clock.as_deref_mut().filter(|_| replaceable)
    }

    /// An executable has the machine's clocks.
    #[cfg(not(feature = "embed"))]
    fn replaced_clock(&mut self, _id: u32) -> Option<&mut (dyn Clock + 'static)> {
        None
    }

    /// The time that the guest sees, of a clock that the host replaced.
    pub(super) fn replaced_now(&mut self, id: u32) -> Option<u64> {
        Some(self.replaced_clock(id)?.now(id == CLOCK_MONOTONIC))
    }
}

/// The current time of a clock of the machine in nanoseconds.
pub fn now(clock: u32) -> Result<u64, Errno> {
    timespec_nanos(&clock_gettime(host_clock(clock)?))
}

/// The resolution of a clock.
pub fn clock_res_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    resolution: u32,
) -> Result<(), Errno> {
    let value = match ctx.replaced_clock(id) {
        Some(clock) => clock.resolution(),
        None => timespec_nanos(&clock_getres(host_clock(id)?))?,
    };
    // The specification demands a value that isn't zero.
    memory.write_u64(resolution, value.max(1))
}

/// The time of a clock. The host's clocks are precise enough for every `precision`.
pub fn clock_time_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    _precision: u64,
    time: u32,
) -> Result<(), Errno> {
    let value = match ctx.replaced_now(id) {
        Some(now) => now,
        None => now(id)?,
    };
    memory.write_u64(time, value)
}
