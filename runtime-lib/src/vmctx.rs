//! The VM context and the records in it, as Rust types. The layout is that of `aot_abi::vmctx`.

use aot_abi::vmctx::VmOffsets;
use core::ptr::NonNull;

/// The state of an instance that compiled code sees. Its size depends on the module.
#[repr(C)]
pub struct VmContext {
    _opaque: [u8; 0],
}

/// Where a memory is: what compiled code reads.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MemoryDef {
    pub base: *mut u8,
    /// Bytes.
    pub len: usize,
}

/// Where a table is: what compiled code reads.
#[repr(C)]
#[derive(Debug)]
pub struct TableDef {
    pub base: *mut *mut (),
    /// Elements.
    pub len: usize,
}

/// A function that can be called through a reference.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FuncRef {
    /// Code with the calling convention of wasm.
    pub code: *const u8,
    /// Its first argument: a VM context, or the context of a host function.
    pub vmctx: *mut VmContext,
    /// The entry trampoline of the function's type.
    pub entry: *const u8,
    pub type_id: u32,
}

/// An imported function.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FuncImport {
    pub code: *const u8,
    pub vmctx: *mut VmContext,
}

/// The cell of a global.
pub type GlobalCell = [u8; aot_abi::vmctx::GLOBAL_SIZE as usize];

/// A VM context together with its layout.
#[derive(Clone, Copy)]
pub struct Vm<'m> {
    ptr: NonNull<VmContext>,
    offsets: &'m VmOffsets,
}

impl<'m> Vm<'m> {
    /// # Safety
    /// `ptr` points to a context with this layout, valid for reads and writes while the value is used.
    pub unsafe fn new(ptr: NonNull<VmContext>, offsets: &'m VmOffsets) -> Self {
        Vm { ptr, offsets }
    }

    pub fn ptr(self) -> *mut VmContext {
        self.ptr.as_ptr()
    }

    fn field<T>(self, offset: u32) -> *mut T {
        // SAFETY: every offset of `VmOffsets` lies inside the context, which `new`'s caller vouches for.
        unsafe { self.ptr.as_ptr().cast::<u8>().add(offset as usize).cast() }
    }

    pub fn instance_data(self) -> *mut *mut () {
        self.field(self.offsets.instance_data())
    }

    pub fn stack_limit(self) -> *mut *const usize {
        self.field(self.offsets.stack_limit())
    }

    pub fn libcalls(self) -> *mut *const *const () {
        self.field(self.offsets.libcalls())
    }

    pub fn type_ids(self) -> *mut *const u32 {
        self.field(self.offsets.type_ids())
    }

    pub fn caller_memory(self) -> *mut u32 {
        self.field(self.offsets.caller_memory())
    }

    pub fn imported_memory(self, index: u32) -> *mut *mut MemoryDef {
        self.field(self.offsets.imported_memory(index))
    }

    pub fn imported_table(self, index: u32) -> *mut *mut TableDef {
        self.field(self.offsets.imported_table(index))
    }

    pub fn imported_global(self, index: u32) -> *mut *mut GlobalCell {
        self.field(self.offsets.imported_global(index))
    }

    pub fn imported_func(self, index: u32) -> *mut FuncImport {
        self.field(self.offsets.imported_func(index))
    }

    pub fn memory(self, index: u32) -> *mut MemoryDef {
        self.field(self.offsets.memory(index))
    }

    pub fn table(self, index: u32) -> *mut TableDef {
        self.field(self.offsets.table(index))
    }

    pub fn funcref(self, slot: u32) -> *mut FuncRef {
        self.field(self.offsets.funcref(slot))
    }

    pub fn global(self, index: u32) -> *mut GlobalCell {
        self.field(self.offsets.global(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aot_abi::vmctx::Counts;
    use core::mem::{offset_of, size_of};

    #[test]
    fn records_have_the_layout_that_compiled_code_expects() {
        let counts = Counts { memories: 2, tables: 2, funcrefs: 2, imported_funcs: 2, ..Counts::default() };
        let o = VmOffsets::new(size_of::<usize>() as u32, counts).unwrap();
        assert_eq!(offset_of!(MemoryDef, len) as u32, o.def_len());
        assert_eq!(offset_of!(TableDef, len) as u32, o.def_len());
        assert_eq!(size_of::<MemoryDef>() as u32, o.memory(1) - o.memory(0));
        assert_eq!(size_of::<TableDef>() as u32, o.table(1) - o.table(0));
        assert_eq!(size_of::<FuncRef>() as u32, o.funcref(1) - o.funcref(0));
        assert_eq!(size_of::<FuncImport>() as u32, o.imported_func(1) - o.imported_func(0));
        assert_eq!(offset_of!(FuncRef, vmctx) as u32, o.funcref_vmctx());
        assert_eq!(offset_of!(FuncRef, entry) as u32, o.funcref_entry());
        assert_eq!(offset_of!(FuncRef, type_id) as u32, o.funcref_type_id());
    }
}
