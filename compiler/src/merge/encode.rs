//! The result in the binary format, with all indices renumbered.

use super::Unit;
use super::bind::{Bound, Entity, ExternType};
use super::expr::Exprs;
use super::start::{self, Initialisation, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{LinkSection, SourceOffsets};
use aot_abi::module::{ConstOp, ElementItems, SegmentMode};
use aot_abi::types::{EntityKind, FuncType, GlobalType, MemoryType, TableType, ValType};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wasm_encoder as out;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{FunctionBody, Operator};

/// Offsets in a module have 32 bits.
const MAX_LEN: usize = u32::MAX as usize;

/// Longer names are refused by readers of modules.
const MAX_NAME: usize = 100_000;

/// The number of a function that is not in the result.
const DEAD: u32 = u32::MAX;

/// The indices in the result of what one unit has, by its own indices.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub types: Vec<u32>,
    pub funcs: Vec<u32>,
    pub tables: Vec<u32>,
    pub memories: Vec<u32>,
    pub globals: Vec<u32>,
    /// Of its first segments: the others follow.
    first_element: u32,
    first_data: u32,
}

/// The types of the result, each once.
#[derive(Default)]
struct Types<'a> {
    list: Vec<&'a FuncType>,
    indices: HashMap<&'a FuncType, u32>,
}

impl<'a> Types<'a> {
    fn index(&mut self, ty: &'a FuncType) -> u32 {
        *self.indices.entry(ty).or_insert_with(|| {
            self.list.push(ty);
            self.list.len() as u32 - 1
        })
    }
}

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
    let link = LinkSection { import_memories: import_memories(units, bound, &numbers), offsets };
    module.section(&link.encode());
    let wasm = module.finish();
    if wasm.len() > MAX_LEN {
        return Err(Error::new(ErrorKind::Limit, "the linked modules are larger than 4 GiB together"));
    }
    Ok(wasm)
}

/// The memories of the result that are not imported, as unit and index there: that of the main module comes first, since
/// it is the one that code reaches fastest.
fn memories(units: &[Unit<'_>], bound: &Bound) -> Vec<(usize, usize)> {
    let main = bound.spaces.last().and_then(|spaces| spaces.memories.first());
    let main = match main {
        Some(Entity::Defined { unit, index }) => Some((*unit as usize, *index as usize)),
        _ => None,
    };
    let all = units.iter().enumerate().flat_map(|(at, unit)| {
        (unit.info.imported_memories as usize..unit.info.memories.len()).map(move |index| (at, index))
    });
    main.into_iter().chain(all.filter(|memory| Some(*memory) != main)).collect()
}

/// Numbers everything: what is imported first, then what units define, one after the other. Functions that are not live
/// get no number.
fn number<'a>(
    units: &'a [Unit<'_>],
    bound: &'a Bound,
    live: &[Vec<bool>],
    types: &mut Types<'a>,
) -> Vec<Numbers> {
    let mut next_of = BTreeMap::new();
    let imports: Vec<u32> = bound
        .imports
        .iter()
        .map(|import| {
            let next = next_of.entry(import.ty.kind() as u8).or_insert(0);
            *next += 1;
            *next - 1
        })
        .collect();
    let mut numbers: Vec<Numbers> = Vec::new();
    let (mut first_element, mut first_data) = (0, 0);
    for unit in units {
        let types = unit.info.types.iter().map(|ty| types.index(ty)).collect();
        numbers.push(Numbers { types, first_element, first_data, ..Numbers::default() });
        first_element += unit.info.elements.len() as u32;
        first_data += unit.info.data.len() as u32;
    }
    for kind in [EntityKind::Func, EntityKind::Table, EntityKind::Memory, EntityKind::Global] {
        let mut next = next_of.get(&(kind as u8)).copied().unwrap_or(0);
        let mut defined: Vec<Vec<u32>> =
            bound.spaces.iter().map(|spaces| vec![DEAD; spaces.of(kind).len()]).collect();
        let mut define = |unit: usize, index: usize| {
            defined[unit][index] = next;
            next += 1;
        };
        if kind == EntityKind::Memory {
            memories(units, bound).into_iter().for_each(|(unit, index)| define(unit, index));
        } else {
            for (at, spaces) in bound.spaces.iter().enumerate() {
                for (index, entity) in spaces.of(kind).iter().enumerate() {
                    let is_live = kind != EntityKind::Func || live[at][index];
                    if is_live && *entity == (Entity::Defined { unit: at as u32, index: index as u32 }) {
                        define(at, index);
                    }
                }
            }
        }
        for (spaces, numbers) in bound.spaces.iter().zip(&mut numbers) {
            let of_entity = |entity: &Entity| match *entity {
                Entity::Import(import) => imports[import as usize],
                Entity::Defined { unit, index } => defined[unit as usize][index as usize],
            };
            *numbers.of_mut(kind) = spaces.of(kind).iter().map(of_entity).collect();
        }
    }
    numbers
}

impl Numbers {
    fn of(&self, kind: EntityKind) -> &[u32] {
        match kind {
            EntityKind::Func => &self.funcs,
            EntityKind::Table => &self.tables,
            EntityKind::Memory => &self.memories,
            EntityKind::Global => &self.globals,
        }
    }

    fn of_mut(&mut self, kind: EntityKind) -> &mut Vec<u32> {
        match kind {
            EntityKind::Func => &mut self.funcs,
            EntityKind::Table => &mut self.tables,
            EntityKind::Memory => &mut self.memories,
            EntityKind::Global => &mut self.globals,
        }
    }
}

