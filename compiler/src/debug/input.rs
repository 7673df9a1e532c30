//! The debug information that a module carries: its `.debug_*` custom sections, or a source map.

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
        let is_known = name.starts_with(".debug_") || [SOURCE_MAP_SECTION, URL_SECTION].contains(&name);
        if is_known && self.sections.iter().all(|(other, _)| *other != name) {
            self.sections.push((name, bytes));
        }
    }

    /// Bytes of all sections.
    pub fn len(&self) -> usize {
        self.sections.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn section(&self, id: SectionId) -> &'a [u8] {
        self.named(id.name()).unwrap_or_default()
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

    /// A reader of the DWARF.
    pub fn dwarf(&self) -> Dwarf<Slice<'a>> {
        let load = |id| Ok::<_, std::convert::Infallible>(EndianSlice::new(self.section(id), LittleEndian));
        let Ok(mut dwarf) = Dwarf::load(load);
        // Units may share their abbreviations: hostile ones would be read again for each.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        dwarf
    }

    /// The function whose body a code address of DWARF is in, counted without imported ones.
    pub fn function_at(&self, address: u64) -> Option<u32> {
        let offset = self.code_start.checked_add(address)?;
        let index = self.bodies.partition_point(|body| body.start <= offset).checked_sub(1)?;
        (offset < self.bodies[index].end).then_some(index as u32)
    }
}

/// How many times the bytes of the sections may be read in all: units that share line programs would else take time without
/// end.
const MAX_READINGS: usize = 4;

/// The units of a module's DWARF.
pub(crate) struct Units<'a> {
    pub dwarf: Dwarf<Slice<'a>>,
    /// Ascending by offset.
    units: Vec<Unit<Slice<'a>>>,
    /// What could not be read, for the user.
    pub warnings: Vec<String>,
}

impl<'a> Units<'a> {
    /// Reads the headers of all units.
    pub fn read(input: &Input<'a>) -> Units<'a> {
        let mut this = Units { dwarf: input.dwarf(), units: Vec::new(), warnings: Vec::new() };
        let mut left = MAX_READINGS.saturating_mul(input.len());
        let mut headers = this.dwarf.units();
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    this.warnings.push(format!("the rest of .debug_info: {error}"));
                    break;
                }
            };
            let offset = header.offset().0;
            match this.dwarf.unit(header) {
                Ok(unit) => {
                    let lines =
                        unit.line_program.as_ref().map_or(0, |program| program.header().unit_length());
                    let Some(rest) = left.checked_sub(lines) else {
                        this.warnings
                            .push(String::from("the rest of .debug_info: its units share line tables"));
                        break;
                    };
                    left = rest;
                    this.units.push(unit);
                }
                Err(error) => this.warnings.push(format!("the unit at {offset:#x} of .debug_info: {error}")),
            }
        }
        this
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Unit<Slice<'a>>> {
        self.units.iter()
    }

    /// Position of the unit that an offset of `.debug_info` is in, and the offset in it.
    pub fn find(&self, offset: gimli::DebugInfoOffset) -> Option<(usize, gimli::UnitOffset)> {
        let next = self.units.partition_point(|unit| unit.header.offset().0 <= offset.0);
        let index = next.checked_sub(1)?;
        Some((index, offset.to_unit_offset(&self.units[index].header)?))
    }

    pub fn get(&self, index: usize) -> &Unit<Slice<'a>> {
        &self.units[index]
    }
}
