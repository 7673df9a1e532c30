//! What machine code refers to by name, and how CLIF numbers it.

use aot_abi::libcall::Libcall;
use cranelift_codegen::ir::{LibCall, UserExternalName};

/// Something that a relocation points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Symbol {
    /// A function of the module, by function index; an imported one stands for its shim.
    Function(u32),
    /// A function of the runtime library.
    Libcall(Libcall),
    /// The runtime's function that an imported function is bound to, by function index.
    Import(u32),
    /// The trampoline through which C's calls of an exported function go if there is something to do, by function index.
    Export(u32),
    /// The runtime's function that C's calls of a library go through if there is something to do, and the one that
    /// makes traps of faults (`aot_abi::call::library`).
    Enter,
    Trapped,
    /// The first byte of the module's memory, in the static model.
    Memory,
    /// The fixed contents of a table, by table index (`plan::FixedTable`).
    Table(u32),
    /// The profile of an executable that counts how often its code runs (`profile::Layout`).
    Counters,
    /// Code of ours for an operation that the target has no instruction for.
    Helper(LibCall),
}

const FUNCTION: u32 = 0;
const LIBCALL: u32 = 1;
const IMPORT: u32 = 2;
const MEMORY: u32 = 3;
const TABLE: u32 = 4;
const ENTER: u32 = 5;
const TRAPPED: u32 = 6;
const EXPORT: u32 = 7;
const COUNTERS: u32 = 8;

impl Symbol {
    /// The number under which CLIF knows the symbol. Helpers have none: Cranelift refers to them itself.
    pub fn external_name(self) -> Option<UserExternalName> {
        let (namespace, index) = match self {
            Symbol::Function(func) => (FUNCTION, func),
            Symbol::Libcall(libcall) => (LIBCALL, libcall as u32),
            Symbol::Import(func) => (IMPORT, func),
            Symbol::Export(func) => (EXPORT, func),
            Symbol::Enter => (ENTER, 0),
            Symbol::Trapped => (TRAPPED, 0),
            Symbol::Memory => (MEMORY, 0),
            Symbol::Table(table) => (TABLE, table),
            Symbol::Counters => (COUNTERS, 0),
            Symbol::Helper(_) => return None,
        };
        Some(UserExternalName { namespace, index })
    }

    /// The symbol of a number made by `external_name`.
    pub fn from_external_name(name: &UserExternalName) -> Option<Symbol> {
        Some(match name.namespace {
            FUNCTION => Symbol::Function(name.index),
            LIBCALL => Symbol::Libcall(*Libcall::ALL.get(name.index as usize)?),
            IMPORT => Symbol::Import(name.index),
            EXPORT => Symbol::Export(name.index),
            ENTER => Symbol::Enter,
            TRAPPED => Symbol::Trapped,
            MEMORY => Symbol::Memory,
            TABLE => Symbol::Table(name.index),
            COUNTERS => Symbol::Counters,
            _ => return None,
        })
    }
}
