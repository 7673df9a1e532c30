//! The indices that the result has for what units have.

use super::Unit;
use super::bind::{Bound, Entity};
use aot_abi::types::{EntityKind, FuncType};
use std::collections::{BTreeMap, HashMap};

/// The number of a function that is not in the result.
pub(super) const DEAD: u32 = u32::MAX;

/// The indices in the result of what one unit has, by its own indices.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub types: Vec<u32>,
    pub funcs: Vec<u32>,
    pub tables: Vec<u32>,
    pub memories: Vec<u32>,
    pub globals: Vec<u32>,
    /// Of its first segments: the others follow.
    pub first_element: u32,
    pub first_data: u32,
}

/// The types of the result, each once.
#[derive(Default)]
pub(super) struct Types<'a> {
    pub list: Vec<&'a FuncType>,
    indices: HashMap<&'a FuncType, u32>,
}

impl<'a> Types<'a> {
    pub fn index(&mut self, ty: &'a FuncType) -> u32 {
        *self.indices.entry(ty).or_insert_with(|| {
            self.list.push(ty);
            self.list.len() as u32 - 1
        })
    }
}

/// The memories of the result that are not imported, as unit and index there: that of the main module comes first, since
/// it is the one that code reaches fastest.
pub(super) fn memories(units: &[Unit<'_>], bound: &Bound) -> Vec<(usize, usize)> {
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
pub(super) fn number<'a>(
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
    pub fn of(&self, kind: EntityKind) -> &[u32] {
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