/// A body in the index spaces of the result.
struct Body {
    /// Locals and instructions, without their length.
    bytes: Vec<u8>,
    /// Functions that it takes references to: the result has to declare them.
    referenced: BTreeSet<u32>,
    offsets: SourceOffsets,
}

fn reencode_bodies(unit: &Unit<'_>, numbers: &Numbers, live: &[bool]) -> Result<Vec<Body>> {
    let imported = unit.info.imported_funcs;
    let bodies: Vec<Result<Body>> = unit
        .bodies
        .par_iter()
        .enumerate()
        .map(|(index, body)| (imported + index as u32, body))
        .filter(|(func, _)| live[*func as usize])
        .map(|(func, body)| {
            let body = reencode_body(body, numbers);
            body.map_err(|error| error.in_function(func, unit.info.func_name(func)).in_file(unit.file))
        })
        .collect();
    bodies.into_iter().collect()
}

fn reencode_body(body: &FunctionBody<'_>, numbers: &Numbers) -> Result<Body> {
    let internal = |error: reencode::Error<Missing>| Error::internal(format!("cannot renumber: {error}"));
    let mut renumber = Renumber { numbers, referenced: BTreeSet::new() };
    let mut function = renumber.new_function_with_parsed_locals(body).map_err(internal)?;
    let mut offsets = SourceOffsets::default();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        offsets.add(function.byte_len() as u64, reader.original_position());
        let operator = reader.read()?;
        function.instruction(&renumber.instruction(operator).map_err(internal)?);
    }
    Ok(Body { bytes: function.into_raw_body(), referenced: renumber.referenced, offsets })
}

/// An index that the validator has accepted, and that stands for nothing.
#[derive(Debug)]
struct Missing(u32);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is nothing with index {}", self.0)
    }
}

impl std::error::Error for Missing {}

struct Renumber<'n> {
    numbers: &'n Numbers,
    referenced: BTreeSet<u32>,
}

type Renumbered<T> = std::result::Result<T, reencode::Error<Missing>>;

fn find(numbers: &[u32], index: u32) -> Renumbered<u32> {
    let number = numbers.get(index as usize).copied().filter(|number| *number != DEAD);
    number.ok_or(reencode::Error::UserError(Missing(index)))
}

impl Reencode for Renumber<'_> {
    type Error = Missing;

    fn type_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.types, index)
    }

    fn function_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.funcs, index)
    }

    fn table_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.tables, index)
    }

    fn memory_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.memories, index)
    }

    fn global_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.globals, index)
    }

    fn element_index(&mut self, index: u32) -> Renumbered<u32> {
        Ok(self.numbers.first_element + index)
    }

    fn data_index(&mut self, index: u32) -> Renumbered<u32> {
        Ok(self.numbers.first_data + index)
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Renumbered<out::Instruction<'a>> {
        if let Operator::RefFunc { function_index } = operator {
            let func = self.function_index(function_index)?;
            self.referenced.insert(func);
        }
        reencode::utils::instruction(self, operator)
    }
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

fn val_type(ty: ValType) -> out::ValType {
    match ty {
        ValType::I32 => out::ValType::I32,
        ValType::I64 => out::ValType::I64,
        ValType::F32 => out::ValType::F32,
        ValType::F64 => out::ValType::F64,
        ValType::V128 => out::ValType::V128,
        ValType::FuncRef | ValType::ExternRef => out::ValType::Ref(ref_type(ty)),
    }
}

fn ref_type(ty: ValType) -> out::RefType {
    if ty == ValType::ExternRef { out::RefType::EXTERNREF } else { out::RefType::FUNCREF }
}

fn table_type(ty: &TableType) -> out::TableType {
    out::TableType {
        element_type: ref_type(ty.element),
        table64: false,
        minimum: ty.limits.min,
        maximum: ty.limits.max,
        shared: false,
    }
}

fn memory_type(ty: &MemoryType) -> out::MemoryType {
    out::MemoryType {
        minimum: ty.limits.min,
        maximum: ty.limits.max,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

fn global_type(ty: &GlobalType) -> out::GlobalType {
    out::GlobalType { val_type: val_type(ty.content), mutable: ty.mutable, shared: false }
}

fn const_expr(expr: &[ConstOp], ty: ValType) -> out::ConstExpr {
    out::ConstExpr::raw(instructions(expr, ty))
}

/// The instructions of an expression that gives a value of a type.
fn instructions(expr: &[ConstOp], ty: ValType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = out::InstructionSink::new(&mut bytes);
    for op in expr {
        match *op {
            ConstOp::I32Const(value) => sink.i32_const(value),
            ConstOp::I64Const(value) => sink.i64_const(value),
            ConstOp::F32Const(bits) => sink.f32_const(out::Ieee32::new(bits)),
            ConstOp::F64Const(bits) => sink.f64_const(out::Ieee64::new(bits)),
            ConstOp::V128Const(bytes) => sink.v128_const(i128::from_le_bytes(bytes)),
            ConstOp::GlobalGet(global) => sink.global_get(global),
            ConstOp::RefNull => sink.ref_null(ref_type(ty).heap_type),
            ConstOp::RefFunc(func) => sink.ref_func(func),
            ConstOp::I32Add => sink.i32_add(),
            ConstOp::I32Sub => sink.i32_sub(),
            ConstOp::I32Mul => sink.i32_mul(),
            ConstOp::I64Add => sink.i64_add(),
            ConstOp::I64Sub => sink.i64_sub(),
            ConstOp::I64Mul => sink.i64_mul(),
        };
    }
    bytes
}
