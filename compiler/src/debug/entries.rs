//! The entries of a module's units → entries for the machine: the same tree, with code and places of the machine.
//!
//! A pointer of the guest has 32 bits and counts from the start of the linear memory; debuggers know no such thing. So
//! a *variable* that is a pointer gets a type of the machine's size, and a location that computes the address of the
//! machine. A pointer that lies in memory keeps its size, and what it points to gets a type that says where its data is
//! (`DW_AT_data_location`): it adds the address of the memory (docs/debugging.md).

use super::build::{Builder, OutUnit, Parts, set_ranges, text_address};
use super::code::{FunctionCode, merged};
use super::expr::{self, Base, Scope, Want};
use super::function::{VMCTX, ValueRange, frame_and_index, is_operand, local};
use super::input::Slice;
use super::operands::{Carried, Operand, Scopes, has_operand};
use super::pointee::{self, Memory};
use super::source::FileNumbers;
use crate::emit::text::TextRange;
use gimli::read::{self, AttributeValue as In, DebuggingInformationEntry, Operation};
use gimli::write::{AttributeValue, DebugInfoRef, Expression, Location, LocationList, UnitEntryId, UnitId};
use gimli::{DwAt, DwTag, UnitOffset, constants as dw};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Entries that lie in each other: deeper ones are left out.
const MAX_DEPTH: isize = 200;

/// References that are followed to find out what a type is.
const MAX_REFERENCES: usize = 32;

/// Ranges of one location list.
const MAX_LOCATIONS: usize = 4096;

type ReadUnit<'a> = read::Unit<Slice<'a>>;
pub(super) type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// The entries of a unit that are kept, by their offsets in it. Ascending.
pub(super) type Kept = Vec<(usize, UnitEntryId)>;

/// The code of a function whose entries are converted.
pub(super) struct Function<'f, 'a> {
    /// Where its body starts in the wasm file.
    pub body: u64,
    pub code: FunctionCode<'f>,
    /// Ascending.
    pub values: Cow<'f, [ValueRange]>,
    pub frame_size: Option<i64>,
    /// 0, or the inlined call that its entries are converted for.
    pub frame: u32,
    /// What places in its frame count from, where that is inlined.
    pub frame_base: Option<Vec<Operation<Slice<'a>>>>,
}

impl<'f> Function<'f, '_> {
    /// A function with code of its own.
    pub fn new(range: &'f TextRange, body: u64, bodies: &[Range<u64>]) -> Self {
        let code = FunctionCode::new(range, body);
        let values = values(&range.debug.values, &code, body, bodies);
        Function { body, code, values, frame_size: range.frame_size(), frame: 0, frame_base: None }
    }
}

/// The values of a function, with those that hold up to a place in the source where the code before it is.
fn values<'v>(
    list: &'v [ValueRange],
    code: &FunctionCode<'_>,
    body: u64,
    bodies: &[Range<u64>],
) -> Cow<'v, [ValueRange]> {
    let is_limited = |value: &ValueRange| value.until > 0 && !is_operand(frame_and_index(value.value).1);
    if !list.iter().any(is_limited) {
        return Cow::Borrowed(list);
    }
    let mut values = Vec::with_capacity(list.len());
    for value in list {
        if !is_limited(value) {
            values.push(*value);
            continue;
        }
        let (frame, _) = frame_and_index(value.value);
        let body = match frame.checked_sub(1) {
            Some(call) => bodies[code.calls[call as usize].callee as usize].start,
            None => body,
        };
        let ranges = code.ranges(frame, &(body..body + u64::from(value.until)));
        values.extend(ranges.iter().filter_map(|range| {
            let (start, end) = (range.start.max(value.start), range.end.min(value.end));
            (start < end).then_some(ValueRange { start, end, until: 0, ..*value })
        }));
    }
    values.sort_unstable();
    Cow::Owned(values)
}

/// What a type is, under its names and qualifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A pointer to data: the entry of the pointer.
    Pointer(UnitOffset),
    /// What Rust calls a slice, a pointer and a length: the entry of the structure.
    Slice(UnitOffset),
    Aggregate,
    Other,
}

