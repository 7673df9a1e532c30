//! Stage 2: facts about the whole module that the translation of each function uses.

use crate::config::{Config, Imports, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{Body, ModuleInfo};
use crate::scan::Scan;
use aot_abi::memory::static_context;
use aot_abi::module::{ConstExpr, ConstOp, ElementItems, SegmentMode};
use aot_abi::types::ValType;
use aot_abi::vmctx::{Counts, VmOffsets};

/// What translation needs to know beyond the module's declarations.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the instance's state lives in the VM context.
    pub offsets: VmOffsets,
    /// The model of this module.
    pub model: Model,
    /// By table index. All `None` in the instance model.
    pub fixed_tables: Vec<Option<FixedTable>>,
    /// Whether code uses references to functions as values. Known in the static model only, else assumed.
    pub uses_references: bool,
}

/// The contents of a table of functions that nothing changes once it is initialised: data of the executable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FixedTable {
    /// The function of each element, or null.
    pub elements: Vec<Option<u32>>,
}

/// Elements of the largest table that becomes data.
const MAX_FIXED_ELEMENTS: u64 = 1 << 20;

/// Bytes of function bodies, and of data segments, up to which an executable ends below the memory of the static
/// model: machine code has up to four times the size of its body. The linker's result is checked.
const MAX_STATIC_BODIES: u64 = 24 << 20;

/// Makes the plan for a module. `scans` are those of the bodies, and only looked at for the static model.
pub(crate) fn plan(
    info: &ModuleInfo<'_>,
    bodies: &[Body<'_>],
    scans: &[Scan],
    config: &Config,
) -> Result<Plan> {
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
    let offsets = VmOffsets::new(config.target.pointer_size(), counts).ok_or_else(|| {
        Error::new(ErrorKind::Limit, "the module's declarations need more than 2 GiB of state")
    })?;
    let code: u64 = bodies.iter().map(|body| body.body.range().end - body.body.range().start).sum();
    let data: u64 = info.data.iter().map(|segment| segment.bytes.len() as u64).sum();
    let fits = matches!(config.imports, Imports::AtBuild { .. })
        && static_context(offsets.size()).is_some()
        && code <= MAX_STATIC_BODIES
        && data <= MAX_STATIC_BODIES;
    let model = if fits { config.model } else { Model::Instance };
    let (fixed_tables, uses_references) = match model {
        Model::Static => (
            fixed_tables(info, scans),
            scans.iter().any(|scan| scan.uses_references || scan.changed_tables.is_none()),
        ),
        Model::Instance => (info.tables.iter().map(|_| None).collect(), true),
    };
    Ok(Plan { offsets, model, fixed_tables, uses_references })
}

/// Finds the tables whose contents are known.
fn fixed_tables(info: &ModuleInfo<'_>, scans: &[Scan]) -> Vec<Option<FixedTable>> {
    let is_changed = |table: &u32| {
        scans.iter().any(|scan| scan.changed_tables.as_ref().is_none_or(|changed| changed.contains(table)))
    };
    let fixed = |table: u32| initial_contents(info, table).filter(|_| !is_changed(&table));
    (0..info.tables.len() as u32).map(fixed).collect()
}

/// The elements of a table after instantiation; `None` if they are not known, or instantiation traps.
fn initial_contents(info: &ModuleInfo<'_>, table: u32) -> Option<FixedTable> {
    let declared = &info.tables[table as usize];
    let initial = function(declared.init.as_ref()?)?;
    // A bad index is clamped to element 0, so there has to be one.
    if declared.ty.element != ValType::FuncRef || !(1..=MAX_FIXED_ELEMENTS).contains(&declared.ty.limits.min)
    {
        return None;
    }
    let mut elements = vec![initial; declared.ty.limits.min as usize];
    for segment in &info.elements {
        let SegmentMode::Active { target, offset } = &segment.mode else { continue };
        if *target != table {
            continue;
        }
        let [ConstOp::I32Const(offset)] = offset[..] else { return None };
        let place = elements.get_mut(offset as u32 as usize..)?;
        match &segment.items {
            ElementItems::Functions(items) => {
                let items = items.iter().map(|func| Some(*func));
                place.get_mut(..items.len())?.iter_mut().zip(items).for_each(|(to, from)| *to = from);
            }
            ElementItems::Expressions(items) => {
                for (to, from) in place.get_mut(..items.len())?.iter_mut().zip(items) {
                    *to = function(from)?;
                }
            }
        }
    }
    Some(FixedTable { elements })
}

/// The function that a constant expression refers to, or null; `None` if only instantiation can tell.
fn function(expr: &ConstExpr) -> Option<Option<u32>> {
    match expr[..] {
        [ConstOp::RefNull] => Some(None),
        [ConstOp::RefFunc(func)] => Some(Some(func)),
        _ => None,
    }
}
