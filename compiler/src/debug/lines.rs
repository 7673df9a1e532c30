//! Line number programs (DWARF 5, section 6.2), encoded function by function.
//!
//! The code of each function is a sequence of its own. Nothing in it depends on where it is but the address that it starts
//! with, so sequences are encoded on any thread, and put behind the headers of their units at the end. Headers, with the
//! tables of directories and files, are those of `gimli`.

use super::output::DebugSection;
use gimli::constants as dw;
use gimli::write::{Relocation, RelocationTarget};
use gimli::{RunTimeEndian, SectionId};

/// What opcodes of the header mean: `gimli`'s default, which is LLVM's.
const LINE_BASE: i64 = -5;
const LINE_RANGE: u64 = 14;
const OPCODE_BASE: u64 = 13;

/// What follows the length of a program up to its tables: version, sizes of addresses and segments, length of the header.
const LENGTH: usize = 4;
const HEADER_LENGTH: usize = LENGTH + 4;
const HEADER: usize = HEADER_LENGTH + 4;

/// A row: a position of the source, for the code up to the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Offset in the code of the function.
    pub code: u32,
    /// The number of the file in the header.
    pub file: u64,
    pub line: u32,
    pub column: u32,
    pub is_statement: bool,
    pub prologue_end: bool,
}

/// The file of the machine's state when a sequence starts.
pub(super) const FIRST_FILE: u64 = 1;

/// That state.
const FIRST: Row =
    Row { code: 0, file: FIRST_FILE, line: 1, column: 0, is_statement: true, prologue_end: false };

/// The rows of one function.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Offset in the text section.
    start: u32,
    /// Without what sets the address.
    bytes: Vec<u8>,
    last: Row,
}

impl Sequence {
    /// Starts the rows of a function that has its code at an offset in the text section. `rows` is about how many there
    /// will be.
    pub fn new(start: u32, rows: usize) -> Sequence {
        Sequence { start, bytes: Vec::with_capacity(rows * 2 + 16), last: FIRST }
    }

    /// Adds a row, which is not before the last one.
    pub fn row(&mut self, row: Row) {
        let Sequence { bytes, last, .. } = self;
        if row.prologue_end {
            bytes.push(dw::DW_LNS_set_prologue_end.0);
        }
        if row.is_statement != last.is_statement {
            bytes.push(dw::DW_LNS_negate_stmt.0);
        }
        if row.file != last.file {
            bytes.push(dw::DW_LNS_set_file.0);
            unsigned(bytes, row.file);
        }
        if row.column != last.column {
            bytes.push(dw::DW_LNS_set_column.0);
            unsigned(bytes, row.column.into());
        }
        let lines = i64::from(row.line) - i64::from(last.line);
        let code = u64::from(row.code.saturating_sub(last.code));
        // A special opcode advances both and adds the row; what it cannot is done before.
        let in_range = u64::try_from(lines - LINE_BASE).ok().filter(|lines| *lines < LINE_RANGE);
        if in_range.is_none() {
            bytes.push(dw::DW_LNS_advance_line.0);
            signed(bytes, lines);
        }
        let line_part = OPCODE_BASE + in_range.unwrap_or((-LINE_BASE) as u64);
        let most = (255 - line_part) / LINE_RANGE;
        // What `DW_LNS_const_add_pc` adds.
        let constant = (255 - OPCODE_BASE) / LINE_RANGE;
        let rest = match code {
            _ if code <= most => code,
            _ if (constant..=constant + most).contains(&code) => {
                bytes.push(dw::DW_LNS_const_add_pc.0);
                code - constant
            }
            _ => {
                bytes.push(dw::DW_LNS_advance_pc.0);
                unsigned(bytes, code);
                0
            }
        };
        let is_plain = (in_range.is_none() || lines == 0) && rest == 0;
        bytes.push(match is_plain {
            true => dw::DW_LNS_copy.0,
            false => (line_part + rest * LINE_RANGE) as u8,
        });
        *last = row;
    }

    /// Ends the sequence, at the end of the code.
    pub fn end(mut self, len: u32) -> Sequence {
        let rest = len.saturating_sub(self.last.code);
        if rest > 0 {
            self.bytes.push(dw::DW_LNS_advance_pc.0);
            unsigned(&mut self.bytes, rest.into());
        }
        self.bytes.extend([0, 1, dw::DW_LNE_end_sequence.0]);
        self
    }
}

