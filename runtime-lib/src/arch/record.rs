//! Frame records of machines with a frame pointer: two words, the caller's frame pointer and the return address.

use super::Registers;

/// Bytes of a frame record.
pub const RECORD_SIZE: usize = 2 * size_of::<usize>();

/// Where the record of the function lies that was interrupted.
///
/// # Safety
/// The registers are those of compiled code that a signal interrupted.
pub unsafe fn frame_of(registers: &Registers) -> usize {
    registers.fp
}

/// The caller of a frame: return address and frame pointer, from the record that the frame pointer points to.
///
/// # Safety
/// `fp` points to a frame record.
pub unsafe fn caller(fp: usize) -> (usize, usize) {
    // SAFETY: the caller vouches for `fp`.
    unsafe {
        let record = fp as *const usize;
        (record.add(1).read(), record.read())
    }
}
