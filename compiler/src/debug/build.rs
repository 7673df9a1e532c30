//! Module and machine code → debug sections of the artifact.
//!
//! Each unit of the module's DWARF becomes one; functions without source get a unit of their own, whose only file is
//! the module, with offsets as line numbers.

use super::code::{FunctionCode, Piece, merged};
use super::entries::{self, Kept, Types};
use super::expr::State;
use super::input::{Input, MAX_READINGS, Slice, Units};
use super::lines::{self, Sequence as LineSequence};
use super::operands::Operands;
use super::output::{self, DebugSection};
use super::record::{FunctionScopes, record};
use super::source::{Row, Sequence, SourceMap, SourceUnit};
use super::variables::InlinedFrame;
use crate::config::DebugInfo;
use crate::emit::Text;
use crate::emit::text::TextRange;
use crate::module::ModuleInfo;
use gimli::write::{
    Address, AttributeValue, Dwarf, FileId, LineProgram, LineString, Range as ListRange, RangeList, Unit,
    UnitEntryId, UnitId,
};
use gimli::{Encoding, Format, LineEncoding, RunTimeEndian, constants as dw};
use rayon::prelude::*;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What debug sections are made from.
pub(crate) struct Parts<'p, 'a> {
    pub info: &'p ModuleInfo<'p>,
    pub source: &'p Source<'a>,
    pub text: &'p Text,
    pub endian: RunTimeEndian,
    pub level: DebugInfo,
    /// Of the module, and of those that were linked to it.
    pub states: Vec<State>,
    /// Whether units say where a table of addresses is. They have no use for one, but `dsymutil` writes addresses of what it
    /// links to such a table, and units that name none would not find it.
    pub has_address_table: bool,
}

/// What the module says of its source.
pub(crate) struct Source<'a> {
    units: Units<'a>,
    pub map: SourceMap,
    /// For variables; empty where they are not wanted.
    pub operands: Operands,
}

