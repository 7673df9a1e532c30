//! The order of instantiation, and what every index of every module stands for.

use super::Unit;
use crate::error::{Error, ErrorKind, Result};
use aot_abi::types::{EntityKind, EntityType, FuncType, GlobalType, Import, Limits, MemoryType, TableType};
use std::collections::HashMap;
use std::fmt;

/// What an index of a module stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entity {
    /// An import of the result: its position among those.
    Import(u32),
    /// A definition of a unit: its index there.
    Defined { unit: u32, index: u32 },
}

/// The type of an import or export.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ExternType {
    Func(FuncType),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
}

/// An import that no module provides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unbound {
    pub module: String,
    pub name: String,
    pub ty: ExternType,
    /// Of a function: the memory that it acts on if it acts on that of its caller, as those of WASI do. That is the one
    /// that the importing module exports as `memory`.
    pub memory: Option<Entity>,
}

/// What the indices of one unit stand for, by index space.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pub funcs: Vec<Entity>,
    pub tables: Vec<Entity>,
    pub memories: Vec<Entity>,
    pub globals: Vec<Entity>,
}

/// The units, bound to each other.
#[derive(Debug)]
pub(super) struct Bound {
    /// By unit.
    pub spaces: Vec<Spaces>,
    pub imports: Vec<Unbound>,
}

impl Bound {
    /// The type of what an index of some kind stands for.
    pub fn type_of(&self, units: &[Unit<'_>], kind: EntityKind, entity: Entity) -> ExternType {
        match entity {
            Entity::Import(import) => self.imports[import as usize].ty.clone(),
            Entity::Defined { unit, index } => ExternType::of_index(&units[unit as usize], kind, index),
        }
    }

    /// The least size of a table or memory, in elements or pages; 0 for others.
    pub fn min_size(&self, units: &[Unit<'_>], kind: EntityKind, entity: Entity) -> u64 {
        match self.type_of(units, kind, entity) {
            ExternType::Table(ty) => ty.limits.min,
            ExternType::Memory(ty) => ty.limits.min,
            ExternType::Func(_) | ExternType::Global(_) => 0,
        }
    }
}

impl Spaces {
    pub fn of(&self, kind: EntityKind) -> &[Entity] {
        match kind {
            EntityKind::Func => &self.funcs,
            EntityKind::Table => &self.tables,
            EntityKind::Memory => &self.memories,
            EntityKind::Global => &self.globals,
        }
    }

    fn of_mut(&mut self, kind: EntityKind) -> &mut Vec<Entity> {
        match kind {
            EntityKind::Func => &mut self.funcs,
            EntityKind::Table => &mut self.tables,
            EntityKind::Memory => &mut self.memories,
            EntityKind::Global => &mut self.globals,
        }
    }
}

impl ExternType {
    pub fn kind(&self) -> EntityKind {
        match self {
            ExternType::Func(_) => EntityKind::Func,
            ExternType::Table(_) => EntityKind::Table,
            ExternType::Memory(_) => EntityKind::Memory,
            ExternType::Global(_) => EntityKind::Global,
        }
    }

    /// The type of an import, as the module that has it declares it.
    fn of_import(unit: &Unit<'_>, ty: &EntityType) -> ExternType {
        match *ty {
            EntityType::Func(ty) => ExternType::Func(unit.info.types[ty as usize].clone()),
            EntityType::Table(ty) => ExternType::Table(ty),
            EntityType::Memory(ty) => ExternType::Memory(ty),
            EntityType::Global(ty) => ExternType::Global(ty),
        }
    }

    /// The type of what a module declares.
    fn of_index(unit: &Unit<'_>, kind: EntityKind, index: u32) -> ExternType {
        let (info, at) = (&unit.info, index as usize);
        match kind {
            EntityKind::Func => ExternType::Func(info.func_type(index).clone()),
            EntityKind::Table => ExternType::Table(info.tables[at].ty),
            EntityKind::Memory => ExternType::Memory(info.memories[at]),
            EntityKind::Global => ExternType::Global(info.globals[at].ty),
        }
    }

    /// Whether something of this type can be imported as `wanted` (core specification 3.2.7, with the sizes that are
    /// declared: what code makes of them later is not known here).
    fn satisfies(&self, wanted: &ExternType) -> bool {
        match (self, wanted) {
            (ExternType::Func(found), ExternType::Func(wanted)) => found == wanted,
            (ExternType::Table(found), ExternType::Table(wanted)) => {
                found.element == wanted.element && found.limits.satisfies(found.limits.min, &wanted.limits)
            }
            (ExternType::Memory(found), ExternType::Memory(wanted)) => {
                found.limits.satisfies(found.limits.min, &wanted.limits)
            }
            (ExternType::Global(found), ExternType::Global(wanted)) => found == wanted,
            _ => false,
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = |f: &mut fmt::Formatter<'_>, limits: &Limits| {
            write!(f, " {}", limits.min)?;
            limits.max.map_or(Ok(()), |max| write!(f, " {max}"))
        };
        match self {
            ExternType::Func(ty) => write!(f, "func {}", crate::pipeline::type_text(ty)),
            ExternType::Table(ty) => {
                f.write_str("table")?;
                limits(f, &ty.limits)?;
                write!(f, " {}", ty.element.name())
            }
            ExternType::Memory(ty) => {
                f.write_str("memory")?;
                limits(f, &ty.limits)
            }
            ExternType::Global(ty) => {
                write!(f, "global {}{}", if ty.mutable { "mut " } else { "" }, ty.content.name())
            }
        }
    }
}

/// Positions of units by their names.
fn positions<'u>(units: &[Unit<'u>]) -> HashMap<&'u str, usize> {
    units.iter().enumerate().filter_map(|(at, unit)| Some((unit.name?, at))).collect()
}

