//! Module → source, as a value: which source line, in which inlined functions, each instruction of the module came from.
//!
//! Made from the module's DWARF ([`SourceMap::read`]); all positions are offsets in the wasm file, as traps and line
//! tables of the compiler have them.

use super::input::{Input, Slice, Units};
use super::mappings;
use crate::error::Result;
use gimli::read::{DebuggingInformationEntry, Operation, Unit};
use gimli::{DwAt, DwLang, constants as dw};
use std::collections::HashMap;

/// Scopes that lie in each other: deeper ones are left out.
const MAX_DEPTH: usize = 256;

/// References that are followed to find a name.
const MAX_REFERENCES: usize = 8;

/// Where the instructions of a module came from.
#[derive(Debug, Default)]
pub struct SourceMap {
    /// Compilation units, in the order of the module.
    pub(crate) units: Vec<SourceUnit>,
    /// Files, each once.
    pub(crate) files: Vec<SourceFile>,
    /// Parts of the code, ascending and apart from each other.
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) rows: Vec<Row>,
    /// For each unit, its files by their numbers in the module.
    pub(crate) numbers: Vec<FileNumbers>,
    /// Functions and what is inlined into them. A scope comes before those in it.
    pub(crate) scopes: Vec<Scope>,
    /// For functions, counted without imported ones: the local that holds the address of the frame in the guest's memory.
    pub(crate) frame_locals: HashMap<u32, u32>,
    /// Where code of a function starts, and its scope. Ascending.
    functions: Vec<(u64, u32)>,
    /// What was left out, for the user.
    pub warnings: Vec<String>,
}

/// A compilation unit.
#[derive(Debug, Default)]
pub(crate) struct SourceUnit {
    pub name: Vec<u8>,
    pub directory: Vec<u8>,
    pub producer: Vec<u8>,
    pub language: Option<DwLang>,
}

impl SourceUnit {
    /// Whether it is written in C.
    pub fn is_c(&self) -> bool {
        matches!(
            self.language,
            Some(dw::DW_LANG_C | dw::DW_LANG_C89 | dw::DW_LANG_C99 | dw::DW_LANG_C11 | dw::DW_LANG_C17)
        )
    }
}

/// A source file: its directory, absolute where the module says so, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceFile {
    pub directory: Vec<u8>,
    pub name: Vec<u8>,
}

impl SourceFile {
    /// The path, absolute where the module says so.
    pub fn path(&self) -> Vec<u8> {
        match self.directory.is_empty() || self.name.starts_with(b"/") {
            true => self.name.clone(),
            false => [&self.directory[..], &self.name].join(&b'/'),
        }
    }
}

/// Rows for a range of the code.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub start: u64,
    pub end: u64,
    /// In `units`.
    pub unit: u32,
    /// In `rows`.
    pub rows: std::ops::Range<u32>,
}

/// A source position, of the instructions up to the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub offset: u64,
    /// In `files`.
    pub file: u32,
    /// 0: no line, code of the compiler's own.
    pub line: u32,
    pub column: u32,
    pub is_statement: bool,
    pub prologue_end: bool,
}

impl Row {
    /// What is said of code of which nothing is known.
    pub const NONE: Row =
        Row { offset: 0, file: 0, line: 0, column: 0, is_statement: false, prologue_end: false };
}

/// A function, or a call that was inlined.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The scope that it is inlined into.
    pub parent: Option<u32>,
    pub unit: u32,
    /// Where the unit has the entry.
    pub entry: usize,
    /// As in the source.
    pub name: Vec<u8>,
    /// As linkers know it; empty where that is the same.
    pub linkage_name: Vec<u8>,
    /// In `files`, and a line: where it is declared.
    pub declared: Option<(u32, u32)>,
    /// For an inlined call: file, line and column of the call.
    pub call: Option<(u32, u32, u32)>,
    /// Offsets in the wasm file. Ascending.
    pub ranges: Vec<std::ops::Range<u64>>,
}

/// A position in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// Bytes, mostly UTF-8. May be relative.
    pub directory: &'a [u8],
    pub file: &'a [u8],
    /// 0 if it is not known.
    pub line: u32,
    /// 0 if it is not known.
    pub column: u32,
}

