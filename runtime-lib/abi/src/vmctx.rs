//! Layout of the VM context: the state of one instance that compiled code reaches through its first parameter.
//!
//! ```text
//! offset (p = pointer size)
//! 0       *mut ()             the runtime's own instance data
//! p       *const StackLimit   stack limit of the thread that runs the instance (one pointer)
//! 2p      *const *const ()    table of libcalls, indexed by `Libcall`
//! 3p      *const u32          canonical type ids, indexed by the module's type index
//! 4p      u32 + padding       the memory that imported functions act on, where they are bound at build time
//! 5p      [*mut MemoryDef]    imported memories
//!         [*mut TableDef]     imported tables
//!         [*mut GlobalCell]   imported globals
//!         [FuncImport]        imported functions: code, vmctx
//!         [MemoryDef]         defined memories: base, length in bytes
//!         [TableDef]          defined tables: base, length in elements
//!         [FuncRef]           functions that escape: code, vmctx, entry trampoline, type id (u32) + padding
//!         [GlobalCell]        defined globals, 16 bytes each, 16-byte aligned
//! ```

/// Size in bytes of the cell of a global: the largest value type, `v128`.
pub const GLOBAL_SIZE: u32 = 16;

/// What stands in front of the arrays, in pointers.
const HEADER_POINTERS: u32 = 5;

/// In place of the index of a memory: none.
pub const NO_MEMORY: u32 = u32::MAX;

/// How many of each thing a module has. Imports and definitions are counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub imported_memories: u32,
    pub imported_tables: u32,
    pub imported_globals: u32,
    pub imported_funcs: u32,
    pub memories: u32,
    pub tables: u32,
    pub globals: u32,
    pub funcrefs: u32,
}

/// Offsets into the VM context of one module for one pointer size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmOffsets {
    pointer: u32,
    counts: Counts,
    imported_memories: u32,
    imported_tables: u32,
    imported_globals: u32,
    imported_funcs: u32,
    memories: u32,
    tables: u32,
    funcrefs: u32,
    globals: u32,
    size: u32,
}

impl VmOffsets {
    /// The layout for a pointer size of 4 or 8 bytes; `None` if the context would pass 2 GiB.
    pub fn new(pointer: u32, counts: Counts) -> Option<VmOffsets> {
        let mut next = HEADER_POINTERS * pointer;
        let mut array = |count: u32, size: u32| {
            let start = next;
            next = count.checked_mul(size)?.checked_add(next).filter(|end| *end < 1 << 31)?;
            Some(start)
        };
        let imported_memories = array(counts.imported_memories, pointer)?;
        let imported_tables = array(counts.imported_tables, pointer)?;
        let imported_globals = array(counts.imported_globals, pointer)?;
        let imported_funcs = array(counts.imported_funcs, 2 * pointer)?;
        let memories = array(counts.memories, 2 * pointer)?;
        let tables = array(counts.tables, 2 * pointer)?;
        // With some room, so that one more function in a table does not move everything.
        let step = (counts.funcrefs / 16).checked_next_power_of_two()?;
        let funcrefs = array(counts.funcrefs.checked_next_multiple_of(step)?, 4 * pointer)?;
        let end = array(0, 0)?;
        let padding = end.next_multiple_of(GLOBAL_SIZE) - end;
        array(padding, 1)?;
        let globals = array(counts.globals, GLOBAL_SIZE)?;
        let size = array(0, 0)?;
        Some(VmOffsets {
            pointer,
            counts,
            imported_memories,
            imported_tables,
            imported_globals,
            imported_funcs,
            memories,
            tables,
            funcrefs,
            globals,
            size,
        })
    }

    /// The part of all layouts that does not depend on what a module has. No arrays are in it.
    pub const fn header(pointer: u32) -> VmOffsets {
        let counts = Counts {
            imported_memories: 0,
            imported_tables: 0,
            imported_globals: 0,
            imported_funcs: 0,
            memories: 0,
            tables: 0,
            globals: 0,
            funcrefs: 0,
        };
        let size = HEADER_POINTERS * pointer;
        VmOffsets {
            pointer,
            counts,
            imported_memories: size,
            imported_tables: size,
            imported_globals: size,
            imported_funcs: size,
            memories: size,
            tables: size,
            funcrefs: size,
            globals: size,
            size,
        }
    }

    /// The counts that the layout was made from.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where the arrays start, in the order of the layout.
    pub fn layout(&self) -> [u32; 8] {
        [
            self.imported_memories,
            self.imported_tables,
            self.imported_globals,
            self.imported_funcs,
            self.memories,
            self.tables,
            self.funcrefs,
            self.globals,
        ]
    }

