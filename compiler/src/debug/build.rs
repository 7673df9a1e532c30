//! Module and machine code → debug sections of the artifact.
//!
//! Each unit of the module's DWARF becomes one; functions without source get a unit of their own, whose only file is
//! the module, with offsets as line numbers.

use super::code::{FunctionCode, merged};
use super::entries::{self, Kept};
use super::expr::State;
use super::input::{Input, Slice, Units};
use super::output::{self, DebugSection};
use super::record::{FunctionScopes, record};
use super::source::{Row, Sequence, SourceMap, SourceUnit};
use crate::config::DebugInfo;
use crate::emit::Text;
use crate::emit::text::TextRange;
use crate::module::ModuleInfo;
use gimli::write::{
    Address, AttributeValue, Dwarf, FileId, LineProgram, LineString, Range as ListRange, RangeList, Unit,
    UnitEntryId, UnitId,
};
use gimli::{Encoding, Format, LineEncoding, RunTimeEndian, constants as dw};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// What debug sections are made from.
pub(crate) struct Parts<'p, 'a> {
    pub info: &'p ModuleInfo<'p>,
    pub source: &'p Source<'a>,
    pub text: &'p Text,
    pub endian: RunTimeEndian,
    pub level: DebugInfo,
    pub state: State,
}

/// What the module says of its source.
pub(crate) struct Source<'a> {
    units: Units<'a>,
    pub map: SourceMap,
}

