//! Calls from the host into wasm code.

use crate::vmctx::VmContext;
use aot_abi::call::VALUE_SIZE;

/// A parameter or result in an untyped call.
pub type Slot = [u8; VALUE_SIZE as usize];

/// The record of one entry into wasm code. Its layout is known to entry trampolines (`aot_abi::call`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Activation {
    /// Written by the entry trampoline: its frame pointer.
    pub frame_pointer: usize,
}

/// An entry trampoline. Returns 0, or 1 if a trap landed in it.
pub type Entry = unsafe extern "C" fn(
    activation: *mut Activation,
    code: *const u8,
    vmctx: *mut VmContext,
    values: *mut Slot,
) -> u32;

/// Calls a wasm function.
///
/// # Safety
/// `entry` is the trampoline of the type of the function at `code`, `vmctx` its context, and `values` has a slot for
/// each parameter and each result, references among them being valid.
#[inline]
pub unsafe fn enter(
    activation: *mut Activation,
    entry: *const u8,
    code: *const u8,
    vmctx: *mut VmContext,
    values: *mut Slot,
) -> bool {
    // SAFETY: the caller vouches for `entry`.
    let entry = unsafe { core::mem::transmute::<*const u8, Entry>(entry) };
    // SAFETY: the caller vouches for the arguments.
    unsafe { entry(activation, code, vmctx, values) == 0 }
}
