//! The debug information that a module carries: its `.debug_*` custom sections, or a source map.

use super::linked::{self, Linked};
use super::mappings;
use crate::error::Result;
use gimli::read::{Dwarf, EndianSlice, Unit};
use gimli::{LittleEndian, SectionId};
use std::borrow::Cow;
use std::ops::Range;
use wasmparser::{Parser, Payload};

/// A custom section with a source map in JSON. It is ours: whoever can read what [`URL_SECTION`] names adds it.
pub const SOURCE_MAP_SECTION: &str = "aot.source-map";

/// A custom section that says where the source map is.
pub const URL_SECTION: &str = "sourceMappingURL";

/// Where a source map is, from the contents of its section.
pub fn source_map_url(section: &[u8]) -> Option<&str> {
    let mut reader = wasmparser::BinaryReader::new(section, 0);
    reader.read_string().ok()
}

/// Bytes of the module.
pub(crate) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The debug information of a module, not read yet.
#[derive(Debug, Default)]
pub(crate) struct Input<'a> {
    /// Contents of the custom sections, by their names.
    pub(super) sections: Vec<(&'a str, &'a [u8])>,
    /// Offset in the file of the contents of the code section. Code addresses of DWARF count from there.
    pub code_start: u64,
    /// Where each function body is in the file, in index order.
    pub bodies: Vec<Range<u64>>,
    /// The modules that were linked to this one, of which it has debug information.
    pub linked: Vec<Linked<'a>>,
    /// Whether a section of one of them could not be read.
    pub is_damaged: bool,
}

impl<'a> Input<'a> {
    /// Finds the debug information of a module in the binary format, without looking at anything else.
    ///
    /// # Errors
    /// If the bytes are no module.
    pub fn of_module(wasm: &'a [u8]) -> Result<Input<'a>> {
        let mut input = Input::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::CodeSectionStart { unchecked_range, .. } => input.code_start = unchecked_range.start,
                Payload::CodeSectionEntry(body) => input.bodies.push(body.range()),
                Payload::CustomSection(section) => input.add_section(section.name(), section.data()),
                _ => {}
            }
        }
        Ok(input)
    }

    /// Keeps a custom section, if it is about debugging. Of several with the same name the first counts.
    pub fn add_section(&mut self, name: &'a str, bytes: &'a [u8]) {
        if name == linked::NAME {
            let linked = Linked::decode(bytes).filter(|_| self.linked.len() < MAX_LINKED);
            self.is_damaged |= linked.is_none();
            self.linked.extend(linked);
        }
        if is_debugging(name) && name != linked::NAME && self.sections.iter().all(|(other, _)| *other != name)
        {
            self.sections.push((name, bytes));
        }
    }

    /// Bytes of all sections.
    pub fn len(&self) -> usize {
        let linked = self.linked.iter().flat_map(|linked| &linked.sections);
        self.sections.iter().chain(linked).map(|(_, bytes)| bytes.len()).sum()
    }

    fn named(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|(other, _)| *other == name).map(|(_, bytes)| *bytes)
    }

    /// The source map, in JSON, of a module that has one inside and no DWARF.
    pub fn source_map(&self) -> Option<Cow<'a, [u8]>> {
        if self.sections.iter().any(|(name, _)| name.starts_with(".debug_")) {
            return None;
        }
        match self.named(SOURCE_MAP_SECTION) {
            Some(json) => Some(Cow::Borrowed(json)),
            None => mappings::inside(source_map_url(self.named(URL_SECTION)?)?).map(Cow::Owned),
        }
    }

    /// The sections of DWARF.
    pub fn dwarf_sections(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.sections.iter().copied().filter(|(name, _)| name.starts_with(".debug_"))
    }

    /// A reader of the DWARF of a part.
    fn dwarf(&self, part: usize) -> Dwarf<Slice<'a>> {
        let sections = part.checked_sub(1).map_or(&self.sections, |linked| &self.linked[linked].sections);
        let load = |id: SectionId| {
            let section = sections.iter().find(|(name, _)| *name == id.name());
            let bytes = section.map_or(&b""[..], |(_, bytes)| bytes);
            Ok::<_, std::convert::Infallible>(EndianSlice::new(bytes, LittleEndian))
        };
        let Ok(mut dwarf) = Dwarf::load(load);
        // Units may share their abbreviations: hostile ones would be read again for each.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        dwarf
    }

    /// The parts that have DWARF of their own: the module is the first one, those that were linked to it follow.
    fn parts(&self) -> Range<usize> {
        0..1 + self.linked.len()
    }

    /// Where in the file a code address of a part's DWARF is. Nothing if linking has left the code out.
    pub fn offset(&self, part: usize, address: u64) -> Option<u64> {
        match part.checked_sub(1) {
            Some(linked) => self.linked[linked].place(address, &self.bodies).map(|(_, offset)| offset),
            None => Some(self.code_start.saturating_add(address)),
        }
    }

    /// The same for the code between two addresses. What was linked ends with the function that it starts in.
    pub fn range(&self, part: usize, addresses: Range<u64>) -> Option<Range<u64>> {
        let start = self.offset(part, addresses.start)?;
        if part == 0 {
            return Some(start..self.offset(part, addresses.end)?);
        }
        let linked = &self.linked[part - 1];
        let (func, _) = linked.place(addresses.start, &self.bodies)?;
        let end = match linked.place(addresses.end, &self.bodies) {
            Some((other, end)) if other == func => end,
            _ => self.bodies[func as usize].end,
        };
        Some(start..end)
    }

    /// The function whose body an offset in the file is in, counted without imported ones.
    pub fn function_at(&self, offset: u64) -> Option<u32> {
        let index = self.bodies.partition_point(|body| body.start <= offset).checked_sub(1)?;
        (offset < self.bodies[index].end).then_some(index as u32)
    }
}

