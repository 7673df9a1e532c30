//! All that depends on the instruction set: entry of a process, signal frames, frame records. Each file has the same
//! list.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(not(target_arch = "s390x"))]
mod record;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "s390x")]
mod s390x;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "riscv64")]
use riscv64 as machine;
#[cfg(target_arch = "s390x")]
use s390x as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

#[cfg(not(target_arch = "riscv64"))]
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, Signal, kernel_sigaction};

pub use machine::{RECORD_SIZE, caller, frame_of, registers, set_registers, set_restorer, sync_code};

#[cfg(all(feature = "embed", target_arch = "x86_64"))]
pub use machine::resume;
#[cfg(feature = "library")]
pub use machine::set_payload;
#[cfg(feature = "standalone")]
pub use machine::{MAX_PAGE, RELATIVE};
#[cfg(target_arch = "riscv64")]
pub use riscv64::{has_vectors, set_action};

/// Sets what happens on a signal, and tells what happened before.
///
/// # Errors
/// None that the kernel documents for valid signals.
///
/// # Safety
/// The action does only what a signal handler may do.
#[cfg(not(target_arch = "riscv64"))]
pub unsafe fn set_action(signal: Signal, action: KernelSigaction) -> rustix::io::Result<KernelSigaction> {
    // SAFETY: the caller vouches for the action.
    unsafe { kernel_sigaction(signal, Some(action)) }
}

/// The registers of interrupted code that traps need.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub pc: usize,
    pub sp: usize,
    /// Frame pointer; on machines without one, what [`frame_of`] needs to find the frame.
    pub fp: usize,
}
