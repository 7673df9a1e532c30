//! How the result is initialised: as the units would be, one after the other.
//!
//! A unit copies its active segments, then runs its start function, then (a library) `_initialize`. A module copies all of
//! its segments first. So a segment stays active only if nothing can tell; the others become passive, and a start
//! function copies them in their turn:
//!
//! - A segment that fits for certain stays active if only segments of that kind, and no start function, come before it.
//! - A unit's own memory or table is out of reach for all that happens before the unit is there: a segment for it that
//!   fits for certain stays active as well, unless an earlier segment of the unit for the same one does not.
//! - Of the last unit, all segments stay active if all before them do, and nobody outside can see what the others copied:
//!   what traps then is last in either order.

use super::Unit;
use super::bind::{Bound, Entity};
use super::expr::Exprs;
use super::number::Numbers;
use crate::error::Result;
use aot_abi::module::{ConstExpr, ConstOp, ElementItems, SegmentMode};
use aot_abi::types::{EntityKind, FuncType, PAGE_SIZE};
use std::collections::HashSet;

/// A step of the start function. Segments are numbered as in the result, and dropped once they are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    InitTable { segment: u32, table: u32, offset: ConstExpr, len: u32 },
    InitMemory { segment: u32, memory: u32, offset: ConstExpr, len: u32 },
    Call(u32),
}

/// What becomes of the segments and start functions of all units.
#[derive(Debug, Default)]
pub(super) struct Initialisation {
    /// By unit and segment.
    pub elements: Vec<Vec<SegmentMode>>,
    pub data: Vec<Vec<SegmentMode>>,
    /// What comes after the active segments.
    pub steps: Vec<Step>,
}

/// Where an active segment goes.
struct Copy {
    target: Entity,
    offset: ConstExpr,
    len: u64,
    /// Elements, or bytes, that the target has at least.
    room: u64,
}

impl Copy {
    /// Whether it cannot trap: tables and memories never shrink.
    fn fits(&self) -> bool {
        let [ConstOp::I32Const(offset)] = self.offset[..] else { return false };
        u64::from(offset as u32) + self.len <= self.room
    }
}

/// Plans the initialisation of units that are in order.
///
/// # Errors
/// If a constant expression becomes too long.
pub(super) fn plan(
    units: &[Unit<'_>],
    bound: &Bound,
    numbers: &[Numbers],
    exprs: &Exprs<'_>,
) -> Result<Initialisation> {
    let mut result = Initialisation::default();
    let (mut element, mut datum) = (0, 0);
    for (at, unit) in units.iter().enumerate() {
        // A module copies its data after its elements: what another unit copies to an imported memory must not be missing
        // when an element of this one traps.
        let is_outside = |entity: &Entity| matches!(entity, Entity::Import(_));
        let is_last = at + 1 == units.len()
            && !bound.spaces[..at].iter().any(|spaces| spaces.memories.iter().any(is_outside));
        // Memories and tables of the unit that a segment is copied to later.
        let mut late = HashSet::new();
        let mut stays = |copy: &Copy, kind: EntityKind, steps: &[Step]| {
            let first = steps.is_empty() && (is_last || copy.fits());
            let own = matches!(copy.target, Entity::Defined { unit, .. } if unit as usize == at);
            let stays = first || own && copy.fits() && !late.contains(&(kind, copy.target));
            if !stays {
                late.insert((kind, copy.target));
            }
            stays
        };
        let mut modes = Vec::new();
        for segment in &unit.info.elements {
            modes.push(match &segment.mode {
                SegmentMode::Active { target, offset } => {
                    let len = match &segment.items {
                        ElementItems::Functions(items) => items.len(),
                        ElementItems::Expressions(items) => items.len(),
                    };
                    let entity = bound.spaces[at].tables[*target as usize];
                    let copy = Copy {
                        target: entity,
                        offset: exprs.resolve(at, offset)?,
                        len: len as u64,
                        room: bound.min_size(units, EntityKind::Table, entity),
                    };
                    let table = numbers[at].tables[*target as usize];
                    if stays(&copy, EntityKind::Table, &result.steps) {
                        SegmentMode::Active { target: table, offset: copy.offset }
                    } else {
                        let (offset, len) = (copy.offset, len as u32);
                        result.steps.push(Step::InitTable { segment: element, table, offset, len });
                        SegmentMode::Passive
                    }
                }
                mode => mode.clone(),
            });
            element += 1;
        }
        result.elements.push(modes);
        let mut modes = Vec::new();
        for segment in &unit.info.data {
            modes.push(match &segment.mode {
                SegmentMode::Active { target, offset } => {
                    let entity = bound.spaces[at].memories[*target as usize];
                    let copy = Copy {
                        target: entity,
                        offset: exprs.resolve(at, offset)?,
                        len: segment.bytes.len() as u64,
                        room: bound.min_size(units, EntityKind::Memory, entity) * PAGE_SIZE,
                    };
                    let memory = numbers[at].memories[*target as usize];
                    if stays(&copy, EntityKind::Memory, &result.steps) {
                        SegmentMode::Active { target: memory, offset: copy.offset }
                    } else {
                        let (offset, len) = (copy.offset, segment.bytes.len() as u32);
                        result.steps.push(Step::InitMemory { segment: datum, memory, offset, len });
                        SegmentMode::Passive
                    }
                }
                mode => mode.clone(),
            });
            datum += 1;
        }
        result.data.push(modes);
        let calls = unit.info.start.into_iter().chain(initialize(unit));
        result.steps.extend(calls.map(|func| Step::Call(numbers[at].funcs[func as usize])));
    }
    Ok(result)
}

/// The function by which a library for WASI wants to be initialised, once, before anything else of it is called. That of
/// the main module is left to whoever runs the result.
pub(super) fn initialize(unit: &Unit<'_>) -> Option<u32> {
    unit.name?;
    let mut exports = unit.info.exports.iter();
    let export = exports.find(|export| export.name == "_initialize" && export.kind == EntityKind::Func)?;
    (*unit.info.func_type(export.index) == FuncType::default()).then_some(export.index)
}