impl<'a> Source<'a> {
    /// Reads the debug information of a module.
    pub fn read(input: &Input<'a>) -> Source<'a> {
        let units = Units::read(input);
        let map = SourceMap::read(input, &units);
        Source { units, map }
    }
}

/// The debug information of machine code.
#[derive(Debug, Default)]
pub(crate) struct Debug {
    pub sections: Vec<DebugSection>,
    /// The positions that our own backtraces show (`aot_abi::source`). Empty if nothing is known.
    pub record: Vec<u8>,
    /// What was left out, for the user.
    pub warnings: Vec<String>,
}

/// Line 1 is offset 1: lines count from 1, and no instruction is at offset 0.
const MODULE_FILE: &str = "module.wasm";

/// Makes the debug sections.
pub(crate) fn build(parts: &Parts<'_, '_>) -> Debug {
    let Source { units, map } = parts.source;
    let mut warnings = units.warnings.clone();
    warnings.extend(map.warnings.iter().cloned());
    let mut builder = Builder::new(parts, units, map);
    if parts.level == DebugInfo::Full {
        builder.kept = entries::convert(&mut builder);
    }
    builder.functions();
    builder.finish();
    warnings.append(&mut builder.warnings);
    let sections = output::encode(&mut builder.dwarf, parts.endian).unwrap_or_else(|error| {
        warnings.push(format!("all of it: {error}"));
        Vec::new()
    });
    Debug { sections, record: record(parts.info, parts.source, parts.text), warnings }
}

/// A unit that is written.
pub(super) struct OutUnit {
    pub id: UnitId,
    /// Numbers of files in its line program, by those of the source map.
    files: HashMap<u32, FileId>,
    /// Its code: offsets in the text section.
    code: Vec<Range<u32>>,
    /// What stands for an inlined function, by name and linkage name.
    pub abstracts: HashMap<(Vec<u8>, Vec<u8>), UnitEntryId>,
    /// Whether it has the entries of the module's unit.
    pub is_full: bool,
    /// Whether its lines are offsets in the module.
    pub has_offsets: bool,
}

pub(super) struct Builder<'b, 'a> {
    pub parts: &'b Parts<'b, 'a>,
    pub units_read: &'b Units<'a>,
    pub map: &'b SourceMap,
    pub dwarf: Dwarf,
    encoding: Encoding,
    /// By the number of the source unit; made when code of it is found. The one of the module comes last.
    pub units: Vec<Option<OutUnit>>,
    /// Position of each function of the module in the text section, if it has code.
    ranges: Vec<Option<u32>>,
    /// The first scope of each function in the source map, by where its code starts.
    pub scopes: HashMap<u64, u32>,
    /// By where the code of a function starts, once asked for.
    pub inner_scopes: HashMap<u64, Rc<FunctionScopes>>,
    /// What entries of the module became, if they are converted.
    pub kept: Vec<Kept>,
    /// The blocks of functions that have inlined calls, by unit and where their bodies start, if the module's entries are
    /// converted: offsets in the wasm file, and what the entry became. Outer ones come first.
    pub blocks: HashMap<(UnitId, u64), Vec<(Range<u64>, UnitEntryId)>>,
    warnings: Vec<String>,
}

impl<'b, 'a> Builder<'b, 'a> {
    fn new(parts: &'b Parts<'b, 'a>, units_read: &'b Units<'a>, map: &'b SourceMap) -> Self {
        let outer = map.scopes.iter().enumerate().filter(|(_, scope)| scope.parent.is_none());
        let mut scopes = HashMap::new();
        for (index, scope) in outer {
            for range in &scope.ranges {
                if let Some(func) = parts.info.debug.function_at(range.start - parts.info.debug.code_start) {
                    scopes.entry(parts.info.debug.bodies[func as usize].start).or_insert(index as u32);
                }
            }
        }
        let address_size = parts.state.address_size;
        let functions = parts.text.ranges.iter().enumerate().filter(|(_, range)| range.is_function);
        let position = |(index, range): (usize, &TextRange)| (range.len > 0).then_some(index as u32);
        Builder {
            parts,
            units_read,
            map,
            dwarf: Dwarf::new(),
            encoding: Encoding { format: Format::Dwarf32, version: 5, address_size },
            units: (0..=map.units.len()).map(|_| None).collect(),
            ranges: functions.take(parts.info.debug.bodies.len()).map(position).collect(),
            scopes,
            inner_scopes: HashMap::new(),
            kept: Vec::new(),
            blocks: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether functions of a unit are called what they are called in the source. `main` has another name for linkers of wasm.
    pub fn is_c(&self, unit: usize) -> bool {
        self.map.units.get(unit).is_some_and(SourceUnit::is_c)
    }

    /// Tells that a unit is not complete.
    pub fn warn(&mut self, unit: usize, error: &gimli::Error) {
        let name = self.map.units.get(unit).map_or(&b"?"[..], |unit| &unit.name);
        self.warnings.push(format!("entries of `{}`: {error}", String::from_utf8_lossy(name)));
    }

    /// The code of the function that an entry is about, and where its body is in the wasm file.
    pub fn live_function(
        &self,
        unit: &gimli::Unit<Slice<'a>>,
        entry: &gimli::DebuggingInformationEntry<Slice<'a>>,
    ) -> Option<(&'b TextRange, u64)> {
        let range = self.units_read.dwarf.die_ranges(unit, entry).ok()?.next().ok()??;
        let func = self.parts.info.debug.function_at(range.begin)? as usize;
        let position = self.ranges.get(func).copied()??;
        Some((&self.parts.text.ranges[position as usize], self.parts.info.debug.bodies[func].start))
    }

    fn functions(&mut self) {
        let text = self.parts.text;
        let mut defined = 0;
        for range in &text.ranges {
            let body = match range.is_function && defined < self.parts.info.debug.bodies.len() {
                true => {
                    defined += 1;
                    self.parts.info.debug.bodies[defined - 1].clone()
                }
                false => 0..0,
            };
            if range.len > 0 && range.is_function {
                self.function(range, &body);
            }
        }
    }

    fn function(&mut self, range: &TextRange, body: &Range<u64>) {
        let code = FunctionCode::new(range, body.start);
        let scope = self.scopes.get(&body.start).copied();
        let sequence = self.map.sequence(body.start).or_else(|| self.sequence(&code));
        let unit = match (scope, sequence) {
            (Some(scope), _) => self.map.scopes[scope as usize].unit as usize,
            (None, Some(sequence)) => sequence.unit as usize,
            (None, None) => self.map.units.len(),
        };
        let mut out = self.units[unit].take().unwrap_or_else(|| self.open(unit));
        out.code.push(code.start..code.start + code.len);
        if out.has_offsets {
            self.offset_rows(&mut out, &code);
        } else {
            self.source_rows(&mut out, &code, body.start);
        }
        self.function_entries(&mut out, range, &code, body.start);
        self.units[unit] = Some(out);
    }

    /// The rows of what a function does itself.
    fn sequence(&self, code: &FunctionCode<'_>) -> Option<&'b Sequence> {
        let own = code.pieces.iter().filter(|piece| piece.frame == 0);
        own.map(|piece| piece.wasm).find_map(|offset| self.map.sequence(offset))
    }

    /// Starts a unit.
    pub fn open(&mut self, index: usize) -> OutUnit {
        let module;
        let (name, directory, producer, language) = match self.map.units.get(index) {
            Some(unit) => (&unit.name[..], &unit.directory[..], &unit.producer[..], unit.language),
            None => {
                let name = self.parts.info.name.filter(|name| !name.is_empty() && !name.contains('\0'));
                module = name.map_or(String::from(MODULE_FILE), |name| match name.ends_with(".wasm") {
                    true => String::from(name),
                    false => format!("{name}.wasm"),
                });
                (module.as_bytes(), &b""[..], &b"aot"[..], None)
            }
        };
        let strings = &mut self.dwarf.line_strings;
        // The format wants names that are not empty.
        let mut line_string = |bytes: &[u8], other: &str| {
            let bytes = if bytes.is_empty() { other.as_bytes() } else { bytes };
            LineString::new(bytes, self.encoding, strings)
        };
        let program = LineProgram::new(
            self.encoding,
            LineEncoding::default(),
            line_string(directory, "."),
            None,
            line_string(name, "?"),
            None,
        );
        let id = self.dwarf.units.add(Unit::new(self.encoding, program));
        let out = OutUnit {
            id,
            files: HashMap::new(),
            code: Vec::new(),
            abstracts: HashMap::new(),
            is_full: false,
            has_offsets: index == self.map.units.len(),
        };
        let root = self.root(&out);
        for (attribute, value) in
            [(dw::DW_AT_producer, producer), (dw::DW_AT_name, name), (dw::DW_AT_comp_dir, directory)]
        {
            self.set_string(&out, root, attribute, value);
        }
        let language = language.unwrap_or(dw::DW_LANG_C99);
        self.set(&out, root, dw::DW_AT_language, AttributeValue::Language(language));
        out
    }

    /// Rows whose lines are offsets in the wasm file; but what is inlined may have source.
    fn offset_rows(&mut self, out: &mut OutUnit, code: &FunctionCode<'_>) {
        let module = self.offset_file(out);
        self.dwarf.units.get_mut(out.id).line_program.begin_sequence(Some(text_address(code.start)));
        for piece in &code.pieces {
            let source = match piece.frame {
                0 => None,
                _ => self.map.row(piece.wasm).filter(|row| row.line > 0).copied(),
            };
            let source = source.and_then(|row| Some((self.file(out, row.file)?, row)));
            let row = self.dwarf.units.get_mut(out.id).line_program.row();
            row.address_offset = u64::from(piece.code.start);
            (row.file, row.line, row.column) = match source {
                Some((file, row)) => (file, row.line.into(), row.column.into()),
                None => {
                    let offset = self.parts.info.source_offset(piece.wasm as u32);
                    (module.expect("the program was made with a file"), offset.into(), 0)
                }
            };
            self.dwarf.units.get_mut(out.id).line_program.generate_row();
        }
        self.dwarf.units.get_mut(out.id).line_program.end_sequence(u64::from(code.len));
    }

    /// The file whose lines are offsets.
    pub fn offset_file(&self, out: &OutUnit) -> Option<FileId> {
        self.dwarf.units.get(out.id).line_program.files().next().map(|(file, ..)| file)
    }

    /// Rows with lines of the source, for a function whose body starts at `body` in the wasm file.
    fn source_rows(&mut self, out: &mut OutUnit, code: &FunctionCode<'_>, body: u64) {
        let rows = self.sequence(code).map_or(0..0, |sequence| sequence.rows.clone());
        let rows = &self.map.rows[rows.start as usize..rows.end as usize];
        // The function's own first row; the compiler leaves nothing before it but what makes the frame.
        let own = &rows[rows.partition_point(|row| row.offset < body)..];
        let first = own.first().copied().unwrap_or(Row::NONE);
        // Where the module's compiler has said that the frame is made; a body may be on the line that its function starts on.
        let start =
            own.iter().take_while(|row| row.prologue_end || (row.file, row.line) == (first.file, first.line));
        let start = start.map(|row| (row.prologue_end, row.offset)).find(|(is_end, _)| *is_end);
        let start = start.map_or(first.offset, |(_, offset)| offset);
        self.dwarf.units.get_mut(out.id).line_program.begin_sequence(Some(text_address(code.start)));
        let mut last = Row::NONE;
        for piece in &code.pieces {
            let is_prologue = piece.frame == 0 && (piece.wasm == body || piece.wasm < start);
            if is_prologue && piece.code.start > 0 {
                continue;
            }
            let (row, file) = match self.map.row_with_start(piece.wasm) {
                _ if is_prologue => (
                    Row { column: 0, is_statement: true, prologue_end: false, ..first },
                    self.file(out, first.file),
                ),
                Some(row) => (row, self.file(out, row.file)),
                // Code that belongs to no line.
                None => (Row::NONE, None),
            };
            let row = if file.is_some() { row } else { Row::NONE };
            let is_new_line = (last.file, last.line) != (row.file, row.line) || piece.code.start == 0;
            if !is_new_line && last.column == row.column {
                continue;
            }
            let to = self.dwarf.units.get_mut(out.id).line_program.row();
            to.address_offset = u64::from(piece.code.start);
            if let Some(file) = file {
                to.file = file;
            }
            to.line = u64::from(row.line);
            to.column = u64::from(row.column);
            // Instructions whose code is part of that of others take their marks along.
            to.is_statement = row.is_statement && is_new_line;
            to.prologue_end = row.prologue_end && is_new_line;
            self.dwarf.units.get_mut(out.id).line_program.generate_row();
            // Debuggers take the second row for the end of the prologue: it has to be one.
            last = if is_prologue { Row::NONE } else { row };
        }
        self.dwarf.units.get_mut(out.id).line_program.end_sequence(u64::from(code.len));
    }

    /// The number of a file in a unit's line program.
    pub fn file(&mut self, out: &mut OutUnit, file: u32) -> Option<FileId> {
        if let Some(known) = out.files.get(&file) {
            return Some(*known);
        }
        let source = self.map.files.get(file as usize)?;
        let encoding = self.encoding;
        let directory = if source.directory.is_empty() { b"." } else { &source.directory[..] };
        let directory = LineString::new(directory, encoding, &mut self.dwarf.line_strings);
        let name = LineString::new(&source.name[..], encoding, &mut self.dwarf.line_strings);
        let program = &mut self.dwarf.units.get_mut(out.id).line_program;
        let directory = program.add_directory(directory);
        let id = program.add_file(name, directory, None);
        out.files.insert(file, id);
        Some(id)
    }

    pub fn root(&self, out: &OutUnit) -> UnitEntryId {
        self.dwarf.units.get(out.id).root()
    }

    pub fn entry(&mut self, out: &OutUnit, parent: UnitEntryId, tag: gimli::DwTag) -> UnitEntryId {
        self.dwarf.units.get_mut(out.id).add(parent, tag)
    }

    pub fn set(&mut self, out: &OutUnit, entry: UnitEntryId, name: gimli::DwAt, value: AttributeValue) {
        self.dwarf.units.get_mut(out.id).get_mut(entry).set(name, value);
    }

    /// Sets a string, unless it is empty.
    pub fn set_string(&mut self, out: &OutUnit, entry: UnitEntryId, name: gimli::DwAt, text: &[u8]) {
        if !text.is_empty() && !text.contains(&0) {
            let text = self.dwarf.strings.add(text);
            self.set(out, entry, name, AttributeValue::StringRef(text));
        }
    }

    /// Says which code of a function an entry is about.
    pub fn set_ranges(
        &mut self,
        out: &OutUnit,
        entry: UnitEntryId,
        code: &FunctionCode<'_>,
        ranges: Vec<Range<u32>>,
    ) {
        let ranges: Vec<Range<u32>> =
            ranges.into_iter().map(|range| code.start + range.start..code.start + range.end).collect();
        set_ranges(self.dwarf.units.get_mut(out.id), entry, &ranges);
    }

    /// Says which code each unit has.
    fn finish(&mut self) {
        for out in self.units.iter_mut().flatten() {
            let unit = self.dwarf.units.get_mut(out.id);
            let root = unit.root();
            let ranges = merged(std::mem::take(&mut out.code));
            if ranges.is_empty() {
                continue;
            }
            let list = unit.ranges.add(range_list(&ranges));
            let entry = unit.get_mut(root);
            // What ranges of the unit count from.
            entry.set(dw::DW_AT_low_pc, AttributeValue::Address(text_address(0)));
            entry.set(dw::DW_AT_ranges, AttributeValue::RangeListRef(list));
        }
    }
}

/// An address in the text section.
pub(super) fn text_address(offset: u32) -> Address {
    Address::Symbol { symbol: 0, addend: i64::from(offset) }
}

/// Says which code an entry is about: ranges of the text section.
pub(super) fn set_ranges(unit: &mut Unit, entry: UnitEntryId, ranges: &[Range<u32>]) {
    if let [range] = ranges {
        let entry = unit.get_mut(entry);
        entry.set(dw::DW_AT_low_pc, AttributeValue::Address(text_address(range.start)));
        entry.set(dw::DW_AT_high_pc, AttributeValue::Udata(u64::from(range.end - range.start)));
    } else {
        let list = unit.ranges.add(range_list(ranges));
        unit.get_mut(entry).set(dw::DW_AT_ranges, AttributeValue::RangeListRef(list));
    }
}

fn range_list(ranges: &[Range<u32>]) -> RangeList {
    let pair =
        |range: &Range<u32>| ListRange::OffsetPair { begin: range.start.into(), end: range.end.into() };
    RangeList(ranges.iter().map(pair).collect())
}