/// A function of the source that an instruction is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub function: &'a [u8],
    /// Mangled, if the language does that.
    pub linkage_name: &'a [u8],
    /// The instruction's position, or, in the functions that others are inlined into, that of the call.
    pub location: Option<Location<'a>>,
}

impl SourceMap {
    /// Takes from the DWARF of a module in the binary format, or from a source map in it, what that says of the code. Empty if
    /// there is none.
    ///
    /// # Errors
    /// If the bytes are no module. Its code is not validated.
    pub fn new(wasm: &[u8]) -> Result<SourceMap> {
        let input = Input::of_module(wasm)?;
        Ok(SourceMap::read(&input, &Units::read(&input)))
    }

    /// Takes from a module's DWARF, or else its source map, what it says of the code. Damaged parts are left out.
    pub(crate) fn read<'a>(input: &Input<'a>, units: &Units<'a>) -> SourceMap {
        if let Some(json) = input.source_map() {
            return mappings::read(input, &json);
        }
        let (map, files) = (SourceMap::default(), HashMap::new());
        let mut reader = Reader { input, units, index: 0, map, files };
        for index in 0..units.len() {
            let unit = units.get(index);
            reader.index = index;
            if let Err(error) = reader.unit(unit) {
                let name = unit.name.map_or(String::from("?"), |name| name.to_string_lossy().into_owned());
                reader.map.warnings.push(format!("lines of unit {index}, `{name}`: {error}"));
            }
        }
        let mut map = reader.map;
        map.finish();
        map
    }

    /// The source position of the instruction at an offset in the wasm file.
    pub fn location(&self, wasm_offset: u64) -> Option<Location<'_>> {
        self.row(wasm_offset).and_then(|row| self.position(row.file, row.line, row.column))
    }

    /// The functions that the instruction at an offset in the wasm file is in: the innermost inlined one first, the one that
    /// has the code last. Empty if nothing is known of it.
    pub fn frames(&self, wasm_offset: u64) -> Vec<Frame<'_>> {
        let holds = |scope: &Scope| scope.ranges.iter().any(|range| range.contains(&wasm_offset));
        let Some(mut inner) = self.function_scope(wasm_offset) else { return Vec::new() };
        let mut chain = vec![inner];
        // Scopes come before those in them.
        for index in inner + 1..self.scopes.len() as u32 {
            let scope = &self.scopes[index as usize];
            match scope.parent {
                None => break,
                Some(parent) if parent == inner && holds(scope) => {
                    chain.push(index);
                    inner = index;
                }
                _ => {}
            }
        }
        let mut location = self.location(wasm_offset);
        let mut frames = Vec::new();
        for index in chain.into_iter().rev() {
            let scope = &self.scopes[index as usize];
            frames.push(Frame { function: &scope.name, linkage_name: &scope.linkage_name, location });
            location = scope.call.and_then(|(file, line, column)| self.position(file, line, column));
        }
        frames
    }

    /// The scope of the function that an instruction is in.
    pub(crate) fn function_scope(&self, wasm_offset: u64) -> Option<u32> {
        let next = self.functions.partition_point(|(start, _)| *start <= wasm_offset);
        let index = self.functions[next.checked_sub(1)?].1;
        let ranges = &self.scopes[index as usize].ranges;
        ranges.iter().any(|range| range.contains(&wasm_offset)).then_some(index)
    }

    /// The row of an instruction.
    pub(crate) fn row(&self, wasm_offset: u64) -> Option<&Row> {
        let sequence = self.sequence(wasm_offset)?;
        let rows = &self.rows[sequence.rows.start as usize..sequence.rows.end as usize];
        let next = rows.partition_point(|row| row.offset <= wasm_offset);
        rows.get(next.checked_sub(1)?)
    }

    /// The same, with the marks of all rows before it that are of the same line.
    pub(crate) fn row_with_start(&self, wasm_offset: u64) -> Option<Row> {
        /// Rows that are looked at.
        const MOST: usize = 32;
        let sequence = self.sequence(wasm_offset)?;
        let rows = &self.rows[sequence.rows.start as usize..sequence.rows.end as usize];
        let next = rows.partition_point(|row| row.offset <= wasm_offset);
        let mut row = *rows.get(next.checked_sub(1)?)?;
        let line = (row.file, row.line);
        let before = rows[..next].iter().rev().take(MOST);
        for other in before.take_while(|other| (other.file, other.line) == line) {
            row.is_statement |= other.is_statement;
            row.prologue_end |= other.prologue_end;
        }
        Some(row)
    }

    /// The sequence of an instruction.
    pub(crate) fn sequence(&self, wasm_offset: u64) -> Option<&Sequence> {
        let next = self.sequences.partition_point(|sequence| sequence.start <= wasm_offset);
        let sequence = &self.sequences[next.checked_sub(1)?];
        (wasm_offset < sequence.end).then_some(sequence)
    }

    fn position(&self, file: u32, line: u32, column: u32) -> Option<Location<'_>> {
        let file = self.files.get(file as usize)?;
        Some(Location { directory: &file.directory, file: &file.name, line, column })
    }

    /// Puts the sequences in order; of those that overlap the first one stays.
    fn finish(&mut self) {
        self.sequences.sort_by_key(|sequence| (sequence.start, sequence.end));
        let before = self.sequences.len();
        let mut end = 0;
        self.sequences.retain(|sequence| {
            let fits = sequence.start >= end;
            if fits {
                end = sequence.end;
            }
            fits
        });
        if self.sequences.len() < before {
            let lost = before - self.sequences.len();
            self.warnings.push(format!("{lost} parts of the line table describe the same code as others"));
        }
        let outer = self.scopes.iter().enumerate().filter(|(_, scope)| scope.parent.is_none());
        let starts = outer
            .flat_map(|(index, scope)| scope.ranges.iter().map(move |range| (range.start, index as u32)));
        self.functions = starts.collect();
        self.functions.sort_unstable();
    }
}

