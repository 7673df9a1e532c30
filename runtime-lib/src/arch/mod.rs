//! All that depends on the instruction set: entry of a process, signal frames. Each file has the same list.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{SIGNAL_RESTORER, registers, set_registers};

/// The registers of interrupted code that traps need.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub pc: usize,
    pub sp: usize,
    /// Frame pointer.
    pub fp: usize,
}

/// The caller of a frame: return address and frame pointer, from the record that the frame pointer points to.
///
/// # Safety
/// `fp` points to a frame record.
pub unsafe fn caller(fp: usize) -> (usize, usize) {
    // Both words of a frame record: the caller's frame pointer, then the return address.
    // SAFETY: the caller vouches for `fp`.
    unsafe {
        let record = fp as *const usize;
        (record.add(1).read(), record.read())
    }
}
