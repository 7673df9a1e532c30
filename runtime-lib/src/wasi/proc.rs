//! The guest's process.

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::GuestMemory;

/// The guest has asked to end with this status.
///
/// An executable ends its process, a host program unwinds to the call that entered the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the guest must not run on"]
pub struct Exit(pub u32);

impl Exit {
    /// The status of the process of an executable. The system keeps the low 8 bits, as for any program.
    pub fn process_status(self) -> i32 {
        self.0.cast_signed()
    }
}

/// Ends the guest.
pub fn proc_exit(_ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, status: u32) -> Exit {
    Exit(status)
}

/// Sends a signal to the guest. There are none: a guest that shares a process must not signal it.
pub fn proc_raise(_ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>, _signal: u32) -> Result<(), Errno> {
    Err(Errno::Notsup)
}

/// Lets others run.
pub fn sched_yield(_ctx: &mut WasiCtx, _memory: &mut GuestMemory<'_>) -> Result<(), Errno> {
    rustix::thread::sched_yield();
    Ok(())
}
