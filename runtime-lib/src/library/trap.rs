//! Why a call did not return, for C.

use super::instance::Library;
use crate::module::LoadedModule;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use aot_abi::trap::TrapCode;
use core::ffi::{c_char, c_int};
use core::ptr;

/// A trap, an exit of the guest, or an error of its host. C knows only pointers to it.
pub struct Trap {
    code: c_int,
    exit_status: Option<u32>,
    /// Both end with NUL.
    message: String,
    backtrace: String,
}

/// Codes of what is no trap of WebAssembly. They are part of the generated header.
pub(super) const EXIT: c_int = -1;
pub(super) const ERROR: c_int = -2;

/// The most functions that a backtrace names.
pub(super) const MAX_FRAMES: usize = 32;

impl Trap {
    pub(super) fn new(code: TrapCode, wasm_offset: Option<u32>, backtrace: String) -> Trap {
        let message = match wasm_offset {
            Some(offset) => format!("wasm trap: {} (wasm offset {offset:#x})\0", code.message()),
            None => format!("wasm trap: {}\0", code.message()),
        };
        Trap { code: code as c_int, exit_status: None, message, backtrace: backtrace + "\0" }
    }

    pub(super) fn exit(status: u32) -> Trap {
        let message = format!("the guest exited with status {status}\0");
        Trap { code: EXIT, exit_status: Some(status), message, backtrace: String::from("\0") }
    }

    /// An error of the host program, or of how it uses the library.
    pub(super) fn error(message: &str) -> Trap {
        // C would see only what comes before.
        let message = message.replace('\0', "?") + "\0";
        Trap { code: ERROR, exit_status: None, message, backtrace: String::from("\0") }
    }

    pub(super) fn with_backtrace(self, backtrace: String) -> Trap {
        Trap { backtrace: backtrace + "\0", ..self }
    }

    /// Gives the trap to the caller. One that does not want to hear of traps can't go on as if there were none.
    ///
    /// # Safety
    /// `place` is null, or valid for writes.
    pub(super) unsafe fn give(self, place: *mut *mut Trap) {
        if place.is_null() {
            let message = self.message.trim_end_matches('\0');
            super::abort(&format!("{message}, and the caller has no place for the trap"));
        }
        // SAFETY: the caller vouches for the place.
        unsafe { place.write(Box::into_raw(Box::new(self))) };
    }
}

/// Where the wasm functions of a backtrace are: a line for each.
pub(super) fn backtrace_text(module: &LoadedModule, frames: &[usize]) -> String {
    let mut text = String::new();
    for (number, pc) in frames.iter().enumerate() {
        let Some(location) = module.text_offset(*pc).and_then(|at| module.description().locate(at)) else {
            continue;
        };
        let func = location.range + module.imported_funcs();
        text += &match location.name() {
            Some(name) => format!("  {number}: {name}\n"),
            None => format!("  {number}: wasm-function[{func}]\n"),
        };
    }
    text.replace('\0', "?")
}

/// A number for the reason: that of the trap (`AOT_TRAP_…`), `AOT_EXIT`, or `AOT_ERROR`.
///
/// # Safety
/// `trap` is one that this library gave and that was not deleted; so for the functions below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_trap_code(trap: *const Trap) -> c_int {
    // SAFETY: the caller vouches for the trap.
    unsafe { (*trap).code }
}

/// The reason in one line.
///
/// # Safety
/// As [`aot_trap_code`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_trap_message(trap: *const Trap) -> *const c_char {
    // SAFETY: the caller vouches for the trap.
    unsafe { (*trap).message.as_ptr().cast() }
}

/// The wasm functions on the stack, the innermost first, a line for each; may be empty.
///
/// # Safety
/// As [`aot_trap_code`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_trap_backtrace(trap: *const Trap) -> *const c_char {
    // SAFETY: the caller vouches for the trap.
    unsafe { (*trap).backtrace.as_ptr().cast() }
}

/// Whether the guest ended itself, and with what status.
///
/// # Safety
/// As [`aot_trap_code`]; `status` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_trap_exit_status(trap: *const Trap, status: *mut u32) -> bool {
    // SAFETY: the caller vouches for both.
    unsafe {
        match (*trap).exit_status {
            Some(value) => {
                if !status.is_null() {
                    status.write(value);
                }
                true
            }
            None => false,
        }
    }
}

/// Deletes a trap. Null is none.
///
/// # Safety
/// As [`aot_trap_code`], and it is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_trap_delete(trap: *mut Trap) {
    if !trap.is_null() {
        // SAFETY: the caller vouches for the trap, which `give` made.
        drop(unsafe { Box::from_raw(trap) });
    }
}

/// What the landing pad of an export does: gives the trap that a record tells of, or, without a record, the reason why
/// the instance could not be entered.
///
/// # Safety
/// Called by compiled code only, with its instance; `record` is what the handler of faults passed on.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_lib_trapped(
    vmctx: *mut crate::vmctx::VmContext,
    record: *mut super::fault::Record,
    place: *mut *mut Trap,
) {
    // SAFETY: compiled code passes its own instance, which is not running any more.
    let library = unsafe { Library::of(vmctx) };
    let trap = match ptr::NonNull::new(record) {
        // SAFETY: the handler passed it on.
        Some(record) => unsafe { super::fault::take(library, record) },
        None => library.take_refusal(),
    };
    // SAFETY: C vouches for its place.
    unsafe { trap.give(place) };
}
