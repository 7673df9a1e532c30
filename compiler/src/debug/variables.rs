//! Variables of functions that this compiler has inlined: the entries of the callee's again, for each call.

use super::build::Builder;
use super::entries::{Converter, Function};
use super::operands::Scopes;
use super::{expr, inlined};
use crate::emit::text::TextRange;
use gimli::read::AttributeValue as In;
use gimli::write::{AttributeValue, Unit, UnitEntryId, UnitId};
use gimli::{UnitOffset, constants as dw};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// An inlined call.
pub(super) struct InlinedFrame<'b> {
    /// The function that has the code.
    pub range: &'b TextRange,
    /// Where its body starts in the wasm file.
    pub outer: u64,
    /// The number of the call, from 1.
    pub frame: u32,
    /// Where the body of the callee starts in the wasm file.
    pub body: u64,
    /// The scope of the callee in the source map.
    pub function: u32,
    /// The entry of the call, and the unit that it is in.
    pub unit: UnitId,
    pub entry: UnitEntryId,
    /// What is inlined into the callee by the module's compiler: places of the entries in the module, and what they became.
    pub scopes: HashMap<usize, UnitEntryId>,
}

impl<'b> Builder<'b, '_> {
    /// Makes the entries of the variables of inlined calls.
    pub fn variables(&mut self) {
        let map = self.map;
        let mut inlined = std::mem::take(&mut self.inlined);
        let unit = |frame: &InlinedFrame<'_>| map.scopes[frame.function as usize].unit as usize;
        inlined.sort_by_key(|frame| (unit(frame), frame.range.offset, frame.frame));
        let kept = std::mem::take(&mut self.kept);
        let ids: Vec<Option<UnitId>> = self.units.iter().map(|out| out.as_ref().map(|out| out.id)).collect();
        let mut changed = HashSet::new();
        for frames in inlined.chunk_by(|frame, next| unit(frame) == unit(next)) {
            let index = unit(&frames[0]);
            let Some(out) = self.units[index].take() else { continue };
            let mut converter = Converter::new(self, index, out, &kept, &ids, None);
            let bodies = &converter.builder.parts.info.debug.bodies;
            let mut function: Option<Function<'b, '_>> = None;
            for frame in frames {
                let same = function.take().filter(|function| function.code.start == frame.range.offset);
                let function =
                    function.insert(same.unwrap_or_else(|| Function::new(frame.range, frame.outer, bodies)));
                (function.frame, function.body) = (frame.frame, frame.body);
                // What is damaged was told when the function itself was converted.
                converter.variables(frame, function).ok();
                changed.insert(frame.unit);
            }
            let Converter { out, .. } = converter;
            self.units[index] = Some(out);
        }
        self.kept = kept;
        for unit in changed {
            order_lists(self.dwarf.units.get_mut(unit));
        }
    }
}

impl<'b, 'a> Converter<'_, 'b, 'a> {
    fn variables(&mut self, frame: &InlinedFrame<'b>, function: &mut Function<'b, 'a>) -> gimli::Result<()> {
        let scope = &self.builder.map.scopes[frame.function as usize];
        let mut entries = self.unit.entries_at_offset(UnitOffset(scope.entry))?;
        let numbers = match frame.unit == self.out.id {
            true => self.builder.map.numbers.get(self.index).cloned().unwrap_or_default(),
            // Files of another unit have other numbers.
            false => Default::default(),
        };
        self.target = frame.unit;
        let Some(callee) = entries.next_dfs()? else { return Ok(()) };
        let top = callee.depth();
        self.scopes = Scopes::default();
        self.scopes.enter(top, callee.offset(), callee.tag());
        let base = match callee.attr_value(dw::DW_AT_frame_base) {
            Some(In::Exprloc(base)) => expr::operations(&base, self.unit.encoding(), None, |_, _| None),
            _ => None,
        };
        // Not that of the function around it.
        function.frame_base = Some(base.unwrap_or_default());
        let map = self.builder.map;
        let own = function.code.calls.iter().filter_map(|call| call.caller);
        let own = own.filter(|caller| caller.frame == frame.frame).map(|caller| u64::from(caller.wasm));
        let inlined =
            inlined::inner(map, frame.function).flat_map(|scope| &map.scopes[scope as usize].ranges);
        let mut calls: Vec<u64> = inlined.map(|range| range.start).chain(own).collect();
        calls.sort_unstable();
        let has_calls = |range: &Range<u64>| {
            let first = calls.partition_point(|call| *call < range.start);
            calls.get(first).is_some_and(|call| *call < range.end)
        };
        let mut around = vec![(top, frame.entry)];
        let mut dropped = None;
        while let Some(entry) = entries.next_dfs()?.filter(|entry| entry.depth() > top) {
            let depth = entry.depth();
            self.scopes.enter(depth, entry.offset(), entry.tag());
            if dropped.is_some_and(|outer| depth > outer) {
                continue;
            }
            dropped = None;
            around.retain(|(outer, _)| *outer < depth);
            let Some((_, parent)) = around.last().copied() else { break };
            if !self.builder.sees_scope() {
                break;
            }
            match entry.tag() {
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable => {
                    let id = self.builder.dwarf.units.get_mut(frame.unit).add(parent, entry.tag());
                    self.entry(entry, id, Some(function), &numbers);
                }
                // The entries of calls are there already.
                dw::DW_TAG_lexical_block if self.wasm_ranges(entry).iter().any(&has_calls) => {
                    around.push((depth, parent));
                }
                dw::DW_TAG_lexical_block => {
                    let id = self.builder.dwarf.units.get_mut(frame.unit).add(parent, entry.tag());
                    self.entry(entry, id, Some(function), &numbers);
                    around.push((depth, id));
                }
                dw::DW_TAG_inlined_subroutine => {
                    let offset = entry.offset().0;
                    match frame.scopes.get(&offset) {
                        Some(id) => around.push((depth, *id)),
                        None => dropped = Some(depth),
                    }
                }
                _ => dropped = Some(depth),
            }
        }
        Ok(())
    }
}

/// Puts the lists of locations into the order of the entries, as readers expect.
fn order_lists(unit: &mut Unit) {
    let old = std::mem::take(&mut unit.locations);
    let mut next = vec![unit.root()];
    while let Some(id) = next.pop() {
        let lists = unit.get(id).attrs().filter_map(|attribute| match attribute.get() {
            AttributeValue::LocationListRef(list) => Some((attribute.name(), *list)),
            _ => None,
        });
        for (name, list) in lists.collect::<Vec<_>>() {
            let list = unit.locations.add(old.get(list).clone());
            unit.get_mut(id).set(name, AttributeValue::LocationListRef(list));
        }
        let children = unit.get(id).children().copied();
        next.extend(children.collect::<Vec<_>>().into_iter().rev());
    }
}