/// Converts the entries of all units. Says what they became.
pub(super) fn convert(builder: &mut Builder<'_, '_>) -> Vec<Kept> {
    let count = builder.units_read.len();
    let mut kept: Vec<Kept> = Vec::with_capacity(count);
    let mut memories = Vec::with_capacity(count);
    for index in 0..count {
        let mut out = builder.units[index].take().unwrap_or_else(|| builder.open(index));
        let (mut entries, mut functions) = (Vec::new(), BTreeMap::new());
        if let Err(error) = reserve(builder, index, &out, &mut entries, &mut functions) {
            builder.warn(index, &error);
        }
        memories.push(memory_entry(builder, index, &out, &functions));
        entries.sort_unstable_by_key(|(offset, _)| *offset);
        kept.push(entries);
        out.is_full = true;
        builder.units[index] = Some(out);
    }
    let ids: Vec<Option<UnitId>> = builder.units.iter().map(|out| out.as_ref().map(|out| out.id)).collect();
    for (index, memory) in memories.into_iter().enumerate() {
        let (memory, places) = memory.unzip();
        let unit = builder.units_read.get(index);
        let out = builder.units[index].take().expect("it was opened");
        let mut converter = Converter::new(builder, index, out, &kept, &ids, memory);
        if let Err(error) = converter.entries() {
            converter.builder.warn(index, &error);
        }
        // Readers expect lists in the order of the entries.
        if let (Some(memory), Some(places)) = (memory, places) {
            converter.set_list(memory, dw::DW_AT_location, places);
        }
        let Converter { out, mut guest_pointers, returned_pointers, types, .. } = converter;
        builder.types.push(types);
        let memory = match (builder.state(index).base, memory) {
            (Base::Fixed { memory, .. }, _) => Some(Memory::Address(memory)),
            (Base::Cell { memory, .. }, _) => Some(Memory::Cell(memory)),
            (_, entry) => entry.map(Memory::Entry),
        };
        let size = u64::from(unit.encoding().address_size);
        let dwarf = &mut builder.dwarf;
        let written = dwarf.units.get_mut(out.id);
        pointee::add_numbers(written, &mut dwarf.strings, &guest_pointers, size);
        guest_pointers.extend(returned_pointers.into_values());
        if let Some(memory) = memory {
            pointee::add_locations(builder.dwarf.units.get_mut(out.id), &guest_pointers, memory);
        }
        builder.units[index] = Some(out);
    }
    kept
}

/// What an entry became.
pub(super) fn find(kept: &[Kept], unit: usize, offset: usize) -> Option<UnitEntryId> {
    let kept = kept.get(unit)?;
    let at = kept.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
    Some(kept[at].1)
}

/// Makes an entry whose location is the address of the memory in the code of a unit's functions, if that depends on the
/// instance: what has no code of its own, as types and data, refers to it. Comes with what is to be its location.
fn memory_entry<'b>(
    builder: &mut Builder<'b, '_>,
    index: usize,
    out: &OutUnit,
    functions: &BTreeMap<u32, &'b TextRange>,
) -> Option<(UnitEntryId, LocationList)> {
    let state = builder.state(index);
    if !matches!(state.base, Base::Context { .. }) {
        return None;
    }
    let mut list = Vec::new();
    for range in functions.values() {
        let scope = Scope { state, frame_size: range.frame_size(), memory: None };
        let values = range.debug.values.iter().filter(|value| value.value == VMCTX);
        let found = values.take(MAX_LOCATIONS).filter_map(|value| {
            let place = range.offset + value.start..range.offset + value.end;
            Some((place, expr::memory(scope, value.place)?))
        });
        list.extend(found);
    }
    let list = location_list(list, 0)?;
    let unit = builder.dwarf.units.get_mut(out.id);
    Some((unit.add(unit.root(), dw::DW_TAG_dwarf_procedure), list))
}

/// Makes entries for those of a unit that are kept, without attributes. Finds the functions that it has, by where they are.
fn reserve<'b, 'a>(
    builder: &mut Builder<'b, 'a>,
    index: usize,
    out: &OutUnit,
    kept: &mut Kept,
    functions: &mut BTreeMap<u32, &'b TextRange>,
) -> gimli::Result<()> {
    let unit = builder.units_read.get(index);
    let mut entries = unit.entries();
    let mut around: Vec<(isize, UnitEntryId)> = Vec::new();
    let mut dropped = None;
    while let Some(entry) = entries.next_dfs()? {
        let depth = entry.depth();
        if dropped.is_some_and(|outer| depth > outer) {
            continue;
        }
        dropped = None;
        around.retain(|(outer, _)| *outer < depth);
        let Some((_, parent)) = around.last().copied() else {
            let root = builder.dwarf.units.get(out.id).root();
            // A second root belongs to nothing.
            if kept.is_empty() {
                kept.push((entry.offset().0, root));
                around.push((depth, root));
            } else {
                dropped = Some(depth);
            }
            continue;
        };
        let function = match entry.tag() == dw::DW_TAG_subprogram && has_code(entry) {
            true => Some(builder.live_function(index, unit, entry)),
            false => None,
        };
        let is_lost = depth > MAX_DEPTH
            || matches!(function, Some(None))
            || matches!(
                entry.tag(),
                dw::DW_TAG_call_site
                    | dw::DW_TAG_call_site_parameter
                    | dw::DW_TAG_GNU_call_site
                    | dw::DW_TAG_GNU_call_site_parameter
                    | dw::DW_TAG_label
                    | dw::DW_TAG_dwarf_procedure
            );
        if is_lost {
            dropped = Some(depth);
            continue;
        }
        functions.extend(function.flatten().map(|(range, _)| (range.offset, range)));
        let id = builder.dwarf.units.get_mut(out.id).add(parent, entry.tag());
        kept.push((entry.offset().0, id));
        around.push((depth, id));
    }
    Ok(())
}

