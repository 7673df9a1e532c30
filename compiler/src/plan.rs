//! Stage 2: facts about the whole module that the translation of each function uses.

use crate::error::{Error, ErrorKind, Result};
use crate::module::ModuleInfo;
use crate::target::Target;
use aot_abi::vmctx::{Counts, VmOffsets};

/// What translation needs to know beyond the module's declarations.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the instance's state lives in the VM context.
    pub offsets: VmOffsets,
}

/// Makes the plan for a module.
pub(crate) fn plan(info: &ModuleInfo<'_>, target: &Target) -> Result<Plan> {
    let counts = Counts {
        imported_memories: info.imported_memories,
        imported_tables: info.imported_tables,
        imported_globals: info.imported_globals,
        imported_funcs: info.imported_funcs,
        memories: info.memories.len() as u32 - info.imported_memories,
        tables: info.tables.len() as u32 - info.imported_tables,
        globals: info.globals.len() as u32 - info.imported_globals,
        funcrefs: info.escaped.len() as u32,
    };
    let offsets = VmOffsets::new(target.pointer_size(), counts).ok_or_else(|| {
        Error::new(ErrorKind::Limit, "the module's declarations need more than 2 GiB of state")
    })?;
    Ok(Plan { offsets })
}
