//! The source positions of a module's machine code, for backtraces: what the runtime prints of a trap beside names.
//!
//! Debug information has the same and more, but takes a library to read. This is read without allocation, by the handler of a
//! signal, in place. It is a section that is not loaded: [`SECTION`].
//!
//! ```text
//! 0   magic      8 bytes
//! 8   u32        number of functions
//! 12  u32        number of strings
//! 16  functions  u32 offset in the text section, u32 place of the block; ascending
//!     strings    u32 place
//!     blocks, bytes of strings: places are offsets from the start
//! ```
//! A string is its length and its bytes in UTF-8; the first one is empty, and stands for what is not known. A block is a
//! sequence of numbers:
//!
//! ```text
//! length of the code, name (a string), number of inlined calls
//! each inlined call  the one that it is part of (0: none, 1: the first; itself: the function's frame has become that of the
//!                    callee), name, and of the call: file (a string), line, column
//! number of rows
//! each row           bytes of code since the last row × 2 + 1 if it is in the same file and inlined call as that; if not:
//!                    inlined call (0: none, 1: the first), file; lines since the last row (signed), column
//! ```
//! All that is read may be damaged: then less is known, and nothing worse.

use crate::cursor::{DecodeError, Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;

/// Name of the section. What it starts with makes `strip` and its kin take it for debug information.
pub const SECTION: &str = ".debug_aot";

/// Name of the runtime's function that prints functions with their source positions, for the descriptor.
pub const PRINTER: &str = "aot_print_source";

/// What the section starts with.
pub const MAGIC: &[u8; 8] = b"aotsrc\0\x01";
const HEADER_LEN: usize = 16;
const FUNCTION_LEN: usize = 8;

/// Calls inlined into each other, at most.
pub const MAX_INLINED: usize = 256;

/// A position in the source. Zeros stand for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// A string.
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// The machine code of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionSource {
    /// Offset in the text section.
    pub offset: u32,
    /// In bytes.
    pub len: u32,
    /// A string; 0 if the module description has its name.
    pub name: u32,
    pub inlined: Vec<Inlined>,
    /// Ascending.
    pub rows: Vec<Row>,
}

/// A call that was inlined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inlined {
    /// 0 if the function makes the call, else 1 more than the place of the inlined call that does. They come first. 1 more
    /// than its own place if nothing is left of the caller, as after a tail call.
    pub parent: u32,
    /// The function that is called: a string.
    pub name: u32,
    pub call: Position,
}

/// Where the code came from, up to the next row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Offset in the function's code.
    pub offset: u32,
    /// 0, or 1 more than the place of an inlined call.
    pub inlined: u32,
    pub position: Position,
}

/// Encodes the positions of functions, which are ascending, with the strings that they refer to: the first one is empty.
/// Nothing if they take more than 4 GiB.
pub fn encode(functions: &[FunctionSource], strings: &[String]) -> Option<Vec<u8>> {
    let tables = HEADER_LEN + functions.len() * FUNCTION_LEN + strings.len() * 4;
    let mut content = Writer::default();
    let mut places = Vec::with_capacity(functions.len());
    for function in functions {
        places.push(tables + content.bytes.len());
        encode_block(&mut content, function);
    }
    let mut string_places = Vec::with_capacity(strings.len());
    for string in strings {
        string_places.push(tables + content.bytes.len());
        content.str(string);
    }
    let mut w = Writer::default();
    w.raw(MAGIC);
    w.fixed_u32(u32::try_from(functions.len()).ok()?);
    w.fixed_u32(u32::try_from(strings.len()).ok()?);
    for (function, place) in functions.iter().zip(places) {
        w.fixed_u32(function.offset);
        w.fixed_u32(u32::try_from(place).ok()?);
    }
    for place in string_places {
        w.fixed_u32(u32::try_from(place).ok()?);
    }
    w.raw(&content.bytes);
    Some(w.bytes)
}

fn encode_block(w: &mut Writer, function: &FunctionSource) {
    w.u32(function.len);
    w.u32(function.name);
    w.list(&function.inlined, |w, inlined| {
        let Inlined { parent, name, call: Position { file, line, column } } = *inlined;
        [parent, name, file, line, column].into_iter().for_each(|number| w.u32(number));
    });
    let mut last = Row::default();
    w.list(&function.rows, |w, row| {
        let Row { offset, inlined, position: Position { file, line, column } } = *row;
        let is_same = (inlined, file) == (last.inlined, last.position.file);
        w.u64(u64::from(offset.wrapping_sub(last.offset)) << 1 | u64::from(is_same));
        if !is_same {
            w.u32(inlined);
            w.u32(file);
        }
        w.i64(i64::from(line) - i64::from(last.position.line));
        w.u32(column);
        last = *row;
    });
}

