//! What an object of the static model has beyond one of the instance model: addresses, and tables as data.

use super::text::Text;
use crate::codegen::symbol::Symbol;
use crate::error::{Error, Result};
use crate::module::ModuleInfo;
use crate::plan::{FixedTable, Plan};
use crate::translate::state::NULL_TYPE;
use aot_abi::memory::{STATIC_MEMORY, static_context};

/// Data of the static model.
pub(crate) struct Fixed {
    /// Address of the VM context.
    pub context: u64,
    /// Address of the first memory.
    pub memory: u64,
    /// The tables that are data, by table index.
    pub tables: Vec<(u32, Vec<TableEntry>)>,
}

/// An entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    /// Offset in the text section; nothing for null.
    pub code: Option<u32>,
    /// The canonical index of the type, or `NULL_TYPE`.
    pub type_index: u32,
}

/// Looks up what the plan fixed.
pub(crate) fn describe(info: &ModuleInfo<'_>, plan: &Plan, text: &Text) -> Result<Fixed> {
    let context = static_context(plan.offsets.size())
        .ok_or_else(|| Error::internal("the VM context does not fit below the memory"))?;
    let entry = |element: &Option<u32>| match element {
        None => Ok(TableEntry { code: None, type_index: NULL_TYPE }),
        Some(func) => {
            let code = text.symbols.get(&Symbol::Function(*func)).copied();
            let code = code.ok_or_else(|| Error::internal(format!("function {func} has no code")))?;
            let type_index = info.canonical_types[info.funcs[*func as usize] as usize];
            Ok(TableEntry { code: Some(code), type_index })
        }
    };
    let mut tables = Vec::new();
    for (index, table) in plan.fixed_tables.iter().enumerate() {
        if let Some(FixedTable { elements }) = table {
            tables.push((index as u32, elements.iter().map(entry).collect::<Result<_>>()?));
        }
    }
    Ok(Fixed { context, memory: STATIC_MEMORY, tables })
}