    /// Size of the whole context in bytes; its alignment is 16.
    pub fn size(&self) -> u32 {
        self.size
    }

    pub fn instance_data(&self) -> u32 {
        0
    }

    pub fn stack_limit(&self) -> u32 {
        self.pointer
    }

    pub fn libcalls(&self) -> u32 {
        2 * self.pointer
    }

    pub fn type_ids(&self) -> u32 {
        3 * self.pointer
    }

    /// Index of the memory that imported functions act on (`u32`), or [`NO_MEMORY`].
    pub fn caller_memory(&self) -> u32 {
        4 * self.pointer
    }

    /// Pointer to the definition of an imported memory. `index` counts imported memories.
    pub fn imported_memory(&self, index: u32) -> u32 {
        assert!(index < self.counts.imported_memories);
        self.imported_memories + index * self.pointer
    }

    /// Pointer to the definition of an imported table. `index` counts imported tables.
    pub fn imported_table(&self, index: u32) -> u32 {
        assert!(index < self.counts.imported_tables);
        self.imported_tables + index * self.pointer
    }

    /// Pointer to the cell of an imported global. `index` counts imported globals.
    pub fn imported_global(&self, index: u32) -> u32 {
        assert!(index < self.counts.imported_globals);
        self.imported_globals + index * self.pointer
    }

    /// Code pointer of an imported function; its context pointer follows.
    pub fn imported_func(&self, index: u32) -> u32 {
        assert!(index < self.counts.imported_funcs);
        self.imported_funcs + index * 2 * self.pointer
    }

    /// Base pointer of a defined memory; its length in bytes follows. `index` counts defined memories.
    pub fn memory(&self, index: u32) -> u32 {
        assert!(index < self.counts.memories);
        self.memories + index * 2 * self.pointer
    }

    /// Base pointer of a defined table; its length in elements follows. `index` counts defined tables.
    pub fn table(&self, index: u32) -> u32 {
        assert!(index < self.counts.tables);
        self.tables + index * 2 * self.pointer
    }

    /// A function reference. `slot` counts the functions that escape.
    pub fn funcref(&self, slot: u32) -> u32 {
        assert!(slot < self.counts.funcrefs);
        self.funcrefs + slot * 4 * self.pointer
    }

    /// Cell of a defined global. `index` counts defined globals.
    pub fn global(&self, index: u32) -> u32 {
        assert!(index < self.counts.globals);
        self.globals + index * GLOBAL_SIZE
    }

    /// Within a memory or table definition: the length, in bytes or elements.
    pub fn def_len(&self) -> u32 {
        self.pointer
    }

    /// Within a function reference: the context pointer.
    pub fn funcref_vmctx(&self) -> u32 {
        self.pointer
    }

    /// Within a function reference: the entry trampoline.
    pub fn funcref_entry(&self) -> u32 {
        2 * self.pointer
    }

    /// Within a function reference: the canonical type id.
    pub fn funcref_type_id(&self) -> u32 {
        3 * self.pointer
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, VmOffsets};

    #[test]
    fn arrays_do_not_overlap() {
        let counts = Counts {
            imported_memories: 1,
            imported_tables: 2,
            imported_globals: 3,
            imported_funcs: 4,
            memories: 1,
            tables: 1,
            globals: 2,
            funcrefs: 3,
        };
        for p in [4, 8] {
            let o = VmOffsets::new(p, counts).unwrap();
            assert_eq!(o.caller_memory(), 4 * p);
            assert_eq!(o.imported_memory(0), 5 * p);
            assert_eq!(o.imported_table(0), 6 * p);
            assert_eq!(o.imported_global(0), 8 * p);
            assert_eq!(o.imported_func(0), 11 * p);
            assert_eq!(o.memory(0), 19 * p);
            assert_eq!(o.table(0), 21 * p);
            assert_eq!(o.funcref(0), 23 * p);
            assert!(o.global(0) >= o.funcref(2) + 4 * p && o.global(0).is_multiple_of(16));
            assert_eq!(o.layout()[6..], [o.funcref(0), o.global(0)]);
            assert_eq!(o.size(), o.global(1) + 16);
        }
    }

    #[test]
    fn one_more_escaping_function_moves_nothing() {
        let globals = |funcrefs| {
            VmOffsets::new(8, Counts { funcrefs, globals: 1, ..Counts::default() }).unwrap().global(0)
        };
        assert_eq!(globals(1000), globals(1001));
        assert!(globals(2000) > globals(1000));
    }

    #[test]
    fn absurd_counts_are_refused() {
        assert_eq!(VmOffsets::new(8, Counts { globals: u32::MAX, ..Counts::default() }), None);
    }
}