impl<'a> Source<'a> {
    /// Reads the debug information of a module, as far as it is wanted.
    pub fn read(input: &Input<'a>, level: DebugInfo) -> Source<'a> {
        let units = Units::read(input);
        let operands = || match level {
            DebugInfo::Full => Operands::find(input, &units),
            DebugInfo::None | DebugInfo::Lines => Operands::default(),
        };
        let (map, operands) = rayon::join(|| SourceMap::read(input, &units), operands);
        Source { units, map, operands }
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
    let Parts { info, source, text, .. } = parts;
    let (made, record) = rayon::join(|| sections(parts), || record(info, source, text));
    let (sections, more) = made;
    let warnings = [&source.units.warnings[..], &source.map.warnings, &more].concat();
    Debug { sections, record, warnings }
}

/// The sections, and what was left out.
fn sections(parts: &Parts<'_, '_>) -> (Vec<DebugSection>, Vec<String>) {
    let Source { units, map, .. } = parts.source;
    let mut builder = Builder::new(parts, units, map);
    if parts.level == DebugInfo::Full {
        builder.kept = entries::convert(&mut builder);
    }
    builder.functions();
    builder.variables();
    builder.finish();
    let sections = builder.encode();
    let Builder { dwarf, units, mut warnings, .. } = builder;
    // There is much of it, and nobody has to wait.
    rayon::spawn(move || drop((dwarf, units)));
    let sections = sections.unwrap_or_else(|error| {
        warnings.push(format!("all of it: {error}"));
        Vec::new()
    });
    (sections, warnings)
}

/// A unit that is written.
pub(super) struct OutUnit {
    pub id: UnitId,
    /// Numbers of files in its line program, by those of the source map.
    files: HashMap<u32, (FileId, u64)>,
    /// Numbers that the files have there.
    numbers: HashMap<FileId, u64>,
    /// The rows of its functions.
    lines: Vec<LineSequence>,
    /// Its code: offsets in the text section.
    code: Vec<Range<u32>>,
    /// What stands for an inlined function, by name and linkage name.
    pub abstracts: HashMap<(Vec<u8>, Vec<u8>), UnitEntryId>,
    /// Whether it has the entries of the module's unit.
    pub is_full: bool,
    /// Whether its lines are offsets in the module.
    pub has_offsets: bool,
}

/// A block of the source: the range of its instructions in the wasm file, and its entry.
type Block = (Range<u64>, UnitEntryId);

pub(super) struct Builder<'b, 'a> {
    pub parts: &'b Parts<'b, 'a>,
    pub units_read: &'b Units<'a>,
    pub map: &'b SourceMap,
    pub dwarf: Dwarf,
    encoding: Encoding,
    /// By the number of the source unit; made when code of it is found. The one of the module comes last.
    pub units: Vec<Option<OutUnit>>,
    /// The same numbers, in the order in which the units were made.
    opened: Vec<usize>,
    /// Position of each function of the module in the text section, if it has code.
    ranges: Vec<Option<u32>>,
    /// The first scope of each function in the source map, by where its code starts.
    pub scopes: Arc<HashMap<u64, u32>>,
    /// By where the code of a function starts, once asked for.
    pub inner_scopes: HashMap<u64, Arc<FunctionScopes>>,
    /// How many entries of location lists may be read: variables may share lists.
    pub locations_left: Cell<usize>,
    /// How many scopes of inlined functions were looked at.
    pub scopes_seen: u32,
    /// What entries of the module became, if they are converted.
    pub kept: Vec<Kept>,
    /// What is known of the types of the units that were converted.
    pub types: Vec<Types>,
    /// The inlined calls whose variables are wanted, if the module's entries are converted.
    pub inlined: Vec<InlinedFrame<'b>>,
    /// The blocks of functions that have inlined calls, by unit and where their bodies start, if the module's entries are
    /// converted: offsets in the wasm file, and what the entry became. Outer ones come first.
    pub blocks: HashMap<(UnitId, u64), Vec<Block>>,
    warnings: Vec<String>,
}

impl<'b, 'a> Builder<'b, 'a> {
    fn new(parts: &'b Parts<'b, 'a>, units_read: &'b Units<'a>, map: &'b SourceMap) -> Self {
        let outer = map.scopes.iter().enumerate().filter(|(_, scope)| scope.parent.is_none());
        let mut scopes = HashMap::new();
        for (index, scope) in outer {
            for range in &scope.ranges {
                if let Some(func) = parts.info.debug.function_at(range.start) {
                    scopes.entry(parts.info.debug.bodies[func as usize].start).or_insert(index as u32);
                }
            }
        }
        let address_size = parts.states[0].address_size;
        let functions = parts.text.ranges.iter().enumerate().filter(|(_, range)| range.is_function);
        let position = |(index, range): (usize, &TextRange)| (range.len > 0).then_some(index as u32);
        Builder {
            parts,
            units_read,
            map,
            dwarf: Dwarf::new(),
            encoding: Encoding { format: Format::Dwarf32, version: 5, address_size },
            units: (0..=map.units.len()).map(|_| None).collect(),
            opened: Vec::new(),
            ranges: functions.take(parts.info.debug.bodies.len()).map(position).collect(),
            scopes: Arc::new(scopes),
            inner_scopes: HashMap::new(),
            locations_left: Cell::new(MAX_READINGS.saturating_mul(parts.info.debug.len())),
            scopes_seen: 0,
            kept: Vec::new(),
            types: Vec::new(),
            inlined: Vec::new(),
            blocks: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    /// What the expressions of a unit refer to.
    pub fn state(&self, unit: usize) -> &'b State {
        &self.parts.states[self.units_read.part(unit)]
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

    /// The code of the function that an entry of a unit is about, and where its body is in the wasm file.
    pub fn live_function(
        &self,
        index: usize,
        unit: &gimli::Unit<Slice<'a>>,
        entry: &gimli::DebuggingInformationEntry<Slice<'a>>,
    ) -> Option<(&'b TextRange, u64)> {
        let range = self.units_read.dwarf(index).die_ranges(unit, entry).ok()?.next().ok()??;
        let range = self.parts.info.debug.range(self.units_read.part(index), range.begin..range.end)?;
        let func = self.parts.info.debug.function_at(range.start)? as usize;
        let position = self.ranges.get(func).copied()??;
        Some((&self.parts.text.ranges[position as usize], self.parts.info.debug.bodies[func].start))
    }

    fn functions(&mut self) {
        /// Functions that are looked at at once.
        const BATCH: usize = 512;
        let Parts { info, text, .. } = self.parts;
        let map = self.map;
        let scopes = Arc::clone(&self.scopes);
        let bodies = info.debug.bodies.iter().cloned().chain(std::iter::repeat(0..0));
        let functions = text.ranges.iter().filter(|range| range.is_function).zip(bodies);
        let exports = text.ranges.iter().filter_map(|range| {
            let func = range.export_of?.checked_sub(info.imported_funcs)?;
            Some((range, info.debug.bodies[func as usize].clone()))
        });
        let functions: Vec<_> = functions.chain(exports).filter(|(range, _)| range.len > 0).collect();
        let mut batches = functions.chunks(BATCH);
        let find = |batch: &'_ [(&'b TextRange, Range<u64>)]| -> Vec<Found<'b>> {
            let found = batch.par_iter().map(|(range, body)| Found::new(info, map, &scopes, range, body));
            found.collect()
        };
        let mut next = batches.next().map(|batch| (batch, find(batch)));
        // What is found of a batch is written while other threads look at the next one.
        while let Some((batch, found)) = next {
            let write = || {
                for ((range, body), found) in batch.iter().zip(found) {
                    self.function(range, body, found);
                }
            };
            ((), next) = rayon::join(write, || batches.next().map(|batch| (batch, find(batch))));
        }
    }

    fn function(&mut self, range: &'b TextRange, body: &Range<u64>, found: Found<'b>) {
        let Found { code, unit, rows } = found;
        let mut out = self.units[unit].take().unwrap_or_else(|| self.open(unit));
        out.code.push(code.start..code.start + code.len);
        let rows = match rows {
            Some(rows) => rows,
            None if out.has_offsets => self.offset_rows(&mut out, &code),
            None => self.source_rows(&mut out, &code, body.start),
        };
        self.add_rows(&mut out, rows);
        self.function_entries(&mut out, range, &code, body.start);
        self.units[unit] = Some(out);
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
        let primary = program.files().next().map(|(file, ..)| (file, 0));
        let id = self.dwarf.units.add(Unit::new(self.encoding, program));
        self.opened.push(index);
        let out = OutUnit {
            id,
            files: HashMap::new(),
            numbers: primary.into_iter().collect(),
            lines: Vec::new(),
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
        if self.parts.has_address_table {
            self.set(&out, root, dw::DW_AT_addr_base, output::address_table());
        }
        out
    }

    /// Adds the rows of a function to those of a unit.
    fn add_rows(&mut self, out: &mut OutUnit, rows: LineSequence) {
        if out.lines.is_empty() {
            // What [`lines::insert`] replaces.
            self.dwarf.units.get_mut(out.id).line_program.end_sequence(0);
        }
        out.lines.push(rows);
    }

    /// Rows whose lines are offsets in the wasm file; but what is inlined may have source.
    fn offset_rows(&mut self, out: &mut OutUnit, code: &FunctionCode<'_>) -> LineSequence {
        let (info, map) = (self.parts.info, self.map);
        offset_rows(info, map, code, |row| self.numbered_file(out, row.file).map(|(_, number)| number))
    }

    /// The file whose lines are offsets.
    pub fn offset_file(&self, out: &OutUnit) -> Option<FileId> {
        self.dwarf.units.get(out.id).line_program.files().next().map(|(file, ..)| file)
    }

    /// Rows with lines of the source, for a function whose body starts at `body` in the wasm file.
    fn source_rows(&mut self, out: &mut OutUnit, code: &FunctionCode<'_>, body: u64) -> LineSequence {
        let rows = own_sequence(self.map, code).map_or(0..0, |sequence| sequence.rows.clone());
        let rows = &self.map.rows[rows.start as usize..rows.end as usize];
        // The function's own first row; the compiler leaves nothing before it but what makes the frame.
        let own = &rows[rows.partition_point(|row| row.offset < body)..];
        let declared = self.scopes.get(&body).and_then(|scope| self.map.scopes[*scope as usize].declared);
        // If the code starts with that of another function, which the module's compiler has inlined, its line is not the first one.
        let starts_inlined = self.starts_inlined(body);
        let first = match declared {
            Some((file, line)) if code.is_export || starts_inlined => Row { file, line, ..Row::NONE },
            _ => own.first().copied().unwrap_or(Row::NONE),
        };
        // Where the module's compiler has said that the frame is made; a body may be on the line that its function starts on.
        let start =
            own.iter().take_while(|row| row.prologue_end || (row.file, row.line) == (first.file, first.line));
        let start = start.map(|row| (row.prologue_end, row.offset)).find(|(is_end, _)| *is_end);
        let start = start.map_or(first.offset, |(_, offset)| offset);
        let mut sequence = LineSequence::new(code.start, code.pieces.len());
        let mut last = Row::NONE;
        let mut last_file = lines::FIRST_FILE;
        for piece in &code.pieces {
            let is_prologue = piece.frame == 0 && (piece.wasm == body || piece.wasm < start);
            if is_prologue && piece.code.start > 0 && !code.is_export {
                continue;
            }
            let (row, file) = match self.map.row_with_start(piece.wasm) {
                _ if is_prologue => (
                    // A breakpoint at the line is for the function, and not for what calls it.
                    Row { column: 0, is_statement: !code.is_export, prologue_end: false, ..first },
                    self.numbered_file(out, first.file),
                ),
                Some(row) => (row, self.numbered_file(out, row.file)),
                // Code that belongs to no line.
                None => (Row::NONE, None),
            };
            let file = file.map(|(_, number)| number);
            let row = if file.is_some() { row } else { Row::NONE };
            let is_new_line = (last.file, last.line) != (row.file, row.line) || piece.code.start == 0;
            if !is_new_line && last.column == row.column {
                continue;
            }
            last_file = file.unwrap_or(last_file);
            sequence.row(lines::Row {
                code: piece.code.start,
                file: last_file,
                line: row.line,
                column: row.column,
                // Instructions whose code is part of that of others take their marks along.
                is_statement: row.is_statement && is_new_line,
                prologue_end: row.prologue_end && is_new_line,
            });
            // Debuggers take the second row for the end of the prologue: it has to be one.
            last = if is_prologue { Row::NONE } else { row };
        }
        sequence.end(code.len)
    }

    /// A file of a unit's line program.
    pub fn file(&mut self, out: &mut OutUnit, file: u32) -> Option<FileId> {
        self.numbered_file(out, file).map(|(id, _)| id)
    }

    /// The same, with its number there.
    fn numbered_file(&mut self, out: &mut OutUnit, file: u32) -> Option<(FileId, u64)> {
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
        // Files are numbered as they are added, each once.
        let next = out.numbers.len() as u64;
        let number = *out.numbers.entry(id).or_insert(next);
        out.files.insert(file, (id, number));
        Some((id, number))
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
        ranges: &[Range<u32>],
    ) {
        let ranges: Vec<Range<u32>> =
            ranges.iter().map(|range| code.start + range.start..code.start + range.end).collect();
        set_ranges(self.dwarf.units.get_mut(out.id), entry, &ranges);
    }

    /// The sections.
    fn encode(&mut self) -> std::result::Result<Vec<DebugSection>, String> {
        let mut sections =
            output::encode(&mut self.dwarf, self.parts.endian).map_err(|error| error.to_string())?;
        let opened = self.opened.iter().filter_map(|unit| self.units[*unit].as_ref());
        let units: Vec<&[LineSequence]> =
            opened.map(|unit| &unit.lines[..]).filter(|lines| !lines.is_empty()).collect();
        lines::insert(&mut sections, &units, self.encoding.address_size, self.parts.endian)
            .ok_or("the line tables are too large")?;
        if self.parts.has_address_table {
            output::add_address_table(&mut sections, self.encoding.address_size, self.parts.endian);
        }
        Ok(sections)
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

/// What is known of a function before anything is written of it.
struct Found<'t> {
    code: FunctionCode<'t>,
    /// The number of its source unit.
    unit: usize,
    /// If nothing of the source has a part in them.
    rows: Option<LineSequence>,
}

impl<'t> Found<'t> {
    fn new(
        info: &ModuleInfo<'_>,
        map: &SourceMap,
        scopes: &HashMap<u64, u32>,
        range: &'t TextRange,
        body: &Range<u64>,
    ) -> Found<'t> {
        let code = FunctionCode::new(range, body.start);
        let scope = scopes.get(&body.start).copied();
        let sequence = map.sequence(body.start).or_else(|| own_sequence(map, &code));
        let unit = match (scope, sequence) {
            (Some(scope), _) => map.scopes[scope as usize].unit as usize,
            (None, Some(sequence)) => sequence.unit as usize,
            (None, None) => map.units.len(),
        };
        let has_source = |piece: &Piece| inlined_row(map, piece).is_some();
        let is_plain = unit == map.units.len() && !code.pieces.iter().any(has_source);
        let rows = is_plain.then(|| offset_rows(info, map, &code, |_| None));
        // All that can be done here is: entries are made one after the other.
        code.frames();
        if code.calls.iter().any(|call| scopes.contains_key(&info.debug.bodies[call.callee as usize].start)) {
            code.by_frame();
        }
        Found { code, unit, rows }
    }
}

/// The rows of the source of what a function does itself.
fn own_sequence<'m>(map: &'m SourceMap, code: &FunctionCode<'_>) -> Option<&'m Sequence> {
    let own = code.pieces.iter().filter(|piece| piece.frame == 0);
    own.map(|piece| piece.wasm).find_map(|offset| map.sequence(offset))
}

/// The source of code that is part of an inlined call.
fn inlined_row(map: &SourceMap, piece: &Piece) -> Option<Row> {
    map.row(piece.wasm).filter(|row| piece.frame > 0 && row.line > 0).copied()
}

/// Rows whose lines are offsets in the wasm file, which is the first file of the unit. `file` is asked for the numbers of
/// files of what is inlined and has source.
fn offset_rows(
    info: &ModuleInfo<'_>,
    map: &SourceMap,
    code: &FunctionCode<'_>,
    mut file: impl FnMut(&Row) -> Option<u64>,
) -> LineSequence {
    let mut sequence = LineSequence::new(code.start, code.pieces.len());
    for piece in &code.pieces {
        let source = inlined_row(map, piece).and_then(|row| Some((file(&row)?, row.line, row.column)));
        let (file, line, column) = source.unwrap_or_else(|| (0, info.source_offset(piece.wasm as u32), 0));
        let (start, is_statement) = (piece.code.start, piece.frame > 0 || !code.is_export);
        sequence.row(lines::Row { code: start, file, line, column, is_statement, prologue_end: false });
    }
    sequence.end(code.len)
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