fn has_code(entry: &Entry<'_>) -> bool {
    entry.attr(dw::DW_AT_low_pc).is_some() || entry.attr(dw::DW_AT_ranges).is_some()
}

/// What is known of the types of a unit.
#[derive(Default)]
pub(super) struct Types {
    shapes: HashMap<usize, Shape>,
    /// Pointers and slices as the machine has them, by the entry of those of the guest.
    machine_pointers: HashMap<usize, UnitEntryId>,
}

pub(super) struct Converter<'c, 'b, 'a> {
    pub builder: &'c mut Builder<'b, 'a>,
    pub unit: &'c ReadUnit<'a>,
    pub index: usize,
    pub out: OutUnit,
    /// The unit that gets entries of code: that of `out`, or one that a function was inlined into.
    pub target: UnitId,
    pub kept: &'c [Kept],
    /// Of the units that are written.
    pub ids: &'c [Option<UnitId>],
    pub types: Types,
    /// Pointers that lie in memory.
    guest_pointers: Vec<UnitEntryId>,
    /// Pointers that functions return, in registers, by the entry of those in memory.
    returned_pointers: HashMap<usize, UnitEntryId>,
    /// What [`memory_entry`] has made.
    memory: Option<UnitEntryId>,
    /// Around the entry that is converted.
    pub scopes: Scopes,
}

impl<'c, 'b, 'a> Converter<'c, 'b, 'a> {
    pub fn new(
        builder: &'c mut Builder<'b, 'a>,
        index: usize,
        out: OutUnit,
        kept: &'c [Kept],
        ids: &'c [Option<UnitId>],
        memory: Option<UnitEntryId>,
    ) -> Self {
        let types = builder.types.get_mut(index).map(std::mem::take).unwrap_or_default();
        Converter {
            unit: builder.units_read.get(index),
            index,
            target: out.id,
            out,
            kept,
            ids,
            types,
            guest_pointers: Vec::new(),
            returned_pointers: HashMap::new(),
            memory,
            scopes: Scopes::default(),
            builder,
        }
    }
}

impl<'a> Converter<'_, '_, 'a> {
    fn entries(&mut self) -> gimli::Result<()> {
        let unit = self.unit;
        let numbers: FileNumbers = self.builder.map.numbers.get(self.index).cloned().unwrap_or_default();
        let mut entries = unit.entries();
        let mut function: Option<(isize, Function<'_, 'a>)> = None;
        while let Some(entry) = entries.next_dfs()? {
            self.scopes.enter(entry.depth(), entry.offset(), entry.tag());
            let Some(id) = self.find(self.index, entry.offset()) else { continue };
            if function.as_ref().is_some_and(|(depth, _)| entry.depth() <= *depth) {
                function = None;
            }
            if entry.tag() == dw::DW_TAG_subprogram
                && has_code(entry)
                && let Some(range) = self.builder.live_function(self.index, unit, entry)
            {
                function = Some((
                    entry.depth(),
                    Function::new(range.0, range.1, &self.builder.parts.info.debug.bodies),
                ));
            }
            self.entry(entry, id, function.as_ref().map(|(_, function)| function), &numbers);
        }
        Ok(())
    }

    /// Where in the wasm file the code between two addresses is.
    fn wasm(&self, addresses: Range<u64>) -> Option<Range<u64>> {
        let part = self.builder.units_read.part(self.index);
        self.builder.parts.info.debug.range(part, addresses)
    }

    /// The entry that an offset in a unit became.
    fn find(&self, unit: usize, offset: UnitOffset) -> Option<UnitEntryId> {
        find(self.kept, unit, offset.0)
    }

    /// Sets an attribute of an entry that is in the target.
    fn set(&mut self, id: UnitEntryId, name: DwAt, value: AttributeValue) {
        let value = match value {
            AttributeValue::UnitRef(other) if self.target != self.out.id => {
                AttributeValue::DebugInfoRef(DebugInfoRef::Entry(self.out.id, other))
            }
            value => value,
        };
        self.builder.dwarf.units.get_mut(self.target).get_mut(id).set(name, value);
    }

