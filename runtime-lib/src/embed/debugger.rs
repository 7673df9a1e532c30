//! Telling debuggers of images that are loaded: the interface of GDB for code that is made at run time, which LLDB knows too.
//!
//! A debugger stops at `__jit_debug_register_code`, and then reads the list that `__jit_debug_descriptor` starts. Each entry
//! is an ELF file in memory (GDB manual, "JIT Compilation Interface").

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use std::sync::{Mutex, PoisonError};

/// What the debugger is to do when it stops.
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    len: u64,
}

#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

// The symbols are weak: a program has them once, and other libraries in it may have them too.
#[cfg(target_arch = "s390x")]
macro_rules! return_instruction {
    () => {
        "br %r14"
    };
}
#[cfg(not(target_arch = "s390x"))]
macro_rules! return_instruction {
    () => {
        "ret"
    };
}

core::arch::global_asm!(
    ".pushsection .text.__jit_debug_register_code,\"ax\",@progbits",
    ".balign 16",
    ".weak __jit_debug_register_code",
    ".type __jit_debug_register_code, @function",
    "__jit_debug_register_code:",
    return_instruction!(),
    ".size __jit_debug_register_code, .-__jit_debug_register_code",
    ".popsection",
    ".pushsection .data.__jit_debug_descriptor,\"aw\",@progbits",
    ".balign 8",
    ".weak __jit_debug_descriptor",
    ".type __jit_debug_descriptor, @object",
    ".size __jit_debug_descriptor, 24",
    "__jit_debug_descriptor:",
    ".long 1",
    ".long 0",
    ".quad 0",
    ".quad 0",
    ".popsection",
);

unsafe extern "C" {
    fn __jit_debug_register_code();
    static mut __jit_debug_descriptor: Descriptor;
}

/// Held while the list changes.
static LIST: Mutex<()> = Mutex::new(());

/// A file that debuggers know until this is dropped.
pub(super) struct Registration {
    entry: *mut Entry,
    // The entry points to it.
    _file: Vec<u8>,
}

// SAFETY: the entry is only touched with the lock held.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Tells debuggers of an ELF file whose addresses are those of this process.
    pub fn new(file: Vec<u8>) -> Registration {
        let (start, len) = (file.as_ptr(), file.len() as u64);
        let entry = Entry { next: ptr::null_mut(), previous: ptr::null_mut(), file: start, len };
        let entry = Box::into_raw(Box::new(entry));
        let _guard = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the lock is held; entries in the list are alive.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            let first = (*list).first;
            (*entry).next = first;
            if let Some(first) = first.as_mut() {
                first.previous = entry;
            }
            (*list).first = entry;
            tell(list, entry, REGISTER);
        }
        Registration { entry, _file: file }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _guard = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the lock is held; `new` made the entry and put it into the list, whose entries are alive.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            let Entry { next, previous, .. } = *self.entry;
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => (*list).first = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            tell(list, self.entry, UNREGISTER);
            drop(Box::from_raw(self.entry));
        }
    }
}

/// # Safety
/// The list is whole, and its lock is held.
unsafe fn tell(list: *mut Descriptor, entry: *mut Entry, action: u32) {
    // SAFETY: the caller vouches for the list; the function does nothing, for a debugger to stop at.
    unsafe {
        (*list).relevant = entry;
        (*list).action = action;
        __jit_debug_register_code();
    }
}