fn unsigned(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn signed(bytes: &mut Vec<u8>, mut number: i64) {
    // The sign is the second bit of the last byte.
    while !(-0x40..0x40).contains(&number) {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8 & 0x7f);
}

/// Puts the sequences of units behind the headers of their programs. A program that has something behind its header is the
/// next one of `units`, and what it has is replaced. Says whether the sections are what they have to be.
pub(super) fn insert(
    sections: &mut [DebugSection],
    units: &[&[Sequence]],
    address_size: u8,
    endian: RunTimeEndian,
) -> Option<()> {
    let mut units = units.iter();
    // Where each program was, and where it is now.
    let mut moved: Vec<(usize, usize)> = Vec::new();
    if let Some(section) = sections.iter_mut().find(|section| section.id == SectionId::DebugLine) {
        let old = std::mem::take(&mut section.bytes);
        let mut relocations = std::mem::take(&mut section.relocations).into_iter().peekable();
        let mut at = 0;
        while at < old.len() {
            let word = |at: usize| Some(read(old.get(at..)?.first_chunk()?, endian) as usize);
            let end = at + LENGTH + word(at)?;
            let header_end = at + HEADER + word(at + HEADER_LENGTH)?;
            let start = section.bytes.len();
            moved.push((at, start));
            section.bytes.extend_from_slice(old.get(at..header_end)?);
            while let Some(mut relocation) = relocations.next_if(|relocation| relocation.offset < end) {
                relocation.offset = relocation.offset - at + start;
                section.relocations.push(relocation);
            }
            if header_end < end {
                add(section, units.next()?, address_size);
            }
            let len = u32::try_from(section.bytes.len() - start - LENGTH).ok()?;
            section.bytes[start..start + LENGTH].copy_from_slice(&match endian {
                RunTimeEndian::Big => len.to_be_bytes(),
                RunTimeEndian::Little => len.to_le_bytes(),
            });
            at = end;
        }
    }
    let references = sections.iter_mut().flat_map(|section| &mut section.relocations);
    for reference in
        references.filter(|reference| reference.target == RelocationTarget::Section(SectionId::DebugLine))
    {
        let old = usize::try_from(reference.addend).ok()?;
        let program = moved.binary_search_by_key(&old, |(old, _)| *old).ok()?;
        reference.addend = i64::try_from(moved[program].1).ok()?;
    }
    units.next().is_none().then_some(())
}

/// Adds the sequences of a unit.
fn add(section: &mut DebugSection, sequences: &[Sequence], address_size: u8) {
    section.bytes.reserve(sequences.iter().map(|sequence| sequence.bytes.len() + 16).sum());
    for Sequence { start, bytes, .. } in sequences {
        section.bytes.extend([0, 1 + address_size, dw::DW_LNE_set_address.0]);
        section.relocations.push(Relocation {
            offset: section.bytes.len(),
            size: address_size,
            target: RelocationTarget::Symbol(0),
            addend: i64::from(*start),
            eh_pe: None,
        });
        section.bytes.resize(section.bytes.len() + usize::from(address_size), 0);
        section.bytes.extend_from_slice(bytes);
    }
}

fn read(bytes: &[u8; 4], endian: RunTimeEndian) -> u32 {
    match endian {
        RunTimeEndian::Big => u32::from_be_bytes(*bytes),
        RunTimeEndian::Little => u32::from_le_bytes(*bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::write::{
        Address, DebugLine, Dwarf, EndianVec, LineProgram, LineString, Sections, Unit, Writer as _,
    };
    use gimli::{Encoding, Format, LineEncoding};

    /// Rows as `gimli` encodes them, and as they are encoded here.
    fn check(rows: &[Row], len: u32) {
        let encoding = Encoding { format: Format::Dwarf32, version: 5, address_size: 8 };
        let name = || LineString::String(b"x".to_vec());
        let mut program = LineProgram::new(encoding, LineEncoding::default(), name(), None, name(), None);
        let directory = program.default_directory();
        let files: Vec<_> = (0..4)
            .map(|file| {
                let name = LineString::String(vec![b'a' + file]);
                program.add_file(name, directory, None)
            })
            .collect();
        program.begin_sequence(Some(Address::Constant(0)));
        let mut sequence = Sequence::new(0, rows.len());
        for row in rows {
            sequence.row(*row);
            let to = program.row();
            to.address_offset = row.code.into();
            to.file = files[row.file as usize - 1];
            (to.line, to.column) = (row.line.into(), row.column.into());
            (to.is_statement, to.prologue_end) = (row.is_statement, row.prologue_end);
            program.generate_row();
        }
        program.end_sequence(len.into());
        let sequence = sequence.end(len);
        let mut dwarf = Dwarf::new();
        dwarf.units.add(Unit::new(encoding, program));
        let mut sections = Sections::new(EndianVec::new(gimli::LittleEndian));
        dwarf.write(&mut sections).unwrap();
        let DebugLine(written) = &sections.debug_line;
        assert!(
            written.slice().ends_with(&sequence.bytes),
            "{rows:?}\n{:x?}\n{:x?}",
            written.slice(),
            sequence.bytes
        );
        assert_eq!(written.slice()[written.len() - sequence.bytes.len() - 8..][..8], [0; 8]);
    }

    #[test]
    fn rows_are_those_of_gimli() {
        check(&[], 0);
        check(&[], 300);
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for most in [1, 4, 16, 17, 18, 30, 40, 300, 100_000] {
            for _ in 0..200 {
                let mut code = 0;
                let rows: Vec<Row> = (0..random(20))
                    .map(|_| {
                        code += random(most) as u32;
                        Row {
                            code,
                            file: 1 + random(4),
                            line: random(most) as u32,
                            column: random(most.min(3)) as u32,
                            is_statement: random(2) == 0,
                            prologue_end: random(8) == 0,
                        }
                    })
                    .collect();
                check(&rows, code + random(most) as u32);
            }
        }
        check(&[Row { line: u32::MAX, ..FIRST }, Row { code: u32::MAX - 1, line: 0, ..FIRST }], u32::MAX);
    }
}