    pub fn entry(
        &mut self,
        entry: &Entry<'a>,
        id: UnitEntryId,
        function: Option<&Function<'_, 'a>>,
        numbers: &FileNumbers,
    ) {
        let tag = entry.tag();
        if is_pointer(tag) {
            let size = u64::from(self.unit.encoding().address_size);
            self.set(id, dw::DW_AT_byte_size, AttributeValue::Udata(size));
            self.guest_pointers.push(id);
        }
        if let Some(function) = function {
            self.code(entry, id, function);
        }
        for attribute in entry.attrs() {
            let name = attribute.name();
            match name {
                // Below.
                dw::DW_AT_location | dw::DW_AT_frame_base => {}
                // Debuggers would call functions of C by it.
                dw::DW_AT_linkage_name if self.builder.is_c(self.index) => {}
                // A call would have to follow the convention of the machine, but values come back as wasm has them.
                dw::DW_AT_type if tag == dw::DW_TAG_subprogram && self.returns_aggregate(entry) => {}
                // lldb would put a pointer of the machine before the members of the class.
                dw::DW_AT_virtuality if tag == dw::DW_TAG_subprogram => {}
                dw::DW_AT_type
                    if tag == dw::DW_TAG_subprogram
                        && let Some(pointer) = self.returned_pointer(attribute.value()) =>
                {
                    self.set(id, name, AttributeValue::UnitRef(pointer));
                }
                _ if is_of_encoding(name) || tag == dw::DW_TAG_compile_unit && is_of_unit(name) => {}
                _ => {
                    if let Some(value) = self.attribute(attribute.value(), numbers) {
                        self.set(id, name, value);
                    }
                }
            }
        }
        if let Some(value) = entry.attr_value(dw::DW_AT_location) {
            self.location(entry, id, function, value);
        }
        if let (Some(value), Some(function)) = (entry.attr_value(dw::DW_AT_frame_base), function) {
            let found = self.places(function, value, Want::FrameBase);
            self.set_places(id, dw::DW_AT_frame_base, Some(function), found);
        }
    }