/// Puts units in the order of instantiation: each after those that it imports from, otherwise as they come.
pub(super) fn in_order(units: Vec<Unit<'_>>) -> Result<Vec<Unit<'_>>> {
    let named = positions(&units);
    let provider = |import: &Import| named.get(import.module.as_str()).copied();
    let mut order = Vec::new();
    let mut is_done = vec![false; units.len()];
    // The path from a unit to one that it needs, each with its import that is looked at.
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut is_on_path = vec![false; units.len()];
    for root in 0..units.len() {
        if is_done[root] {
            continue;
        }
        path.push((root, 0));
        is_on_path[root] = true;
        while let Some((unit, import)) = path.last_mut() {
            let unit = *unit;
            match units[unit].info.imports.get(*import).map(provider) {
                None => {
                    path.pop();
                    is_on_path[unit] = false;
                    is_done[unit] = true;
                    order.push(unit);
                }
                Some(Some(needed)) if is_on_path[needed] => return Err(cycle(&units, &path, needed)),
                Some(Some(needed)) if !is_done[needed] => {
                    // It is done when this import is looked at again.
                    path.push((needed, 0));
                    is_on_path[needed] = true;
                }
                Some(_) => *import += 1,
            }
        }
    }
    let mut units: Vec<Option<Unit<'_>>> = units.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|unit| units[unit].take()).collect())
}

/// Names the imports that lead from a unit back to it.
fn cycle(units: &[Unit<'_>], path: &[(usize, usize)], to: usize) -> Error {
    const SHOWN: usize = 8;
    let start = path.iter().position(|(unit, _)| *unit == to).unwrap_or(0);
    let mut steps: Vec<String> = path[start..]
        .iter()
        .map(|(unit, import)| {
            let unit = &units[*unit];
            let import = &unit.info.imports[*import];
            format!("`{}` imports `{}` from `{}`", unit.name.unwrap_or(unit.file), import.name, import.module)
        })
        .collect();
    if steps.len() > SHOWN {
        let left_out = steps.len() - SHOWN;
        steps.truncate(SHOWN);
        steps.push(format!("and {left_out} more"));
    }
    Error::new(ErrorKind::Link, format!("modules import from each other: {}", steps.join(", ")))
        .in_file(units[to].file)
        .with_help(
            "one of them has to come first: move what both need into a module of its own, \
             or pass functions through a table",
        )
}

/// Binds what units that are in order import.
///
/// # Errors
/// If a library has no such export, or one of another type.
pub(super) fn bind(units: &[Unit<'_>]) -> Result<Bound> {
    let named = positions(units);
    let mut bound = Bound { spaces: Vec::new(), imports: Vec::new() };
    let mut seen: HashMap<Unbound, u32> = HashMap::new();
    for (at, unit) in units.iter().enumerate() {
        let mut spaces = Spaces::default();
        let mut unbound_funcs = Vec::new();
        for import in &unit.info.imports {
            let wanted = ExternType::of_import(unit, &import.ty);
            let kind = import.ty.kind();
            match named.get(import.module.as_str()) {
                Some(library) => {
                    let entity = provided(units, &bound, *library, unit, import, &wanted)?;
                    spaces.of_mut(kind).push(entity);
                }
                None => {
                    let unbound = Unbound {
                        module: import.module.clone(),
                        name: import.name.clone(),
                        ty: wanted,
                        memory: None,
                    };
                    if kind == EntityKind::Func {
                        // Its memory may be one that is imported later.
                        unbound_funcs.push((spaces.funcs.len(), unbound));
                        spaces.funcs.push(Entity::Import(0));
                    } else {
                        let entity = import_once(&mut bound.imports, &mut seen, unbound);
                        spaces.of_mut(kind).push(entity);
                    }
                }
            }
        }
        let info = &unit.info;
        for (kind, count) in [
            (EntityKind::Func, info.funcs.len()),
            (EntityKind::Table, info.tables.len()),
            (EntityKind::Memory, info.memories.len()),
            (EntityKind::Global, info.globals.len()),
        ] {
            let space = spaces.of_mut(kind);
            let defined = space.len() as u32..count as u32;
            space.extend(defined.map(|index| Entity::Defined { unit: at as u32, index }));
        }
        for (func, unbound) in unbound_funcs {
            let memory = info.caller_memory(func as u32).map(|memory| spaces.memories[memory as usize]);
            spaces.funcs[func] = import_once(&mut bound.imports, &mut seen, Unbound { memory, ..unbound });
        }
        bound.spaces.push(spaces);
    }
    Ok(bound)
}

fn import_once(imports: &mut Vec<Unbound>, seen: &mut HashMap<Unbound, u32>, unbound: Unbound) -> Entity {
    let next = imports.len() as u32;
    Entity::Import(*seen.entry(unbound).or_insert_with_key(|unbound| {
        imports.push(unbound.clone());
        next
    }))
}

/// What a library exports for an import.
fn provided(
    units: &[Unit<'_>],
    bound: &Bound,
    library: usize,
    importer: &Unit<'_>,
    import: &Import,
    wanted: &ExternType,
) -> Result<Entity> {
    let provider = &units[library];
    let refuse = |message: String| Err(Error::new(ErrorKind::Link, message).in_file(importer.file));
    let Some(export) = provider.info.exports.iter().find(|export| export.name == import.name) else {
        let message = format!(
            "import `{}` `{}` is unknown: {} does not export it",
            import.module, import.name, provider.file
        );
        return refuse(message).map_err(|error| error.with_help(exports_text(provider)));
    };
    let entity = bound.spaces[library].of(export.kind)[export.index as usize];
    let found = bound.type_of(units, export.kind, entity);
    if !found.satisfies(wanted) {
        return refuse(format!(
            "import `{}` `{}` has another type: expected {wanted}, but {} exports {found}",
            import.module, import.name, provider.file
        ));
    }
    Ok(entity)
}

fn exports_text(unit: &Unit<'_>) -> String {
    const SHOWN: usize = 8;
    let exports = &unit.info.exports;
    if exports.is_empty() {
        return String::from("it exports nothing");
    }
    let names: Vec<String> = exports.iter().take(SHOWN).map(|export| format!("`{}`", export.name)).collect();
    let more = match exports.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("it exports {}{more}", names.join(", "))
}