/// The source positions of a module, encoded.
#[derive(Clone, Copy, Debug)]
pub struct SourceLines<'a> {
    bytes: &'a [u8],
    functions: u32,
}

/// A function of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFrame<'a> {
    /// Empty if the module description has the name.
    pub function: &'a str,
    /// Empty if it is not known.
    pub file: &'a str,
    /// 0 if it is not known.
    pub line: u32,
    /// 0 if it is not known.
    pub column: u32,
}

impl<'a> SourceLines<'a> {
    /// Checks the header.
    ///
    /// # Errors
    /// If the bytes are not those of this version.
    pub fn new(bytes: &'a [u8]) -> Result<SourceLines<'a>, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.raw(MAGIC.len()) != MAGIC {
            return Err(DecodeError { offset: 0, expected: "source positions of this version" });
        }
        let functions = r.fixed_u32();
        r.check()?;
        Ok(SourceLines { bytes, functions })
    }

    /// A number at a place; `None` behind the end.
    fn word(&self, place: usize) -> Option<u32> {
        let bytes = self.bytes.get(place..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    fn string(&self, number: u32) -> &'a str {
        let table = HEADER_LEN + self.functions as usize * FUNCTION_LEN;
        let place = self.word(table.saturating_add(number as usize * 4));
        let bytes = place.and_then(|place| self.bytes.get(place as usize..));
        bytes.map_or("", |bytes| Reader::new(bytes).str_ref())
    }

    /// Offset in the text section, and block, of the function that may contain a byte of the text section.
    fn block(&self, text_offset: u32) -> Option<(u32, Reader<'a>)> {
        let entry = |index: u32| HEADER_LEN + index as usize * FUNCTION_LEN;
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.word(entry(middle))? <= text_offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = entry(low.checked_sub(1)?);
        let block = self.bytes.get(self.word(found + 4)? as usize..)?;
        Some((self.word(found)?, Reader::new(block)))
    }

    /// The functions of the source that a byte of the text section is of: the innermost inlined one first, the one that has
    /// the code last. `None` if nothing is known of it.
    pub fn frames(&self, text_offset: u32) -> Option<SourceFrames<'a>> {
        let (start, mut r) = self.block(text_offset)?;
        let (len, name, count) = (r.u32(), r.u32(), r.u32());
        let wanted = text_offset - start;
        let inlined = r.clone();
        skip_inlined(&mut r, count);
        let mut found = None;
        read_rows(&mut r, |row| {
            let is_before = row.offset <= wanted;
            if is_before {
                found = Some(row);
            }
            is_before
        });
        let row = found.filter(|_| wanted < len)?;
        let Row { inlined: next, position, .. } = row;
        Some(SourceFrames {
            lines: *self,
            name,
            inlined,
            count,
            next: Some(next),
            position,
            left: MAX_INLINED,
        })
    }

    /// The rows of the function whose code contains a byte of the text section: offset in its code, file, line.
    pub fn rows(&self, text_offset: u32, mut visit: impl FnMut(u32, &'a str, u32)) {
        let Some((_, mut r)) = self.block(text_offset) else { return };
        let (_, _, count) = (r.u32(), r.u32(), r.u32());
        skip_inlined(&mut r, count);
        read_rows(&mut r, |row| {
            visit(row.offset, self.string(row.position.file), row.position.line);
            true
        });
    }
}

fn read_inlined(r: &mut Reader<'_>) -> Inlined {
    let (parent, name) = (r.u32(), r.u32());
    Inlined { parent, name, call: Position { file: r.u32(), line: r.u32(), column: r.u32() } }
}

fn skip_inlined(r: &mut Reader<'_>, count: u32) {
    for _ in 0..count {
        if r.check().is_err() {
            return;
        }
        read_inlined(r);
    }
}

/// Reads rows while `visit` wants them.
fn read_rows(r: &mut Reader<'_>, mut visit: impl FnMut(Row) -> bool) {
    let mut row = Row::default();
    for _ in 0..r.u32() {
        let head = r.u64();
        row.offset = row.offset.wrapping_add((head >> 1) as u32);
        if head & 1 == 0 {
            row.inlined = r.u32();
            row.position.file = r.u32();
        }
        row.position.line = row.position.line.wrapping_add(r.i64() as u32);
        row.position.column = r.u32();
        if r.check().is_err() || !visit(row) {
            return;
        }
    }
}

/// See [`SourceLines::frames`].
#[derive(Clone)]
pub struct SourceFrames<'a> {
    lines: SourceLines<'a>,
    /// Of the function that has the code.
    name: u32,
    inlined: Reader<'a>,
    count: u32,
    /// As [`Row::inlined`]; `None` after the last.
    next: Option<u32>,
    position: Position,
    left: usize,
}

