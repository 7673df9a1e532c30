//! Whether a module description makes sense: nothing in it leads out of its lists, or out of the code and data that come
//! with it.
//!
//! The compiler writes only such descriptions. A loader checks, since files are damaged on their way.

use crate::module::{
    ConstOp, DataSegment, Description, ElementItems, ElementSegment, MemoryImage, Module, SegmentMode,
};
use crate::types::{
    EntityKind, EntityType, FuncType, GlobalType, Limits, MemoryType, PAGE_SIZE, TableType, ValType,
};
use crate::vmctx::{Counts, VmOffsets};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

/// Lengths of what comes with a description, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    pub text: u64,
    pub data: u64,
    /// Initial contents of memory 0.
    pub memory: u64,
}

/// Something in a description that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub what: &'static str,
    /// Which one: its position in its list.
    pub index: usize,
    pub reason: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.what, self.index, self.reason)
    }
}

impl core::error::Error for Invalid {}

/// The most parameters, and results, that a function has: the limit of the implementation that validates modules.
const MAX_VALUES: usize = 1000;

/// Bytes that the frame of an entry trampoline cannot exceed: it holds a few words for each parameter and result.
const MAX_FRAME: u32 = 1 << 20;

/// Elements of the largest table, and pages of the largest memory (core specification 3.2.3 and 3.2.4).
const MAX_ELEMENTS: u64 = u32::MAX as u64;
const MAX_PAGES: u64 = 1 << 16;

impl Module {
    /// Checks a module description that comes with `parts`.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn validate(&self, description: &Description<'_>, parts: &Parts) -> Result<(), Invalid> {
        let context = Context::new(self)?;
        context.types()?;
        context.entities()?;
        context.exports()?;
        context.segments(parts)?;
        context.memory_image(parts)?;
        context.code(description, parts)
    }
}

struct Context<'a> {
    module: &'a Module,
    counts: Counts,
    /// Type indices of all functions, imported ones first.
    funcs: Vec<u32>,
    tables: Vec<TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<GlobalType>,
}

impl<'a> Context<'a> {
    fn new(module: &'a Module) -> Result<Self, Invalid> {
        let counts = module.counts();
        // Of a 64-bit machine, whose contexts are the larger ones.
        if VmOffsets::new(8, counts).is_none() {
            return Err(Invalid { what: "module", index: 0, reason: "its state is too large" });
        }
        let (mut funcs, mut tables, mut memories, mut globals) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for import in &module.imports {
            match import.ty {
                EntityType::Func(ty) => funcs.push(ty),
                EntityType::Table(ty) => tables.push(ty),
                EntityType::Memory(ty) => memories.push(ty),
                EntityType::Global(ty) => globals.push(ty),
            }
        }
        funcs.extend(&module.funcs);
        tables.extend(module.tables.iter().map(|table| table.ty));
        memories.extend(&module.memories);
        globals.extend(module.globals.iter().map(|global| global.ty));
        Ok(Context { module, counts, funcs, tables, memories, globals })
    }

