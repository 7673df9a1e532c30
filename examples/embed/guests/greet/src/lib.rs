//! A guest that takes a string and gives one: `cargo build --release --target wasm32-wasip1`.
//!
//! Only numbers cross the border of a module, so a string is an address and a length in the guest's memory. The guest
//! exports its allocator: the host makes room for what it passes, and frees what it gets.

use std::{ptr, slice};

/// Room for `len` bytes, to be freed with `deallocate`.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(len: usize) -> *mut u8 {
    Box::into_raw(vec![0u8; len].into_boxed_slice()).cast()
}

/// Frees what `allocate` or `greet` gave.
///
/// # Safety
/// The address and the length are those of one allocation, which is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deallocate(address: *mut u8, len: usize) {
    // SAFETY: made by `Box::into_raw` with this length.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(address, len)) });
}

/// Greets someone. The result has the greeting's address in its upper 32 bits and its length in the lower ones; the
/// host frees it.
///
/// # Safety
/// The address and the length are those of a name in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet(address: *const u8, len: usize) -> u64 {
    // SAFETY: the host says where the name is.
    let name = unsafe { slice::from_raw_parts(address, len) };
    give(format!("Hello, {}!", String::from_utf8_lossy(name)))
}

/// Leaves a string to the host.
fn give(text: String) -> u64 {
    let bytes = Box::leak(text.into_bytes().into_boxed_slice());
    (bytes.as_ptr().addr() as u64) << 32 | bytes.len() as u64
}