impl<'a> Iterator for SourceFrames<'a> {
    type Item = SourceFrame<'a>;

    fn next(&mut self) -> Option<SourceFrame<'a>> {
        let number = self.next.take()?;
        let Position { file, line, column } = self.position;
        let mut name = self.name;
        if number > 0 && number <= self.count && self.left > 0 {
            self.left -= 1;
            let mut r = self.inlined.clone();
            skip_inlined(&mut r, number - 1);
            let inlined = read_inlined(&mut r);
            (name, self.position) = (inlined.name, inlined.call);
            self.next = match r.check() {
                Ok(()) if inlined.parent < number => Some(inlined.parent),
                Ok(()) if inlined.parent == number => None,
                _ => Some(0),
            };
        }
        let string = |number| self.lines.string(number);
        Some(SourceFrame { function: string(name), file: string(file), line, column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Vec<u8> {
        let position = |file, line, column| Position { file, line, column };
        let row = |offset, inlined, position| Row { offset, inlined, position };
        let functions = [
            FunctionSource {
                offset: 16,
                len: 40,
                name: 0,
                inlined: vec![
                    Inlined { parent: 0, name: 2, call: position(1, 30, 3) },
                    Inlined { parent: 1, name: 3, call: position(4, 7, 0) },
                ],
                rows: vec![
                    row(0, 0, position(1, 29, 1)),
                    row(4, 2, position(4, 2, 9)),
                    row(12, 1, position(4, 8, 5)),
                    row(20, 0, position(1, 31, 2)),
                ],
            },
            FunctionSource { offset: 64, len: 8, name: 5, inlined: vec![], rows: vec![Row::default()] },
            FunctionSource {
                offset: 72,
                len: 8,
                name: 5,
                inlined: vec![Inlined { parent: 1, name: 2, call: position(0, 0, 0) }],
                rows: vec![row(0, 0, position(1, 1, 1)), row(4, 1, position(1, 9, 1))],
            },
        ];
        let strings = ["", "/src/a.c", "outer", "inner", "/src/b.h", "named"];
        encode(&functions, &strings.map(String::from)).unwrap()
    }

    fn frames(bytes: &[u8], text_offset: u32) -> Vec<(&str, &str, u32, u32)> {
        let frames = SourceLines::new(bytes).unwrap().frames(text_offset);
        frames.into_iter().flatten().map(|f| (f.function, f.file, f.line, f.column)).collect()
    }

    #[test]
    fn inlined_calls_are_followed() {
        let bytes = sample();
        assert_eq!(frames(&bytes, 15), []);
        assert_eq!(frames(&bytes, 16), [("", "/src/a.c", 29, 1)]);
        let both = [("inner", "/src/b.h", 2, 9), ("outer", "/src/b.h", 7, 0), ("", "/src/a.c", 30, 3)];
        assert_eq!(frames(&bytes, 27), both);
        assert_eq!(frames(&bytes, 28), [("outer", "/src/b.h", 8, 5), ("", "/src/a.c", 30, 3)]);
        assert_eq!(frames(&bytes, 55), [("", "/src/a.c", 31, 2)]);
        assert_eq!(frames(&bytes, 56), []);
        assert_eq!(frames(&bytes, 64), [("named", "", 0, 0)]);
        assert_eq!(frames(&bytes, 72), [("named", "/src/a.c", 1, 1)]);
        assert_eq!(frames(&bytes, 76), [("outer", "/src/a.c", 9, 1)]);
        let mut rows = Vec::new();
        SourceLines::new(&bytes).unwrap().rows(20, |offset, file, line| rows.push((offset, file, line)));
        assert_eq!(
            rows,
            [(0, "/src/a.c", 29), (4, "/src/b.h", 2), (12, "/src/b.h", 8), (20, "/src/a.c", 31)]
        );
    }

    /// Whatever is damaged, reading ends, and does so soon.
    #[test]
    fn damage_costs_only_what_is_damaged() {
        let bytes = sample();
        let read = |bytes: &[u8]| {
            let Ok(lines) = SourceLines::new(bytes) else { return };
            for offset in [0, 16, 22, 40, 64, u32::MAX] {
                assert!(lines.frames(offset).into_iter().flatten().count() <= MAX_INLINED + 1);
                lines.rows(offset, |_, _, _| ());
            }
        };
        for at in 0..bytes.len() {
            for flip in [0x01, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                read(&damaged);
            }
            read(&bytes[..at]);
        }
    }
}