struct Reader<'i, 'a> {
    input: &'i Input<'a>,
    units: &'i Units<'a>,
    /// The unit that is read.
    index: usize,
    map: SourceMap,
    files: HashMap<SourceFile, u32>,
}

/// Files of a unit's line program, by their number there.
pub(crate) type FileNumbers = HashMap<u64, u32>;

impl<'a> Reader<'_, 'a> {
    fn unit(&mut self, unit: &Unit<Slice<'a>>) -> gimli::Result<()> {
        let text = |value: Option<Slice<'a>>| value.map_or(Vec::new(), |value| value.slice().to_vec());
        let mut entries = unit.entries();
        let root = entries.next_dfs()?.map(|root| {
            let producer = root.attr_value(dw::DW_AT_producer);
            let producer =
                producer.and_then(|value| self.units.dwarf(self.index).attr_string(unit, value).ok());
            let language = match root.attr_value(dw::DW_AT_language) {
                Some(gimli::AttributeValue::Language(language)) => Some(language),
                _ => None,
            };
            (producer, language)
        });
        let (producer, language) = root.unwrap_or_default();
        self.map.units.push(SourceUnit {
            name: text(unit.name),
            directory: text(unit.comp_dir),
            producer: text(producer),
            language,
        });
        let files = self.lines(unit)?;
        let scopes = self.scopes(unit, &files);
        self.map.numbers.resize_with(self.map.units.len(), FileNumbers::new);
        *self.map.numbers.last_mut().expect("as many as there are units") = files;
        scopes
    }

    /// Takes the rows of a unit's line program.
    fn lines(&mut self, unit: &Unit<Slice<'a>>) -> gimli::Result<FileNumbers> {
        let Some(program) = unit.line_program.clone() else { return Ok(HashMap::new()) };
        let index = self.map.units.len() as u32 - 1;
        let mut numbers = HashMap::new();
        let header = program.header().clone();
        let files = header.file_names().len() as u64;
        // Before version 5 they count from 1.
        let first = u64::from(header.version() < 5);
        for number in first..first + files {
            let Some(file) = header.file(number) else { continue };
            if let Some(file) = self.file(unit, &header, file) {
                numbers.insert(number, file);
            }
        }
        let mut rows = program.rows();
        let mut sequence: Vec<Row> = Vec::new();
        let mut is_live = true;
        while let Some((_, row)) = rows.next_row()? {
            let Some(offset) = self.row_offset(row, &sequence) else { continue };
            if sequence.is_empty() {
                is_live = self.input.function_at(offset).is_some();
            }
            if row.end_sequence() {
                if let Some(first) = sequence.first()
                    && is_live
                    && first.offset < offset
                {
                    let start = self.map.rows.len() as u32;
                    let range = start..start + sequence.len() as u32;
                    self.map.sequences.push(Sequence {
                        start: first.offset,
                        end: offset,
                        unit: index,
                        rows: range,
                    });
                    self.map.rows.append(&mut sequence);
                }
                sequence.clear();
                continue;
            }
            // Linkers keep the lines of functions that they drop, at an address that is none.
            let is_behind = sequence.last().is_none_or(|last| last.offset <= offset);
            if is_behind && (is_live || sequence.is_empty()) {
                sequence.push(Row {
                    offset,
                    file: numbers.get(&row.file_index()).copied().unwrap_or(u32::MAX),
                    line: row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
                    column: match row.column() {
                        gimli::ColumnType::LeftEdge => 0,
                        gimli::ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
                    },
                    is_statement: row.is_stmt(),
                    prologue_end: row.prologue_end(),
                });
            }
        }
        Ok(numbers)
    }

    /// Where in the file the code of a row is. Nothing if it was left out, but ends of sequences are needed.
    fn row_offset(&self, row: &gimli::LineRow, sequence: &[Row]) -> Option<u64> {
        let offset = self.input.offset(self.units.part(self.index), row.address());
        match (offset, sequence.last()) {
            (None, Some(last)) if row.end_sequence() => {
                let func = self.input.function_at(last.offset)?;
                Some(self.input.bodies[func as usize].end)
            }
            (None, None) if row.end_sequence() => Some(0),
            (offset, _) => offset,
        }
    }

    /// The number of a file of a line program.
    fn file(
        &mut self,
        unit: &Unit<Slice<'a>>,
        header: &gimli::LineProgramHeader<Slice<'a>>,
        file: &gimli::FileEntry<Slice<'a>>,
    ) -> Option<u32> {
        let name = self.units.dwarf(self.index).attr_string(unit, file.path_name()).ok()?.slice().to_vec();
        let directory =
            file.directory(header).and_then(|dir| self.units.dwarf(self.index).attr_string(unit, dir).ok());
        let mut directory = directory.map_or(Vec::new(), |directory| directory.slice().to_vec());
        let base = unit.comp_dir.map_or(&b""[..], |base| base.slice());
        if !directory.starts_with(b"/") && !base.is_empty() && directory != base {
            directory = match directory.is_empty() {
                true => base.to_vec(),
                false => [base, &directory].join(&b'/'),
            };
        }
        if name.is_empty() {
            return None;
        }
        let file = SourceFile { directory, name };
        if let Some(known) = self.files.get(&file) {
            return Some(*known);
        }
        let index = self.map.files.len() as u32;
        self.map.files.push(file.clone());
        self.files.insert(file, index);
        Some(index)
    }

    /// Takes the functions of a unit that have code, and what is inlined into them.
    fn scopes(&mut self, unit: &Unit<Slice<'a>>, files: &FileNumbers) -> gimli::Result<()> {
        let unit_index = self.map.units.len() as u32 - 1;
        let mut entries = unit.entries_raw(None)?;
        let mut entry = DebuggingInformationEntry::null();
        // The scopes around the entry: depth in the tree, and index.
        let mut around: Vec<(isize, u32)> = Vec::new();
        while !entries.is_empty() {
            let (depth, this) = (entries.next_depth(), entries.clone());
            let Some(shape) = entries.read_abbreviation()? else { continue };
            // Most entries are others: their attributes are not looked at.
            entries.skip_attributes(shape.attributes())?;
            around.retain(|(outer, _)| *outer < depth);
            let is_function = shape.tag() == dw::DW_TAG_subprogram;
            if !is_function && shape.tag() != dw::DW_TAG_inlined_subroutine || around.len() >= MAX_DEPTH {
                continue;
            }
            entries = this;
            entries.read_entry(&mut entry)?;
            let mut ranges = Vec::new();
            let mut found = self.units.dwarf(self.index).die_ranges(unit, &entry)?;
            while let Some(range) = found.next()? {
                let range = self.input.range(self.units.part(self.index), range.begin..range.end);
                let is_live = |range: &std::ops::Range<u64>| {
                    range.start < range.end && self.input.function_at(range.start).is_some()
                };
                ranges.extend(range.filter(is_live));
            }
            ranges.sort_by_key(|range| range.start);
            if ranges.is_empty() {
                continue;
            }
            let parent = around.last().map(|(_, index)| *index);
            if is_function == parent.is_some() {
                continue;
            }
            if is_function
                && let Some(gimli::AttributeValue::Exprloc(base)) = entry.attr_value(dw::DW_AT_frame_base)
                && let Ok(Some(Operation::WasmLocal { index })) = base.operations(unit.encoding()).next()
                && let Some(func) = self.input.function_at(ranges[0].start)
            {
                self.map.frame_locals.insert(func, index);
            }
            let number = |name: DwAt| entry.attr_value(name).and_then(constant);
            let small = |name| number(name).and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
            let file = |name| number(name).and_then(|value| files.get(&value).copied());
            let names = self.names(unit, entry.offset());
            let index = self.map.scopes.len() as u32;
            self.map.scopes.push(Scope {
                parent,
                unit: unit_index,
                entry: entry.offset().0,
                name: names.name.unwrap_or_default(),
                linkage_name: names.linkage_name.unwrap_or_default(),
                declared: names.file.and_then(|file| Some((*files.get(&file)?, names.line))),
                call: match is_function {
                    true => None,
                    false => file(dw::DW_AT_call_file)
                        .map(|file| (file, small(dw::DW_AT_call_line), small(dw::DW_AT_call_column))),
                },
                ranges,
            });
            around.push((depth, index));
        }
        Ok(())
    }

    /// What a function is called, by itself or what it is an instance of.
    fn names(&self, unit: &Unit<Slice<'a>>, offset: gimli::UnitOffset) -> Names {
        let mut names = Names::default();
        let (mut unit, mut offset) = (unit, offset);
        for _ in 0..MAX_REFERENCES {
            let Ok(entry) = unit.entry(offset) else { break };
            let text = |name: DwAt| {
                let value = self.units.dwarf(self.index).attr_string(unit, entry.attr_value(name)?).ok()?;
                Some(value.slice().to_vec())
            };
            names.name = names.name.or_else(|| text(dw::DW_AT_name));
            names.linkage_name = names.linkage_name.or_else(|| text(dw::DW_AT_linkage_name));
            let number = |name: DwAt| entry.attr_value(name).and_then(constant);
            if names.file.is_none()
                && let Some(file) = number(dw::DW_AT_decl_file)
            {
                let line = number(dw::DW_AT_decl_line).and_then(|line| u32::try_from(line).ok());
                (names.file, names.line) = (Some(file), line.unwrap_or(0));
            }
            let next = entry.attr_value(dw::DW_AT_abstract_origin);
            match next.or_else(|| entry.attr_value(dw::DW_AT_specification)) {
                Some(gimli::AttributeValue::UnitRef(next)) => offset = next,
                // In another unit, as link-time optimisation leaves it.
                Some(gimli::AttributeValue::DebugInfoRef(next)) => {
                    let Some((found, at)) = self.units.find(self.index, next) else { break };
                    (unit, offset) = (self.units.get(found), at);
                    // Its files have other numbers.
                    names.file = names.file.or(Some(u64::MAX));
                }
                _ => break,
            }
        }
        names
    }
}

/// A number, of a file or another one.
fn constant(value: gimli::AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        gimli::AttributeValue::FileIndex(number) => Some(number),
        other => other.udata_value(),
    }
}

#[derive(Default)]
struct Names {
    name: Option<Vec<u8>>,
    linkage_name: Option<Vec<u8>>,
    /// As the unit numbers it.
    file: Option<u64>,
    line: u32,
}