    /// Where in the wasm file the code of an entry is.
    pub fn wasm_ranges(&self, entry: &Entry<'a>) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        if let Ok(mut ranges) = self.builder.units_read.dwarf(self.index).die_ranges(self.unit, entry) {
            while let Ok(Some(range)) = ranges.next() {
                found.extend(self.wasm(range.begin..range.end));
            }
        }
        found
    }

    /// Says which code an entry is about.
    fn code(&mut self, entry: &Entry<'a>, id: UnitEntryId, function: &Function<'_, 'a>) {
        let code = &function.code;
        let ranges = match entry.tag() {
            dw::DW_TAG_subprogram if has_code(entry) => code.whole(),
            dw::DW_TAG_inlined_subroutine | dw::DW_TAG_lexical_block | dw::DW_TAG_try_block => {
                let wasm = self.wasm_ranges(entry);
                if !code.calls.is_empty() && function.frame == 0 {
                    let blocks = self.builder.blocks.entry((self.out.id, function.body)).or_default();
                    blocks.extend(wasm.iter().map(|wasm| (wasm.clone(), id)));
                }
                let inner =
                    wasm.iter().flat_map(|wasm| code.inner_ranges(function.frame, function.body, wasm));
                merged(inner.collect())
            }
            _ => return,
        };
        if !ranges.is_empty() {
            let ranges: Vec<_> =
                ranges.iter().map(|range| code.start + range.start..code.start + range.end).collect();
            set_ranges(self.builder.dwarf.units.get_mut(self.target), id, &ranges);
        }
        if entry.tag() == dw::DW_TAG_inlined_subroutine
            && let Some(range) = ranges.first()
        {
            let entry_pc = text_address(code.start + range.start);
            self.set(id, dw::DW_AT_entry_pc, AttributeValue::Address(entry_pc));
        }
    }

    /// Converts the location of a variable.
    fn location(
        &mut self,
        entry: &Entry<'a>,
        id: UnitEntryId,
        function: Option<&Function<'_, 'a>>,
        value: In<Slice<'a>>,
    ) {
        let shape = self.type_of(entry).map(|ty| self.shape(ty));
        let want = match shape {
            Some(Shape::Pointer(_)) => Want::Pointer,
            Some(Shape::Slice(_)) => Want::Slice,
            _ => Want::Location,
        };
        let found = match function {
            Some(function) => self.places(function, value, want),
            None => match value {
                In::Exprloc(expression) => {
                    let encoding = self.unit.encoding();
                    let state = self.builder.state(self.index);
                    let scope = Scope { state, frame_size: None, memory: self.memory };
                    let found = expr::operations(&expression, encoding, None, |_, _| None);
                    let found = found.and_then(|list| expr::convert(&list, scope, want, |_| None));
                    found.map(|expression| (0..u32::MAX, expression)).into_iter().collect()
                }
                _ => Vec::new(),
            },
        };
        let machine_type = match shape {
            _ if found.is_empty() => None,
            Some(Shape::Pointer(pointer)) => self.machine_pointer(pointer),
            Some(Shape::Slice(slice)) => self.machine_slice(slice),
            _ => None,
        };
        if let Some(ty) = machine_type {
            self.set(id, dw::DW_AT_type, AttributeValue::UnitRef(ty));
        }
        self.set_places(id, dw::DW_AT_location, function, found);
    }

    /// What an expression or a list of locations is for each part of a function's code.
    fn places(
        &self,
        function: &Function<'_, 'a>,
        value: In<Slice<'a>>,
        want: Want,
    ) -> Vec<(Range<u32>, Expression)> {
        let mut found = Vec::new();
        let mut carried = Carried::default();
        if let In::Exprloc(expression) = value {
            let mut whole = match function.frame.checked_sub(1) {
                Some(call) => function.code.call(call as usize).to_vec(),
                None => function.code.whole(),
            };
            let mut wasm = 0..u64::MAX;
            if has_operand(&expression) {
                let (input, units) = (&self.builder.parts.info.debug, self.builder.units_read);
                let Some(start) = self.scopes.start(input, units, self.index) else { return found };
                wasm.start = start;
                carried.enter(wasm.clone(), &expression, self.unit.encoding());
            }
            let Some(list) = self.operations(function, &expression, &mut wasm, &carried) else {
                return found;
            };
            if wasm.end < u64::MAX {
                whole = function.code.ranges(function.frame, &wasm);
            }
            whole.iter().for_each(|range| self.place_in(function, range, &list, want, &mut found));
            return found;
        }
        let lists = self.builder.units_read.dwarf(self.index).attr_locations(self.unit, value);
        let Ok(Some(mut list)) = lists else { return found };
        while found.len() <= MAX_LOCATIONS
            && let Some(left) = self.builder.locations_left.get().checked_sub(1)
            && let Ok(Some(raw)) = list.next_raw()
            && let Ok(entry) = list.convert_raw(raw)
        {
            self.builder.locations_left.set(left);
            let Some(entry) = entry else { continue };
            let Some(mut wasm) = self.wasm(entry.range.begin..entry.range.end) else { continue };
            if has_operand(&entry.data) {
                carried.enter(wasm.clone(), &entry.data, self.unit.encoding());
            } else if !function.code.has(function.frame, &wasm) {
                continue;
            }
            if let Some(list) = self.operations(function, &entry.data, &mut wasm, &carried) {
                let ranges = function.code.ranges(function.frame, &wasm);
                ranges.iter().for_each(|range| self.place_in(function, range, &list, want, &mut found));
            }
        }
        found.sort_by_key(|(range, _)| range.start);
        found
    }

    /// The operations of an expression that holds for a range in the wasm file. That ends where an operand is gone.
    fn operations(
        &self,
        function: &Function<'_, 'a>,
        expression: &read::Expression<Slice<'a>>,
        wasm: &mut Range<u64>,
        carried: &Carried,
    ) -> Option<Vec<Operation<Slice<'a>>>> {
        let Parts { info, source, .. } = self.builder.parts;
        let operand = |piece, index| {
            let at = carried.since(piece, index)?.checked_sub(function.body)?;
            let operand = Operand { at: u32::try_from(at).ok()?, index };
            let index = source.operands.number(info.debug.function_at(function.body)?, operand)?;
            let number = local(function.frame, index)?;
            let first = function.values.partition_point(|value| value.value < number);
            let value = function.values.get(first).filter(|value| value.value == number)?;
            wasm.end = wasm.end.min(function.body + u64::from(value.until));
            Some(index)
        };
        expr::operations(expression, self.unit.encoding(), function.frame_base.as_deref(), operand)
    }

    /// The same for one expression: it changes where values move.
    fn place_in(
        &self,
        function: &Function<'_, 'a>,
        range: &Range<u32>,
        list: &[Operation<Slice<'a>>],
        want: Want,
        found: &mut Vec<(Range<u32>, Expression)>,
    ) {
        let state = self.builder.state(self.index);
        let scope = Scope { state, frame_size: function.frame_size, memory: None };
        let number = |value: u32| match value {
            VMCTX => Some(VMCTX),
            index => local(function.frame, index),
        };
        let values = &function.values;
        let of = |value: u32| {
            let number = number(value);
            let first = values.partition_point(|other| Some(other.value) < number);
            values[first..].iter().take_while(move |other| Some(other.value) == number)
        };
        let mut borders = vec![range.start, range.end];
        for value in expr::needed(list, state) {
            let places = of(value).flat_map(|value| [value.start, value.end]);
            borders.extend(places.filter(|border| range.start < *border && *border < range.end));
        }
        borders.sort_unstable();
        borders.dedup();
        for pair in borders.windows(2).take(MAX_LOCATIONS) {
            let place = |value: u32| {
                let holds = |place: &&ValueRange| place.start <= pair[0] && pair[1] <= place.end;
                of(value).find(holds).map(|place| place.place)
            };
            if let Some(expression) = expr::convert(list, scope, want, place) {
                found.push((pair[0]..pair[1], expression));
            }
        }
    }

    fn set_places(
        &mut self,
        id: UnitEntryId,
        name: DwAt,
        function: Option<&Function<'_, 'a>>,
        mut found: Vec<(Range<u32>, Expression)>,
    ) {
        let (start, len) =
            function.map_or((0, u32::MAX), |function| (function.code.start, function.code.len));
        if let [(range, _)] = &found[..]
            && *range == (0..len)
            && let Some((_, expression)) = found.pop()
        {
            self.set(id, name, AttributeValue::Exprloc(expression));
            return;
        }
        if let Some(list) = location_list(found, start) {
            self.set_list(id, name, list);
        }
    }

    fn set_list(&mut self, id: UnitEntryId, name: DwAt, list: LocationList) {
        let unit = self.builder.dwarf.units.get_mut(self.target);
        let list = unit.locations.add(list);
        unit.get_mut(id).set(name, AttributeValue::LocationListRef(list));
    }

    /// The type of a variable, also where the entry that it is an instance of has it.
    fn type_of(&self, entry: &Entry<'a>) -> Option<UnitOffset> {
        let reference = |entry: &Entry<'a>, name| match entry.attr_value(name) {
            Some(In::UnitRef(offset)) => Some(offset),
            _ => None,
        };
        let origin = |entry: &Entry<'a>| {
            reference(entry, dw::DW_AT_abstract_origin).or_else(|| reference(entry, dw::DW_AT_specification))
        };
        if let Some(ty) = reference(entry, dw::DW_AT_type) {
            return Some(ty);
        }
        let mut next = origin(entry)?;
        for _ in 0..MAX_REFERENCES {
            let entry = self.unit.entry(next).ok()?;
            if let Some(ty) = reference(&entry, dw::DW_AT_type) {
                return Some(ty);
            }
            next = origin(&entry)?;
        }
        None
    }

    /// What a type is.
    fn shape(&mut self, ty: UnitOffset) -> Shape {
        if let Some(known) = self.types.shapes.get(&ty.0) {
            return *known;
        }
        let shape = self.find_shape(ty).unwrap_or(Shape::Other);
        self.types.shapes.insert(ty.0, shape);
        shape
    }

    fn find_shape(&self, ty: UnitOffset) -> Option<Shape> {
        let mut next = ty;
        for _ in 0..MAX_REFERENCES {
            let entry = self.unit.entry(next).ok()?;
            let inner = match entry.attr_value(dw::DW_AT_type) {
                Some(In::UnitRef(inner)) => Some(inner),
                _ => None,
            };
            match entry.tag() {
                tag if is_pointer(tag) => {
                    // Pointers to functions are indices of a table.
                    let target = inner.and_then(|inner| self.unit.entry(inner).ok());
                    let is_code = target.is_some_and(|target| target.tag() == dw::DW_TAG_subroutine_type);
                    return Some(if is_code { Shape::Other } else { Shape::Pointer(next) });
                }
                dw::DW_TAG_structure_type if self.slice_members(next).is_some() => {
                    return Some(Shape::Slice(next));
                }
                dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                    return Some(Shape::Aggregate);
                }
                tag if is_wrapper(tag) => next = inner?,
                _ => return Some(Shape::Other),
            }
        }
        None
    }

    fn returns_aggregate(&mut self, entry: &Entry<'a>) -> bool {
        match entry.attr_value(dw::DW_AT_type) {
            Some(In::UnitRef(ty)) => matches!(self.shape(ty), Shape::Aggregate | Shape::Slice(_)),
            _ => false,
        }
    }

    /// The type of a pointer that a function returns, if a reference is to one.
    fn returned_pointer(&mut self, ty: In<Slice<'a>>) -> Option<UnitEntryId> {
        let In::UnitRef(ty) = ty else { return None };
        if let Some(known) = self.returned_pointers.get(&ty.0) {
            return Some(*known);
        }
        let id = match self.shape(ty) {
            Shape::Pointer(pointer) if pointer == ty => {
                self.copied_pointer(ty, u64::from(self.unit.encoding().address_size))?
            }
            _ => return None,
        };
        self.returned_pointers.insert(ty.0, id);
        Some(id)
    }

    /// The type of a pointer as an address of the machine.
    fn machine_pointer(&mut self, pointer: UnitOffset) -> Option<UnitEntryId> {
        if let Some(known) = self.types.machine_pointers.get(&pointer.0) {
            return Some(*known);
        }
        let id = self.copied_pointer(pointer, u64::from(self.builder.parts.states[0].address_size))?;
        self.types.machine_pointers.insert(pointer.0, id);
        Some(id)
    }

    /// The type of a pointer to the same, with so many bytes.
    fn copied_pointer(&mut self, pointer: UnitOffset, size: u64) -> Option<UnitEntryId> {
        let entry = self.unit.entry(pointer).ok()?;
        let mut attributes = vec![(dw::DW_AT_byte_size, AttributeValue::Udata(size))];
        for name in [dw::DW_AT_type, dw::DW_AT_name] {
            let value = entry.attr_value(name).and_then(|value| self.attribute(value, &FileNumbers::new()));
            attributes.extend(value.map(|value| (name, value)));
        }
        let unit = self.builder.dwarf.units.get_mut(self.out.id);
        let id = unit.add(unit.root(), entry.tag());
        attributes.into_iter().for_each(|(name, value)| unit.get_mut(id).set(name, value));
        Some(id)
    }

    /// The types of the pointer and of the length, if a structure is a slice as rustc describes them.
    fn slice_members(&self, structure: UnitOffset) -> Option<[UnitOffset; 2]> {
        if self.builder.map.units.get(self.index)?.language != Some(dw::DW_LANG_Rust) {
            return None;
        }
        let mut tree = self.unit.entries_tree(Some(structure)).ok()?;
        let mut children = tree.root().ok()?.children();
        let mut members = Vec::new();
        while let Some(child) = children.next().ok()? {
            let entry = child.entry();
            let name = self
                .builder
                .units_read
                .dwarf(self.index)
                .attr_string(self.unit, entry.attr_value(dw::DW_AT_name)?);
            let Some(In::UnitRef(ty)) = entry.attr_value(dw::DW_AT_type) else { return None };
            members.push((name.ok()?.slice(), ty));
            if members.len() > 2 {
                return None;
            }
        }
        match &members[..] {
            [(pointer, to), (length, number)] if *pointer == b"data_ptr" && *length == b"length" => {
                // Directly: what types are made of may come back to where it began.
                is_pointer(self.unit.entry(*to).ok()?.tag()).then_some([*to, *number])
            }
            _ => None,
        }
    }

    /// The type of a slice whose pointer is an address of the machine.
    fn machine_slice(&mut self, slice: UnitOffset) -> Option<UnitEntryId> {
        if let Some(known) = self.types.machine_pointers.get(&slice.0) {
            return Some(*known);
        }
        let [pointer, length] = self.slice_members(slice)?;
        let Shape::Pointer(pointer) = self.shape(pointer) else { return None };
        let (pointer, length) = (self.machine_pointer(pointer)?, self.find(self.index, length)?);
        let name = self.unit.entry(slice).ok()?.attr_value(dw::DW_AT_name)?;
        let name = self.attribute(name, &FileNumbers::new())?;
        let size = u64::from(self.builder.parts.states[0].address_size);
        let unit = self.builder.dwarf.units.get_mut(self.out.id);
        let root = unit.root();
        let id = unit.add(root, dw::DW_TAG_structure_type);
        let entry = unit.get_mut(id);
        entry.set(dw::DW_AT_name, name);
        entry.set(dw::DW_AT_byte_size, AttributeValue::Udata(size + u64::from(expr::GUEST_ADDRESS)));
        for (name, ty, offset) in [("data_ptr", pointer, 0), ("length", length, size)] {
            let member = unit.add(id, dw::DW_TAG_member);
            let entry = unit.get_mut(member);
            entry.set(dw::DW_AT_name, AttributeValue::String(name.into()));
            entry.set(dw::DW_AT_type, AttributeValue::UnitRef(ty));
            entry.set(dw::DW_AT_data_member_location, AttributeValue::Udata(offset));
        }
        self.types.machine_pointers.insert(slice.0, id);
        Some(id)
    }

    /// Converts a value that means the same on every machine.
    fn attribute(&mut self, value: In<Slice<'a>>, numbers: &FileNumbers) -> Option<AttributeValue> {
        Some(match value {
            In::Block(bytes) => AttributeValue::Block(bytes.slice().to_vec()),
            In::Data1(data) => AttributeValue::Data1(data),
            In::Data2(data) => AttributeValue::Data2(data),
            In::Data4(data) => AttributeValue::Data4(data),
            In::Data8(data) => AttributeValue::Data8(data),
            In::Data16(data) => AttributeValue::Data16(data),
            In::Sdata(data) => AttributeValue::Sdata(data),
            In::Udata(data) => AttributeValue::Udata(data),
            In::Flag(true) => AttributeValue::FlagPresent,
            In::Flag(false) => AttributeValue::Flag(false),
            In::UnitRef(offset) => AttributeValue::UnitRef(self.find(self.index, offset)?),
            In::DebugInfoRef(offset) => {
                let (unit, offset) = self.builder.units_read.find(self.index, offset)?;
                let id = self.find(unit, offset)?;
                match unit == self.index {
                    true => AttributeValue::UnitRef(id),
                    false => {
                        AttributeValue::DebugInfoRef(DebugInfoRef::Entry(self.ids.get(unit).copied()??, id))
                    }
                }
            }
            In::DebugStrRef(_) | In::DebugStrOffsetsIndex(_) | In::DebugLineStrRef(_) | In::String(_) => {
                let text = self.builder.units_read.dwarf(self.index).attr_string(self.unit, value).ok()?;
                AttributeValue::StringRef(self.builder.dwarf.strings.add(text.slice()))
            }
            In::Encoding(value) => AttributeValue::Encoding(value),
            In::DecimalSign(value) => AttributeValue::DecimalSign(value),
            In::Endianity(value) => AttributeValue::Endianity(value),
            In::Accessibility(value) => AttributeValue::Accessibility(value),
            In::Visibility(value) => AttributeValue::Visibility(value),
            In::Virtuality(value) => AttributeValue::Virtuality(value),
            In::Language(value) => AttributeValue::Language(value),
            In::AddressClass(value) => AttributeValue::AddressClass(value),
            In::IdentifierCase(value) => AttributeValue::IdentifierCase(value),
            In::CallingConvention(value) => AttributeValue::CallingConvention(value),
            In::Inline(value) => AttributeValue::Inline(value),
            In::Ordering(value) => AttributeValue::Ordering(value),
            In::FileIndex(number) => {
                let file = *numbers.get(&number)?;
                AttributeValue::FileIndex(Some(self.builder.file(&mut self.out, file)?))
            }
            // Places in code and other sections; expressions.
            _ => return None,
        })
    }
}

