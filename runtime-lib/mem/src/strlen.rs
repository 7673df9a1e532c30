//! `strlen`: `core` calls it for strings from the kernel, such as the names of directory entries.

use core::ffi::c_char;

/// The length of a string without its NUL.
///
/// # Safety
///
/// The string must have a NUL.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut len = 0;
    // A volatile read, since the compiler would turn the loop into a call of `strlen`.
    // SAFETY: up to the NUL, every byte is part of the string.
    while unsafe { string.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
