//! The result in the binary format, with all indices renumbered.

use super::Unit;
use super::bind::{Bound, Entity, ExternType};
use super::body::reencode_bodies;
use super::expr::Exprs;
use super::number::{DEAD, Numbers, Types, memories, number};
use super::start::{self, Initialisation, Step};
use super::types::{const_expr, global_type, instructions, memory_type, ref_type, table_type, val_type};
use crate::debug::{Linked, LinkedFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{LinkSection, SourceOffsets};
use aot_abi::module::{ConstOp, ElementItems, SegmentMode};
use aot_abi::types::{EntityKind, FuncType, ValType};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wasm_encoder as out;

/// Offsets in a module have 32 bits.
const MAX_LEN: usize = u32::MAX as usize;

/// Longer names are refused by readers of modules.
const MAX_NAME: usize = 100_000;

/// Writes the module that units become, which are in order and bound, with the functions that are `live`.
///
/// # Errors
/// If a constant expression, or the result, becomes too large.
pub(super) fn encode(units: &[Unit<'_>], bound: &Bound, live: &[Vec<bool>]) -> Result<Vec<u8>> {
    let mut types = Types::default();
    let numbers = number(units, bound, live, &mut types);
    let exprs = Exprs::new(units, bound, &numbers)?;
    let initialisation = start::plan(units, bound, &numbers, &exprs)?;
    let plain = FuncType::default();
    let plain_type = types.index(&plain);
    let start = start_function(&initialisation.steps);

    let mut bodies = Vec::new();
    let mut referenced = BTreeSet::new();
    let mut offsets = Vec::new();
    for ((unit, numbers), live) in units.iter().zip(&numbers).zip(live) {
        for body in reencode_bodies(unit, numbers, live)? {
            referenced.extend(body.referenced);
            bodies.push(body.bytes);
            offsets.push(body.offsets);
        }
    }

    let mut module = out::Module::new();
    let mut section = out::TypeSection::new();
    let mut imports = out::ImportSection::new();
    for import in &bound.imports {
        let ty = match &import.ty {
            ExternType::Func(ty) => out::EntityType::Function(types.index(ty)),
            ExternType::Table(ty) => table_type(ty).into(),
            ExternType::Memory(ty) => memory_type(ty).into(),
            ExternType::Global(ty) => global_type(ty).into(),
        };
        imports.import(&import.module, &import.name, ty);
    }
    for ty in &types.list {
        section
            .ty()
            .function(ty.params.iter().map(|ty| val_type(*ty)), ty.results.iter().map(|ty| val_type(*ty)));
    }
    module.section(&section).section(&imports);

    let mut section = out::FunctionSection::new();
    for ((unit, numbers), live) in units.iter().zip(&numbers).zip(live) {
        for (ty, _) in unit.info.funcs.iter().zip(live).filter(|(_, live)| **live) {
            section.function(numbers.types[*ty as usize]);
        }
    }
    let mut start_index = None;
    match start {
        Start::None => {}
        Start::Function(func) => start_index = Some(func),
        Start::Body(body) => {
            let imported = bound.imports.iter().filter(|import| matches!(import.ty, ExternType::Func(_)));
            start_index = Some(imported.count() as u32 + bodies.len() as u32);
            section.function(plain_type);
            bodies.push(body);
        }
    }
    module.section(&section);

    let mut section = out::TableSection::new();
    for (at, unit) in units.iter().enumerate() {
        for table in &unit.info.tables[unit.info.imported_tables as usize..] {
            match table.init.as_deref() {
                None | Some([ConstOp::RefNull]) => section.table(table_type(&table.ty)),
                Some(init) => {
                    let init = const_expr(&exprs.resolve(at, init)?, table.ty.element);
                    section.table_with_init(table_type(&table.ty), &init)
                }
            };
        }
    }
    if !section.is_empty() {
        module.section(&section);
    }

    let mut section = out::MemorySection::new();
    for (unit, index) in memories(units, bound) {
        section.memory(memory_type(&units[unit].info.memories[index]));
    }
    if !section.is_empty() {
        module.section(&section);
    }

    let mut section = out::GlobalSection::new();
    for (at, unit) in units.iter().enumerate() {
        for (index, global) in unit.info.globals.iter().enumerate().skip(unit.info.imported_globals as usize)
        {
            let init = exprs.global(at, index as u32);
            section.global(global_type(&global.ty), &const_expr(init, global.ty.content));
        }
    }
    if !section.is_empty() {
        module.section(&section);
    }
    module.section(&exports(units, &numbers)?);
    if let Some(function_index) = start_index {
        module.section(&out::StartSection { function_index });
    }
    let section = elements(units, &numbers, &exprs, &initialisation, &referenced)?;
    if !section.is_empty() {
        module.section(&section);
    }

    let data = data(units, &initialisation);
    if !data.is_empty() {
        module.section(&out::DataCountSection { count: data.len() });
    }
    let mut section = out::CodeSection::new();
    for body in &bodies {
        section.raw(body);
    }
    module.section(&section).section(&data).section(&names(units, bound, &numbers, start_index));
    for linked in debug_information(units, bound, &numbers, live, &offsets) {
        module.section(&linked.encode());
    }
    let link = LinkSection { import_memories: import_memories(units, bound, &numbers), offsets };
    module.section(&link.encode());
    let wasm = module.finish();
    if wasm.len() > MAX_LEN {
        return Err(Error::new(ErrorKind::Limit, "the linked modules are larger than 4 GiB together"));
    }
    Ok(wasm)
}

enum Start {
    None,
    /// A function that there is.
    Function(u32),
    /// Locals and instructions of one that is added.
    Body(Vec<u8>),
}

fn start_function(steps: &[Step]) -> Start {
    match steps {
        [] => return Start::None,
        [Step::Call(func)] => return Start::Function(*func),
        _ => {}
    }
    let mut function = out::Function::new([]);
    for step in steps {
        match step {
            Step::Call(func) => {
                function.instructions().call(*func);
            }
            Step::InitTable { segment, table, offset, len } => {
                function.raw(instructions(offset, ValType::I32));
                function
                    .instructions()
                    .i32_const(0)
                    .i32_const(len.cast_signed())
                    .table_init(*table, *segment)
                    .elem_drop(*segment);
            }
            Step::InitMemory { segment, memory, offset, len } => {
                function.raw(instructions(offset, ValType::I32));
                function
                    .instructions()
                    .i32_const(0)
                    .i32_const(len.cast_signed())
                    .memory_init(*memory, *segment)
                    .data_drop(*segment);
            }
        }
    }
    function.instructions().end();
    Start::Body(function.into_raw_body())
}

fn exports(units: &[Unit<'_>], numbers: &[Numbers]) -> Result<out::ExportSection> {
    let mut section = out::ExportSection::new();
    let mut taken = BTreeSet::new();
    // Those of the main module first.
    for (unit, numbers) in units.iter().zip(numbers).rev() {
        for export in &unit.info.exports {
            let name = match unit.name {
                None => Cow::Borrowed(export.name.as_str()),
                Some(name) if unit.reexport => Cow::Owned(format!("{name}.{}", export.name)),
                Some(_) => continue,
            };
            let kind = match export.kind {
                EntityKind::Func => out::ExportKind::Func,
                EntityKind::Table => out::ExportKind::Table,
                EntityKind::Memory => out::ExportKind::Memory,
                EntityKind::Global => out::ExportKind::Global,
            };
            section.export(&name, kind, numbers.of(export.kind)[export.index as usize]);
            if name.len() > MAX_NAME || !taken.insert(name.clone()) {
                let message = format!("the export `{}` cannot be called `{name}` in the result", export.name);
                return Err(Error::new(ErrorKind::Link, message)
                    .in_file(unit.file)
                    .with_help("the name is taken or too long: give the module another one"));
            }
        }
    }
    Ok(section)
}

fn elements(
    units: &[Unit<'_>],
    numbers: &[Numbers],
    exprs: &Exprs<'_>,
    initialisation: &Initialisation,
    referenced: &BTreeSet<u32>,
) -> Result<out::ElementSection> {
    let mut section = out::ElementSection::new();
    for (at, unit) in units.iter().enumerate() {
        for (segment, mode) in unit.info.elements.iter().zip(&initialisation.elements[at]) {
            let items = match &segment.items {
                ElementItems::Functions(items) => {
                    let items = items.iter().map(|func| numbers[at].funcs[*func as usize]);
                    out::Elements::Functions(items.collect())
                }
                ElementItems::Expressions(items) => {
                    let item = |item: &Vec<ConstOp>| Ok(const_expr(&exprs.resolve(at, item)?, segment.ty));
                    let items = items.iter().map(item).collect::<Result<Vec<_>>>()?;
                    out::Elements::Expressions(ref_type(segment.ty), items.into())
                }
            };
            match mode {
                SegmentMode::Passive => section.passive(items),
                SegmentMode::Declared => section.declared(items),
                SegmentMode::Active { target, offset } => {
                    let offset = const_expr(offset, ValType::I32);
                    // The short form is one of tables of functions.
                    let table = (*target != 0 || segment.ty != ValType::FuncRef).then_some(*target);
                    section.active(table, &offset, items)
                }
            };
        }
    }
    if !referenced.is_empty() {
        section.declared(out::Elements::Functions(referenced.iter().copied().collect()));
    }
    Ok(section)
}

fn data(units: &[Unit<'_>], initialisation: &Initialisation) -> out::DataSection {
    let mut section = out::DataSection::new();
    for (unit, modes) in units.iter().zip(&initialisation.data) {
        for (segment, mode) in unit.info.data.iter().zip(modes) {
            let bytes = segment.bytes.iter().copied();
            match mode {
                SegmentMode::Active { target, offset } => {
                    section.active(*target, &const_expr(offset, ValType::I32), bytes)
                }
                SegmentMode::Passive | SegmentMode::Declared => section.passive(bytes),
            };
        }
    }
    section
}

/// The debug information of the units that have some.
fn debug_information<'u>(
    units: &'u [Unit<'u>],
    bound: &Bound,
    numbers: &[Numbers],
    live: &[Vec<bool>],
    offsets: &[SourceOffsets],
) -> Vec<Linked<'u>> {
    let imported = bound.imports.iter().filter(|import| matches!(import.ty, ExternType::Func(_)));
    let imported = imported.count() as u32;
    let mut found = Vec::new();
    for ((unit, numbers), live) in units.iter().zip(numbers).zip(live) {
        let sections: Vec<_> = unit.info.debug.dwarf_sections().collect();
        if sections.is_empty() && unit.info.debug.linked.is_empty() {
            continue;
        }
        let first = unit.info.imported_funcs as usize;
        let functions = unit.info.debug.bodies.iter().zip(&numbers.funcs[first..]).zip(&live[first..]);
        let functions = (0..).zip(functions).filter(|(_, (_, is_live))| **is_live);
        let functions = functions.map(|(index, ((body, number), _))| {
            let func = number - imported;
            (index, LinkedFunction::new(func, body.clone(), &offsets[func as usize]))
        });
        if !sections.is_empty() {
            found.push(Linked {
                sections,
                code_start: unit.info.debug.code_start,
                memory: numbers.memories.first().copied(),
                globals: numbers.globals.clone(),
                functions: functions.map(|(_, function)| function).collect(),
            });
            continue;
        }
        // The modules that it was linked from.
        let mut functions = functions.collect();
        let again = |linked: &Linked<'u>| linked.again(&numbers.memories, &numbers.globals, &mut functions);
        found.extend(unit.info.debug.linked.iter().map(again));
    }
    found
}

/// Names of all functions: those of libraries after the library, those without a name after their index in their module.
fn names(units: &[Unit<'_>], bound: &Bound, numbers: &[Numbers], start: Option<u32>) -> out::NameSection {
    let mut names: BTreeMap<u32, Cow<'_, str>> = BTreeMap::new();
    for (at, unit) in units.iter().enumerate() {
        for (index, entity) in bound.spaces[at].funcs.iter().enumerate() {
            let number = numbers[at].funcs[index];
            let name = unit.info.func_name(index as u32);
            match (entity, name) {
                (Entity::Import(_), Some(name)) => {
                    names.entry(number).or_insert(Cow::Borrowed(name));
                }
                (Entity::Defined { unit: definer, .. }, _) if *definer as usize == at && number != DEAD => {
                    let name = name.map_or_else(|| format!("wasm-function[{index}]").into(), Cow::Borrowed);
                    let name = match unit.name {
                        Some(library) => Cow::Owned(format!("{library}.{name}")),
                        None => name,
                    };
                    names.insert(number, name);
                }
                _ => {}
            }
        }
    }
    if let Some(start) = start {
        names.entry(start).or_insert(Cow::Borrowed("start of linked modules"));
    }
    let mut map = out::NameMap::new();
    for (index, name) in names.iter().filter(|(_, name)| name.len() <= MAX_NAME) {
        map.append(*index, name);
    }
    let mut section = out::NameSection::new();
    section.functions(&map);
    section
}

/// The memories of imported functions, unless it is the one that the result exports as `memory` for all of them.
fn import_memories(units: &[Unit<'_>], bound: &Bound, numbers: &[Numbers]) -> Option<Vec<Option<u32>>> {
    let memory_of: HashMap<Entity, u32> = bound
        .spaces
        .iter()
        .zip(numbers)
        .flat_map(|(spaces, numbers)| spaces.memories.iter().copied().zip(numbers.memories.iter().copied()))
        .collect();
    let number = |memory: Option<Entity>| memory.and_then(|memory| memory_of.get(&memory).copied());
    let main = units.last().and_then(|unit| unit.info.main_memory());
    let main = main.zip(numbers.last()).map(|(memory, numbers)| numbers.memories[memory as usize]);
    let funcs = bound.imports.iter().filter(|import| matches!(import.ty, ExternType::Func(_)));
    let memories: Vec<Option<u32>> = funcs.map(|import| number(import.memory)).collect();
    memories.iter().any(|memory| *memory != main).then_some(memories)
}
