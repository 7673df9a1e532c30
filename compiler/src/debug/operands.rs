//! The values on the operand stack that the module's DWARF refers to.
//!
//! Optimised code has many variables there and nowhere else. Their locations say so: *the value at this place, counted from
//! the bottom*. A place of the stack holds one value after the other, so each that is asked for gets a label of its own when
//! the function is translated, and what is asked for has to be known by then: the values that are there where the range of
//! such a location begins.
//!
//! The range may go on when the value is gone. LLVM takes two locations with the same place, one right behind the other, for
//! one; and of two variables that have the same value, it ends the range of one only. So a location ends at the latest with
//! the instruction that takes the value from the stack.

use super::expr;
use super::function::{MAX_OPERANDS, operand};
use super::input::{Input, MAX_READINGS, Slice, Units};
use gimli::read::{AttributeValue, Expression, Unit};
use gimli::{DwTag, Encoding, UnitOffset, constants as dw};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

/// A value on the operand stack of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Operand {
    /// The instruction that finds it there: bytes from the start of the function's body.
    pub at: u32,
    /// From the bottom of the stack.
    pub index: u32,
}

/// The values that locations refer to, by function, which are counted without imported ones. Ascending.
#[derive(Debug, Default)]
pub(crate) struct Operands(HashMap<u32, Vec<Operand>>);

impl Operands {
    /// Looks through all locations. What cannot be read is left out; it is told where it is converted.
    pub fn find<'a>(input: &Input<'a>, units: &Units<'a>) -> Operands {
        let left = MAX_READINGS.saturating_mul(input.len());
        let mut reader = Reader { input, units, index: 0, left, found: HashMap::new() };
        for index in 0..units.len() {
            reader.index = index;
            reader.unit(units.get(index)).ok();
        }
        let mut found = reader.found;
        for operands in found.values_mut() {
            operands.sort_unstable();
            operands.dedup();
            operands.truncate(MAX_OPERANDS);
        }
        Operands(found)
    }

    /// Those of a function.
    pub fn of(&self, function: u32) -> &[Operand] {
        self.0.get(&function).map_or(&[], |operands| operands)
    }

    /// The number by which a value is known among the locals of its function.
    pub fn number(&self, function: u32, wanted: Operand) -> Option<u32> {
        self.of(function).binary_search(&wanted).ok().and_then(operand)
    }
}

/// The operands of the locations in a list: one that was there in the location before, right in front, is the same still. LLVM
/// repeats it where another piece of the variable changes, and something else may lie there by then.
#[derive(Default)]
pub(super) struct Carried {
    /// Of the location that is read.
    range: Range<u64>,
    /// Its operands: the piece of the variable, the place on the stack, and since when it is there.
    operands: Vec<(u64, u32, u64)>,
    /// Those of the location before it, if that ends where this one begins.
    before: Vec<(u64, u32, u64)>,
}

impl Carried {
    /// Comes to the next location, which holds for a range in the wasm file.
    pub fn enter(&mut self, range: Range<u64>, expression: &Expression<Slice<'_>>, encoding: Encoding) {
        std::mem::swap(&mut self.operands, &mut self.before);
        self.operands.clear();
        if self.range.end != range.start {
            self.before.clear();
        }
        self.range = range;
        let note = |piece, index| {
            let known = self.before.iter().find(|known| (known.0, known.1) == (piece, index));
            let since = known.map_or(self.range.start, |known| known.2);
            self.operands.push((piece, index, since));
            Some(index)
        };
        expr::operations(expression, encoding, None, note);
    }

    /// The instruction that finds an operand of the location on the stack.
    pub fn since(&self, piece: u64, index: u32) -> Option<u64> {
        let known = self.operands.iter().find(|known| (known.0, known.1) == (piece, index))?;
        Some(known.2)
    }
}

/// Whether an expression may refer to the operand stack. Most do not, and are not looked at any further.
pub(super) fn has_operand(expression: &Expression<Slice<'_>>) -> bool {
    /// Of places in the stack.
    const KIND: u8 = 2;
    /// Bytes that are looked at; compilers write some dozens.
    const MOST: usize = 1024;
    let bytes = expression.0.slice();
    bytes[..bytes.len().min(MOST)].windows(2).any(|pair| pair == [dw::DW_OP_WASM_location.0, KIND])
}

/// The entries around one that have code of their own.
#[derive(Default)]
pub(super) struct Scopes(Vec<Scope>);

struct Scope {
    depth: isize,
    entry: UnitOffset,
    /// Where in the wasm file its code starts, once somebody asks.
    start: OnceCell<Option<u64>>,
}

impl Scopes {
    /// Comes to the next entry of a tree.
    pub fn enter(&mut self, depth: isize, entry: UnitOffset, tag: DwTag) {
        while self.0.pop_if(|scope| scope.depth >= depth).is_some() {}
        let has_code = matches!(
            tag,
            dw::DW_TAG_subprogram
                | dw::DW_TAG_inlined_subroutine
                | dw::DW_TAG_lexical_block
                | dw::DW_TAG_try_block
        );
        if has_code {
            self.0.push(Scope { depth, entry, start: OnceCell::new() });
        }
    }

