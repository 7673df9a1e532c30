//! Stage 1: wasm bytes → [`ModuleInfo`] and the function bodies, still to be validated one by one.
//!
//! Declarations are validated here; bodies are validated while they are translated, in parallel.

mod const_expr;
mod link_section;
mod names;
mod parse;

pub(crate) use link_section::{LinkSection, SourceOffsets};
pub(crate) use parse::{parse, val_type};

use crate::debug;
use aot_abi::module::{ConstExpr, ElementSegment, SegmentMode};
use aot_abi::types::{EntityKind, Export, FuncType, GlobalType, Import, MemoryType, TableType};

/// A table: its type, and the initial value of its elements if it is defined here.
#[derive(Debug)]
pub(crate) struct TableInfo {
    pub ty: TableType,
    pub init: Option<ConstExpr>,
}

/// A global: its type, and its initial value if it is defined here.
#[derive(Debug)]
pub(crate) struct GlobalInfo {
    pub ty: GlobalType,
    pub init: Option<ConstExpr>,
}

/// A data segment with its bytes.
#[derive(Debug)]
pub(crate) struct DataInfo<'a> {
    pub mode: SegmentMode,
    pub bytes: &'a [u8],
}

/// What a module declares. Index spaces hold imports first.
#[derive(Debug, Default)]
pub(crate) struct ModuleInfo<'a> {
    pub types: Vec<FuncType>,
    /// For each type the first type that equals it.
    pub canonical_types: Vec<u32>,
    pub imports: Vec<Import>,
    /// Type index of each function.
    pub funcs: Vec<u32>,
    pub tables: Vec<TableInfo>,
    pub memories: Vec<MemoryType>,
    pub globals: Vec<GlobalInfo>,
    pub imported_funcs: u32,
    pub imported_tables: u32,
    pub imported_memories: u32,
    pub imported_globals: u32,
    pub exports: Vec<Export>,
    pub start: Option<u32>,
    pub elements: Vec<ElementSegment>,
    pub data: Vec<DataInfo<'a>>,
    /// Functions that can be reached as a value or from outside: they have a `FuncRef`. Ascending.
    pub escaped: Vec<u32>,
    /// What is known of a module that others were linked to.
    pub link: LinkSection,
    /// Function names, from the `name` section or else from exports, by function index.
    pub func_names: Vec<Option<&'a str>>,
    /// The name of the module, from the `name` section.
    pub name: Option<&'a str>,
    pub debug: debug::Input<'a>,
}

/// A function body.
pub(crate) struct Body<'a> {
    pub func: u32,
    pub body: wasmparser::FunctionBody<'a>,
    pub validator: wasmparser::FuncToValidate<wasmparser::ValidatorResources>,
}

impl Clone for Body<'_> {
    fn clone(&self) -> Self {
        let wasmparser::FuncToValidate { resources, index, ty, features } = &self.validator;
        let (resources, index, ty, features) = (resources.clone(), *index, *ty, *features);
        let validator = wasmparser::FuncToValidate { resources, index, ty, features };
        Body { func: self.func, body: self.body.clone(), validator }
    }
}

impl<'a> ModuleInfo<'a> {
    /// The type of a function.
    pub fn func_type(&self, func: u32) -> &FuncType {
        &self.types[self.funcs[func as usize] as usize]
    }

    /// The name of a function.
    pub fn func_name(&self, func: u32) -> Option<&'a str> {
        self.func_names.get(func as usize).copied().flatten()
    }

    /// The name of a function for people and symbol tables: a number, if it has none.
    pub fn display_name(&self, func: u32) -> String {
        match self.func_name(func) {
            Some(name) if !name.is_empty() => name.replace('\0', "?"),
            _ => format!("wasm-function[{func}]"),
        }
    }

    /// The offset of an instruction in the file that its function came from, given that in this module: another one if
    /// modules were linked.
    pub fn source_offset(&self, offset: u32) -> u32 {
        if self.link.offsets.is_empty() {
            return offset;
        }
        let bodies = &self.debug.bodies;
        let next = bodies.partition_point(|body| body.start <= u64::from(offset));
        let source = next.checked_sub(1).and_then(|defined| {
            let distance = u64::from(offset) - bodies[defined].start;
            self.link.offsets.get(defined)?.find(distance)
        });
        source.and_then(|source| u32::try_from(source).ok()).unwrap_or(offset)
    }

    /// The memory that is exported as `memory`.
    pub fn main_memory(&self) -> Option<u32> {
        let mut exports = self.exports.iter();
        let export = exports.find(|export| export.name == "memory" && export.kind == EntityKind::Memory)?;
        Some(export.index)
    }

    /// The memory that an imported function acts on, if it acts on that of its caller.
    pub fn caller_memory(&self, func: u32) -> Option<u32> {
        match &self.link.import_memories {
            Some(memories) => memories.get(func as usize).copied().flatten(),
            None => self.main_memory(),
        }
    }

    /// Position of a function among those that escape.
    pub fn escaped_slot(&self, func: u32) -> Option<u32> {
        self.escaped.binary_search(&func).ok().map(|slot| slot as u32)
    }
}