/// Whether a custom section is about debugging. The one with the names of functions is not.
fn is_debugging(section: &str) -> bool {
    section.starts_with(".debug_") || [SOURCE_MAP_SECTION, URL_SECTION, linked::NAME].contains(&section)
}

/// A module without its debug information.
///
/// # Errors
/// If it is no module in the binary format.
pub fn without_debug_info(wasm: &[u8]) -> Result<Vec<u8>> {
    const CUSTOM: u8 = 0;
    let mut reader = wasmparser::BinaryReader::new(wasm, 0);
    let mut out = reader.read_bytes(8)?.to_vec();
    while !reader.eof() {
        let start = reader.original_position() as usize;
        let id = reader.read_u8()?;
        let len = reader.read_var_u32()?;
        let contents = reader.read_bytes(len as usize)?;
        let name = || wasmparser::BinaryReader::new(contents, 0).read_unlimited_string();
        if id != CUSTOM || !is_debugging(name()?) {
            out.extend(&wasm[start..reader.original_position() as usize]);
        }
    }
    Ok(out)
}

/// Linked modules whose debug information is read. What comes behind them has none.
const MAX_LINKED: usize = 4096;

/// How many times the bytes of the sections may be read in all: units that share line programs would else take time without
/// end.
pub(super) const MAX_READINGS: usize = 4;

/// The units of a module's DWARF.
pub(crate) struct Units<'a> {
    /// Of each part ([`Input::offset`]).
    dwarfs: Vec<Dwarf<Slice<'a>>>,
    /// With the parts that they are in. Ascending by part and offset.
    units: Vec<(usize, Unit<Slice<'a>>)>,
    /// What could not be read, for the user.
    pub warnings: Vec<String>,
}

impl<'a> Units<'a> {
    /// Reads the headers of all units.
    pub fn read(input: &Input<'a>) -> Units<'a> {
        let dwarfs = input.parts().map(|part| input.dwarf(part)).collect();
        let mut this = Units { dwarfs, units: Vec::new(), warnings: Vec::new() };
        if input.is_damaged {
            this.warnings
                .push(String::from("that of a linked module: its section is damaged, or there are too many"));
        }
        let mut left = MAX_READINGS.saturating_mul(input.len());
        for part in input.parts() {
            this.read_part(part, &mut left);
        }
        this
    }

    /// Reads those of a part. `left` is how many bytes of line tables may be read.
    fn read_part(&mut self, part: usize, left: &mut usize) {
        let dwarf = &self.dwarfs[part];
        let mut headers = dwarf.units();
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    self.warnings.push(format!("the rest of .debug_info: {error}"));
                    break;
                }
            };
            let offset = header.offset().0;
            match dwarf.unit(header) {
                Ok(unit) => {
                    let lines =
                        unit.line_program.as_ref().map_or(0, |program| program.header().unit_length());
                    let Some(rest) = left.checked_sub(lines) else {
                        self.warnings
                            .push(String::from("the rest of .debug_info: its units share line tables"));
                        break;
                    };
                    *left = rest;
                    self.units.push((part, unit));
                }
                Err(error) => self.warnings.push(format!("the unit at {offset:#x} of .debug_info: {error}")),
            }
        }
    }

    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Position of the unit that an offset of `.debug_info` is in, and the offset in it. `from` is one of the same part.
    pub fn find(&self, from: usize, offset: gimli::DebugInfoOffset) -> Option<(usize, gimli::UnitOffset)> {
        let part = self.part(from);
        let place = |(part, unit): &(usize, Unit<Slice<'a>>)| (*part, unit.header.offset().0);
        let next = self.units.partition_point(|unit| place(unit) <= (part, offset.0));
        let index = next.checked_sub(1).filter(|index| self.part(*index) == part)?;
        Some((index, offset.to_unit_offset(&self.units[index].1.header)?))
    }

    pub fn get(&self, index: usize) -> &Unit<Slice<'a>> {
        &self.units[index].1
    }

    /// The part that a unit is in.
    pub fn part(&self, index: usize) -> usize {
        self.units[index].0
    }

    /// The DWARF that a unit is of.
    pub fn dwarf(&self, index: usize) -> &Dwarf<Slice<'a>> {
        &self.dwarfs[self.part(index)]
    }
}