    /// Where in the wasm file the code of the innermost one starts. It is in a unit of that position.
    pub fn start(&self, input: &Input<'_>, units: &Units<'_>, index: usize) -> Option<u64> {
        let scope = self.0.last()?;
        *scope.start.get_or_init(|| {
            let unit = units.get(index);
            let entry = unit.entry(scope.entry).ok()?;
            let first = units.dwarf(index).die_ranges(unit, &entry).ok()?.next().ok()??;
            input.range(units.part(index), first.begin..first.end).map(|range| range.start)
        })
    }
}

struct Reader<'i, 'a> {
    input: &'i Input<'a>,
    units: &'i Units<'a>,
    /// The unit that is read.
    index: usize,
    /// How many bytes of lists may be read, about: variables may share lists.
    left: usize,
    found: HashMap<u32, Vec<Operand>>,
}

impl<'a> Reader<'_, 'a> {
    fn unit(&mut self, unit: &Unit<Slice<'a>>) -> gimli::Result<()> {
        let wanted = |name| matches!(name, dw::DW_AT_location | dw::DW_AT_frame_base);
        let mut entries = unit.entries_raw(None)?;
        let mut scopes = Scopes::default();
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            let Some(shape) = entries.read_abbreviation()? else { continue };
            scopes.enter(depth, offset, shape.tag());
            let mut rest = shape.attributes();
            while let Some(place) = rest.iter().position(|attribute| wanted(attribute.name())) {
                entries.skip_attributes(&rest[..place])?;
                let value = entries.read_attribute(rest[place])?.value();
                self.location(unit, value, &scopes)?;
                rest = &rest[place + 1..];
            }
            entries.skip_attributes(rest)?;
        }
        Ok(())
    }

    fn location(
        &mut self,
        unit: &Unit<Slice<'a>>,
        value: AttributeValue<Slice<'a>>,
        scopes: &Scopes,
    ) -> gimli::Result<()> {
        let mut carried = Carried::default();
        if let AttributeValue::Exprloc(expression) = value {
            if has_operand(&expression)
                && let Some(start) = scopes.start(self.input, self.units, self.index)
            {
                carried.enter(start..u64::MAX, &expression, unit.encoding());
                self.add(&carried);
            }
            return Ok(());
        }
        let part = self.units.part(self.index);
        let Some(mut list) = self.units.dwarf(self.index).attr_locations(unit, value)? else { return Ok(()) };
        while self.left > 0
            && let Some(raw) = list.next_raw()?
        {
            self.left -= 1;
            let Some(entry) = list.convert_raw(raw)? else { continue };
            self.left = self.left.saturating_sub(entry.data.0.len());
            if has_operand(&entry.data)
                && let Some(wasm) = self.input.range(part, entry.range.begin..entry.range.end)
            {
                carried.enter(wasm, &entry.data, unit.encoding());
                self.add(&carried);
            }
        }
        Ok(())
    }

    /// Notes what a location refers to.
    fn add(&mut self, carried: &Carried) {
        let Some(function) = self.input.function_at(carried.range.start) else { return };
        let body = self.input.bodies[function as usize].start;
        let found = self.found.entry(function).or_default();
        for (_, index, since) in &carried.operands {
            if let Some(at) = since.checked_sub(body).and_then(|at| u32::try_from(at).ok()) {
                found.push(Operand { at, index: *index });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::{Format, LittleEndian};

    /// The operands of locations in a list, each with the piece that it is of, and since when it is there.
    fn carried(locations: &[(Range<u64>, &[u8])]) -> Vec<Vec<(u64, u32, u64)>> {
        let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 4 };
        let mut carried = Carried::default();
        let operands = locations.iter().map(|(range, bytes)| {
            let expression = Expression(Slice::new(bytes, LittleEndian));
            assert!(has_operand(&expression), "{bytes:?}");
            carried.enter(range.clone(), &expression, encoding);
            carried.operands.clone()
        });
        operands.collect()
    }

    #[test]
    fn operands_last_from_one_location_to_the_next() {
        const ONE: &[u8] = &[0xed, 2, 1, 0x9f];
        const OTHER: &[u8] = &[0xed, 2, 0, 0x9f];
        // Pieces of 4 bytes: nothing and an operand; two of them.
        const SECOND: &[u8] = &[0x93, 4, 0xed, 2, 1, 0x9f, 0x93, 4];
        const BOTH: &[u8] = &[0xed, 2, 1, 0x9f, 0x93, 4, 0xed, 2, 1, 0x9f, 0x93, 4];
        let found = carried(&[(10..20, SECOND), (20..30, BOTH), (30..40, BOTH), (41..50, SECOND)]);
        let both = vec![(0, 1, 20), (32, 1, 10)];
        assert_eq!(found, [vec![(32, 1, 10)], both.clone(), both, vec![(32, 1, 41)]]);
        let found = carried(&[(10..20, ONE), (20..30, OTHER), (30..40, ONE), (40..50, ONE)]);
        assert_eq!(found, [[(0, 1, 10)], [(0, 0, 20)], [(0, 1, 30)], [(0, 1, 30)]]);
    }
}
