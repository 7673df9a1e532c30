//! The one list of libcalls: functions of the runtime library that compiled code calls.
//!
//! A libcall that can trap returns a status, and the compiled code raises the trap: so the faulting PC is always
//! that of wasm code, and no unwinder has to walk through the runtime.

/// A parameter or result of a libcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibcallType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// A pointer or a size of the target's width.
    Pointer,
}

macro_rules! libcalls {
    ($($(#[$doc:meta])* $variant:ident = $symbol:literal ($($param:ident),*) $(-> $result:ident)?;)*) => {
        /// A function of the runtime library that compiled code calls, with the platform's C calling convention.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Libcall {
            $($(#[$doc])* $variant,)*
        }

        impl Libcall {
            /// Every libcall, in the order of the table that the VM context points to.
            pub const ALL: &'static [Libcall] = &[$(Libcall::$variant),*];

            /// The symbol of the function in the static runtime library.
            pub fn symbol(self) -> &'static str {
                match self {
                    $(Libcall::$variant => $symbol,)*
                }
            }

            /// Parameter types.
            pub fn params(self) -> &'static [LibcallType] {
                match self {
                    $(Libcall::$variant => &[$(LibcallType::$param),*],)*
                }
            }

            /// Result type, if there is a result.
            pub fn result(self) -> Option<LibcallType> {
                match self {
                    $(Libcall::$variant => libcalls!(@result $($result)?),)*
                }
            }
        }
    };
    (@result) => { None };
    (@result $result:ident) => { Some(LibcallType::$result) };
}

libcalls! {
    /// (vmctx, memory index, pages) → previous size in pages, or -1.
    MemoryGrow = "aot_memory_grow" (Pointer, I32, I64) -> I64;
    /// (vmctx, memory index, data segment, destination, source, length) → 0, or 1 for out of bounds.
    MemoryInit = "aot_memory_init" (Pointer, I32, I32, I64, I32, I32) -> I32;
    /// (destination, source, length in bytes); the ranges are in bounds and may overlap.
    MemoryCopy = "aot_memory_copy" (Pointer, Pointer, Pointer);
    /// (destination, byte, length in bytes); the range is in bounds.
    MemoryFill = "aot_memory_fill" (Pointer, I32, Pointer);
    /// (vmctx, data segment).
    DataDrop = "aot_data_drop" (Pointer, I32);
    /// (vmctx, table index, elements, initial value) → previous size in elements, or -1.
    TableGrow = "aot_table_grow" (Pointer, I32, I64, Pointer) -> I64;
    /// (vmctx, table index, destination, value, length) → 0, or 1 for out of bounds.
    TableFill = "aot_table_fill" (Pointer, I32, I64, Pointer, I64) -> I32;
    /// (vmctx, destination table, source table, destination, source, length) → 0, or 1 for out of bounds.
    TableCopy = "aot_table_copy" (Pointer, I32, I32, I64, I64, I64) -> I32;
    /// (vmctx, table index, element segment, destination, source, length) → 0, or 1 for out of bounds.
    TableInit = "aot_table_init" (Pointer, I32, I32, I64, I32, I32) -> I32;
    /// (vmctx, element segment).
    ElemDrop = "aot_elem_drop" (Pointer, I32);
}

#[cfg(test)]
mod tests {
    use super::Libcall;

    #[test]
    fn the_list_is_in_table_order() {
        for (index, libcall) in Libcall::ALL.iter().enumerate() {
            assert_eq!(*libcall as usize, index);
            assert!(libcall.symbol().starts_with("aot_"));
        }
    }
}
