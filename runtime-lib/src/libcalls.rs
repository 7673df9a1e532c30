//! The functions that compiled code calls (`aot_abi::libcall`).
//!
//! In executables they are symbols; in images compiled code finds them in [`LIBCALLS`].

use crate::instance::Instance;
use crate::table::Table;
use crate::vmctx::VmContext;
use aot_abi::libcall::Libcall;

/// Declares the libcalls, under their symbols where the library is linked into an executable.
macro_rules! libcalls {
    ($($(#[$doc:meta])* $libcall:ident = fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// Called by compiled code only, with arguments that the compiler checked.
            #[cfg_attr(feature = "standalone", unsafe(no_mangle))]
            pub unsafe extern "C" fn $name($($arg: $ty),*) $(-> $ret)? $body
        )*

        /// The libcalls in the order of [`Libcall::ALL`].
        pub static LIBCALLS: LibcallTable = LibcallTable({
            let mut table = [core::ptr::null(); Libcall::ALL.len()];
            $(table[Libcall::$libcall as usize] = $name as *const ();)*
            table
        });
    };
}

/// A table of code addresses.
pub struct LibcallTable([*const (); Libcall::ALL.len()]);

// SAFETY: addresses of functions, never written.
unsafe impl Sync for LibcallTable {}

impl LibcallTable {
    pub fn as_ptr(&self) -> *const *const () {
        self.0.as_ptr()
    }
}

/// The status that tells compiled code to trap.
fn status(done: Option<()>) -> u32 {
    u32::from(done.is_none())
}

libcalls! {
    /// `memory.grow`.
    MemoryGrow = fn aot_memory_grow(vmctx: *mut VmContext, memory: u32, delta: u64) -> i64 {
        // SAFETY: compiled code passes its own context; memories outlive the instances that use them.
        let old = unsafe { Instance::of(vmctx).memory(memory).and_then(|memory| (*memory).grow(delta)) };
        old.map_or(-1, |pages| pages as i64)
    }

    /// `memory.init`.
    MemoryInit = fn aot_memory_init(
        vmctx: *mut VmContext, memory: u32, segment: u32, to: u64, from: u32, len: u32
    ) -> u32 {
        // SAFETY: compiled code passes its own context.
        let instance = unsafe { Instance::of(vmctx) };
        status(instance.memory_init(memory, segment, to, u64::from(from), u64::from(len)))
    }

    /// `memory.copy`, after the check of bounds.
    MemoryCopy = fn aot_memory_copy(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: compiled code checked both ranges.
        unsafe { core::ptr::copy(from, to, len) };
    }

    /// `memory.fill`, after the check of bounds.
    MemoryFill = fn aot_memory_fill(to: *mut u8, byte: u32, len: usize) {
        // SAFETY: compiled code checked the range.
        unsafe { core::ptr::write_bytes(to, byte as u8, len) };
    }

    /// `data.drop`.
    DataDrop = fn aot_data_drop(vmctx: *mut VmContext, segment: u32) {
        // SAFETY: compiled code passes its own context.
        unsafe { Instance::of(vmctx) }.data_drop(segment);
    }

    /// `table.grow`.
    TableGrow = fn aot_table_grow(vmctx: *mut VmContext, table: u32, delta: u64, value: *mut ()) -> i64 {
        // SAFETY: compiled code passes its own context; tables outlive the instances that use them.
        let old = unsafe { Instance::of(vmctx).table(table).and_then(|table| (*table).grow(delta, value)) };
        old.map_or(-1, |elements| elements as i64)
    }

    /// `table.fill`.
    TableFill = fn aot_table_fill(vmctx: *mut VmContext, table: u32, start: u64, value: *mut (), len: u64) -> u32 {
        // SAFETY: compiled code passes its own context; tables outlive the instances that use them.
        status(unsafe { Instance::of(vmctx).table(table).and_then(|table| (*table).fill(start, len, value)) })
    }

    /// `table.copy`.
    TableCopy = fn aot_table_copy(
        vmctx: *mut VmContext, dst: u32, src: u32, to: u64, from: u64, len: u64
    ) -> u32 {
        // SAFETY: compiled code passes its own context; tables outlive the instances that use them.
        status(unsafe {
            let instance = Instance::of(vmctx);
            match (instance.table(dst), instance.table(src)) {
                (Some(dst), Some(src)) => Table::copy(dst, src, to, from, len),
                _ => None,
            }
        })
    }

    /// `table.init`.
    TableInit = fn aot_table_init(
        vmctx: *mut VmContext, table: u32, segment: u32, to: u64, from: u32, len: u32
    ) -> u32 {
        // SAFETY: compiled code passes its own context.
        let instance = unsafe { Instance::of(vmctx) };
        status(instance.table_init(table, segment, to, u64::from(from), u64::from(len)))
    }

    /// `elem.drop`.
    ElemDrop = fn aot_elem_drop(vmctx: *mut VmContext, segment: u32) {
        // SAFETY: compiled code passes its own context.
        unsafe { Instance::of(vmctx) }.elem_drop(segment);
    }
}