/// Places by the code that they hold for, which counts from `start`. Ascending.
fn location_list(found: Vec<(Range<u32>, Expression)>, start: u32) -> Option<LocationList> {
    let mut list: Vec<Location> = Vec::with_capacity(found.len());
    let mut end_before = 0;
    for (range, data) in found {
        // Of several places at once the first one counts.
        if range.is_empty() || range.start < end_before {
            continue;
        }
        end_before = range.end;
        let (begin, end) = (u64::from(start + range.start), u64::from(start + range.end));
        match list.last_mut() {
            Some(Location::OffsetPair { end: last, data: other, .. }) if *last == begin && *other == data => {
                *last = end;
            }
            _ => list.push(Location::OffsetPair { begin, end, data }),
        }
    }
    (!list.is_empty()).then_some(LocationList(list))
}

/// Types that are pointers to data or code.
fn is_pointer(tag: DwTag) -> bool {
    matches!(tag, dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type)
}

/// Types that give another one a name or a qualifier.
pub(super) fn is_wrapper(tag: DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type
    )
}

/// Attributes that are about the bytes of the module's sections, or say what is said anew.
fn is_of_encoding(name: DwAt) -> bool {
    matches!(
        name,
        dw::DW_AT_sibling
            | dw::DW_AT_low_pc
            | dw::DW_AT_high_pc
            | dw::DW_AT_ranges
            | dw::DW_AT_entry_pc
            | dw::DW_AT_str_offsets_base
            | dw::DW_AT_addr_base
            | dw::DW_AT_rnglists_base
            | dw::DW_AT_loclists_base
            | dw::DW_AT_GNU_addr_base
            | dw::DW_AT_GNU_ranges_base
            | dw::DW_AT_GNU_pubnames
            | dw::DW_AT_macros
            | dw::DW_AT_macro_info
            | dw::DW_AT_data_location
    )
}

/// Attributes of a unit that it got when it was opened.
fn is_of_unit(name: DwAt) -> bool {
    matches!(
        name,
        dw::DW_AT_stmt_list
            | dw::DW_AT_name
            | dw::DW_AT_comp_dir
            | dw::DW_AT_producer
            | dw::DW_AT_language
            | dw::DW_AT_dwo_name
            | dw::DW_AT_GNU_dwo_name
            | dw::DW_AT_GNU_dwo_id
    )
}