    fn func_type(&self, func: u32) -> Option<&'a FuncType> {
        self.module.types.get(*self.funcs.get(func as usize)? as usize)
    }

    fn types(&self) -> Result<(), Invalid> {
        let fits = |ty: &FuncType| ty.params.len() <= MAX_VALUES && ty.results.len() <= MAX_VALUES;
        each("type", &self.module.types, |ty| ensure(fits(ty), "too many parameters or results"))?;
        let types = self.module.types.len();
        each("function", &self.funcs, |ty| ensure((*ty as usize) < types, "there is no such type"))
    }

    /// Tables, memories and globals.
    fn entities(&self) -> Result<(), Invalid> {
        each("table", &self.tables, |ty| {
            ensure(ty.element.is_ref(), "its elements are no references")?;
            check_limits(&ty.limits, MAX_ELEMENTS)
        })?;
        each("memory", &self.memories, |ty| check_limits(&ty.limits, MAX_PAGES))?;
        let all_globals = self.globals.len();
        each("initial value of table", &self.module.tables, |table| {
            self.expr(&table.init, table.ty.element, all_globals)
        })?;
        let mut before = self.counts.imported_globals as usize;
        each("initial value of global", &self.module.globals, |global| {
            self.expr(&global.init, global.ty.content, before)?;
            before += 1;
            Ok(())
        })
    }

    fn exports(&self) -> Result<(), Invalid> {
        let module = self.module;
        let mut last = None;
        each("escaping function", &module.escaped, |func| {
            ensure((*func as usize) < self.funcs.len(), "there is no such function")?;
            ensure(last.replace(*func).is_none_or(|last| last < *func), "it is out of order")
        })?;
        let mut names = BTreeSet::new();
        each("export", &module.exports, |export| {
            ensure(names.insert(export.name.as_str()), "its name is taken")?;
            let exists = match export.kind {
                EntityKind::Func => module.escaped.binary_search(&export.index).is_ok(),
                _ => export.is_valid(&self.counts),
            };
            ensure(exists, "there is no such entity")
        })?;
        each("start function", module.start.as_slice(), |func| {
            let is_plain = |ty: &FuncType| ty.params.is_empty() && ty.results.is_empty();
            ensure(self.func_type(*func).is_some_and(is_plain), "it is not of type [] -> []")
        })
    }

    fn segments(&self, parts: &Parts) -> Result<(), Invalid> {
        each("element segment", &self.module.elements, |ElementSegment { mode, ty, items }| {
            ensure(ty.is_ref(), "its elements are no references")?;
            self.mode(mode, |table| self.tables.get(table).is_some_and(|table| table.element == *ty))?;
            match items {
                ElementItems::Functions(funcs) => {
                    ensure(*ty == ValType::FuncRef, "functions are no elements of its type")?;
                    ensure(funcs.iter().all(|func| self.is_reference(*func)), "there is no such function")
                }
                ElementItems::Expressions(exprs) => {
                    exprs.iter().try_for_each(|expr| self.expr(expr, *ty, self.globals.len()))
                }
            }
        })?;
        each("data segment", &self.module.data, |DataSegment { mode, offset, len }| {
            ensure(*mode != SegmentMode::Declared, "it is of no use")?;
            self.mode(mode, |memory| memory < self.memories.len())?;
            let end = u64::from(*offset) + u64::from(*len);
            ensure(end <= parts.data, "its bytes lie outside of the data")
        })?;
        let memories = &self.module.import_memories;
        each("memory of import", memories, |memory| {
            let exists = memory.is_none_or(|memory| (memory as usize) < self.memories.len());
            ensure(exists, "there is no such memory")?;
            ensure(memories.len() == self.counts.imported_funcs as usize, "not every import has one")
        })
    }

    fn mode(&self, mode: &SegmentMode, is_target: impl Fn(usize) -> bool) -> Result<(), &'static str> {
        match mode {
            SegmentMode::Passive | SegmentMode::Declared => Ok(()),
            SegmentMode::Active { target, offset } => {
                ensure(is_target(*target as usize), "there is nothing to copy it to")?;
                self.expr(offset, ValType::I32, self.globals.len())
            }
        }
    }

    /// Whether there is a reference to a function.
    fn is_reference(&self, func: u32) -> bool {
        self.module.escaped.binary_search(&func).is_ok()
    }

    /// Checks a constant expression that leaves a value of a type. It can use so many globals.
    fn expr(&self, expr: &[ConstOp], ty: ValType, globals: usize) -> Result<(), &'static str> {
        // Null is of every type of references.
        let mut stack: Vec<Option<ValType>> = Vec::new();
        for op in expr {
            let (operand, result) = match op {
                ConstOp::I32Const(_) => (None, Some(ValType::I32)),
                ConstOp::I64Const(_) => (None, Some(ValType::I64)),
                ConstOp::F32Const(_) => (None, Some(ValType::F32)),
                ConstOp::F64Const(_) => (None, Some(ValType::F64)),
                ConstOp::V128Const(_) => (None, Some(ValType::V128)),
                ConstOp::RefNull => (None, None),
                ConstOp::RefFunc(func) => {
                    ensure(self.is_reference(*func), "it refers to a function that is not there")?;
                    (None, Some(ValType::FuncRef))
                }
                ConstOp::GlobalGet(index) => {
                    let global = self.globals[..globals.min(self.globals.len())].get(*index as usize);
                    let global = global.filter(|global| !global.mutable);
                    (None, Some(global.ok_or("it refers to a global that is not there")?.content))
                }
                ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => {
                    (Some(ValType::I32), Some(ValType::I32))
                }
                ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => {
                    (Some(ValType::I64), Some(ValType::I64))
                }
            };
            if let Some(operand) = operand {
                let operands = [stack.pop(), stack.pop()];
                ensure(operands == [Some(Some(operand)); 2], "an operand of it has another type")?;
            }
            stack.push(result);
        }
        let leaves = match stack[..] {
            [None] => ty.is_ref(),
            [Some(left)] => left == ty,
            _ => false,
        };
        ensure(leaves, "it does not leave one value of its type")
    }

    fn memory_image(&self, parts: &Parts) -> Result<(), Invalid> {
        let failed = |reason| Invalid { what: "image of memory", index: 0, reason };
        let Some(MemoryImage { offset, len }) = self.module.memory_image else {
            return ensure(parts.memory == 0, "the description has none").map_err(failed);
        };
        let is_whole = offset.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE) && len > 0;
        ensure(is_whole, "it does not consist of pages").map_err(failed)?;
        ensure(len == parts.memory, "its bytes are not as many").map_err(failed)?;
        let memory = self.module.memories.first().filter(|_| self.counts.imported_memories == 0);
        let size = memory.map_or(0, |memory| memory.limits.min * PAGE_SIZE);
        let fits = offset.checked_add(len).is_some_and(|end| end <= size);
        ensure(fits, "it is larger than the memory").map_err(failed)
    }

    fn code(&self, description: &Description<'_>, parts: &Parts) -> Result<(), Invalid> {
        let module = self.module;
        let range_count = description.range_count();
        let mut end = 0;
        for range in 0..range_count {
            let failed = |reason| Invalid { what: "code range", index: range as usize, reason };
            let (offset, len) = description.code_range(range);
            ensure(u64::from(offset) >= end, "it is out of order").map_err(failed)?;
            end = u64::from(offset) + u64::from(len);
            ensure(end <= parts.text, "it lies outside of the code").map_err(failed)?;
            ensure(description.has_tables(range), "its traps or its name are missing").map_err(failed)?;
        }
        let defined = module.funcs.len();
        let enough = defined <= range_count as usize;
        ensure(enough, "functions without code").map_err(|reason| Invalid {
            what: "code range",
            index: range_count as usize,
            reason,
        })?;
        let has_code = |func: &u32| match func.checked_sub(self.counts.imported_funcs) {
            Some(defined) => description.code_range(defined).1 > 0,
            None => true,
        };
        each("escaping function", &module.escaped, |func| ensure(has_code(func), "it has no code"))?;
        each("start function", module.start.as_slice(), |func| ensure(has_code(func), "it has no code"))?;
        // Where a trampoline starts: never in the midst of one, nor at a function.
        let trampoline = |code_offset| {
            let range = description.locate(code_offset)?.range;
            let (start, len) = description.code_range(range);
            (start == code_offset && range as usize >= defined).then_some((start, len))
        };
        let check_entry = |code_offset: u32, pad_offset: u32, frame_size: u32| {
            let (start, len) = trampoline(code_offset).ok_or("it is not where a trampoline starts")?;
            let pad = pad_offset.checked_sub(start).is_some_and(|pad| pad < len);
            ensure(pad, "its landing pad lies outside of it")?;
            ensure(frame_size <= MAX_FRAME, "its frame is too large")
        };
        let mut last = None;
        each("entry trampoline", &module.entries, |entry| {
            self.trampoline_type(entry.type_index, &mut last)?;
            check_entry(entry.code_offset, entry.pad_offset, entry.frame_size)
        })?;
        last = None;
        each("typed entry trampoline", &module.typed_entries, |entry| {
            ensure(entry.func >= self.counts.imported_funcs, "its function is imported")?;
            let ty = self.func_type(entry.func).ok_or("there is no such function")?;
            ensure(last.replace(entry.func).is_none_or(|last| last < entry.func), "it is out of order")?;
            ensure(ty.is_c(), "C has no such type")?;
            check_entry(entry.code_offset, entry.pad_offset, entry.frame_size)
        })?;
        last = None;
        each("host trampoline", &module.host_trampolines, |host| {
            self.trampoline_type(host.type_index, &mut last)?;
            trampoline(host.code_offset).map(|_| ()).ok_or("it is not where a trampoline starts")
        })?;
        let shims = module.import_shims.len();
        let all = shims == 0 || shims == self.counts.imported_funcs as usize;
        ensure(all, "not one for each import").map_err(|reason| Invalid {
            what: "import shim",
            index: shims,
            reason,
        })?;
        each("import shim", &module.import_shims, |shim| {
            trampoline(*shim).map(|_| ()).ok_or("it is not where a function starts")
        })?;
        self.trampolines_exist()
    }

    fn trampoline_type(&self, ty: u32, last: &mut Option<u32>) -> Result<(), &'static str> {
        ensure((ty as usize) < self.module.types.len(), "there is no such type")?;
        ensure(last.replace(ty).is_none_or(|last| last < ty), "it is out of order")
    }

    /// Every function that the host can call or be called by has a trampoline of its type.
    fn trampolines_exist(&self) -> Result<(), Invalid> {
        let module = self.module;
        let types = |indices: &mut dyn Iterator<Item = u32>| -> BTreeSet<(&[ValType], &[ValType])> {
            indices
                .filter_map(|ty| module.types.get(ty as usize))
                .map(|ty| (&ty.params[..], &ty.results[..]))
                .collect()
        };
        let has = |set: &BTreeSet<(&[ValType], &[ValType])>, func: u32| {
            self.func_type(func).is_some_and(|ty| set.contains(&(&ty.params[..], &ty.results[..])))
        };
        let entries = types(&mut module.entries.iter().map(|entry| entry.type_index));
        let has_entry = |func: &u32| ensure(has(&entries, *func), "its type has no entry trampoline");
        each("escaping function", &module.escaped, has_entry)?;
        each("start function", module.start.as_slice(), has_entry)?;
        if !module.import_shims.is_empty() {
            return Ok(());
        }
        let hosts = types(&mut module.host_trampolines.iter().map(|host| host.type_index));
        let imported: Vec<u32> = (0..self.counts.imported_funcs).collect();
        each("imported function", &imported, |func| {
            ensure(has(&hosts, *func), "its type has no host trampoline")
        })
    }
}

fn check_limits(limits: &Limits, most: u64) -> Result<(), &'static str> {
    ensure(limits.min <= limits.max.unwrap_or(limits.min), "its minimum is larger than its maximum")?;
    ensure(limits.min.max(limits.max.unwrap_or(0)) <= most, "it is too large")
}

fn ensure(holds: bool, reason: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(reason) }
}

/// Checks each item of a list.
fn each<'i, T>(
    what: &'static str,
    items: &'i [T],
    mut check: impl FnMut(&'i T) -> Result<(), &'static str>,
) -> Result<(), Invalid> {
    for (index, item) in items.iter().enumerate() {
        check(item).map_err(|reason| Invalid { what, index, reason })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
