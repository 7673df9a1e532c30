//! Wasm offsets ↔ machine code of one function.

use crate::emit::text::TextRange;
use std::cell::OnceCell;
use std::ops::Range;

/// The code of one wasm function, in pieces that come from one wasm instruction each.
pub(super) struct FunctionCode {
    /// Offset in the text section.
    pub start: u32,
    pub len: u32,
    /// Ascending by place in the code, without gaps.
    pub pieces: Vec<Piece>,
    /// The order of `pieces` by wasm offset, once somebody asks for ranges.
    by_wasm: OnceCell<Vec<u32>>,
}

/// Code of one wasm instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Offsets in the code of the function.
    pub code: Range<u32>,
    /// Offset in the wasm file.
    pub wasm: u64,
}

impl FunctionCode {
    /// The pieces of a function whose body starts at `body` in the wasm file: its prologue counts as that byte.
    pub fn new(range: &TextRange, body: u64) -> FunctionCode {
        let lines = &range.debug.lines;
        let prologue = lines.first().is_none_or(|first| first.0 > 0).then_some((0, body));
        let starts = prologue.into_iter().chain(lines.iter().map(|(code, wasm)| (*code, u64::from(*wasm))));
        let mut pieces: Vec<Piece> = Vec::with_capacity(lines.len() + 1);
        for (start, wasm) in starts.filter(|(start, _)| *start < range.len) {
            if let Some(last) = pieces.last_mut() {
                last.code.end = start;
                if last.wasm == wasm {
                    last.code.end = range.len;
                    continue;
                }
                if last.code.is_empty() {
                    pieces.pop();
                }
            }
            pieces.push(Piece { code: start..range.len, wasm });
        }
        FunctionCode { start: range.offset, len: range.len, pieces, by_wasm: OnceCell::new() }
    }

    /// All of it, as ranges in the function.
    pub fn whole(&self) -> Vec<Range<u32>> {
        std::iter::once(0..self.len).collect()
    }

    /// The code of a range of the wasm file: ranges in the function, ascending and apart.
    pub fn ranges(&self, wasm: &Range<u64>) -> Vec<Range<u32>> {
        let by_wasm = self.by_wasm.get_or_init(|| {
            let mut by_wasm: Vec<u32> = (0..self.pieces.len() as u32).collect();
            by_wasm.sort_by_key(|piece| self.pieces[*piece as usize].wasm);
            by_wasm
        });
        let first = by_wasm.partition_point(|piece| self.pieces[*piece as usize].wasm < wasm.start);
        let pieces = by_wasm[first..].iter().map(|piece| &self.pieces[*piece as usize]);
        let ranges = pieces.take_while(|piece| piece.wasm < wasm.end).map(|piece| piece.code.clone());
        merged(ranges.collect())
    }
}

/// The same ranges in order, with those that touch as one.
pub(super) fn merged(mut ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u32>> = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::FunctionDebug;

    fn function(lines: &[(u32, u32)]) -> FunctionCode {
        let debug = FunctionDebug { lines: lines.to_vec(), values: Vec::new() };
        FunctionCode::new(&TextRange { offset: 64, len: 40, debug, ..TextRange::default() }, 100)
    }

    #[test]
    fn the_prologue_is_the_start_of_the_body() {
        let pieces = function(&[(4, 102), (8, 104), (8, 105), (12, 105), (20, 103)]).pieces;
        let expected = [(0..4, 100), (4..8, 102), (8..20, 105), (20..40, 103)];
        assert_eq!(pieces, expected.map(|(code, wasm)| Piece { code, wasm }));
        assert_eq!(function(&[]).pieces, [Piece { code: 0..40, wasm: 100 }]);
        assert_eq!(function(&[(0, 7), (50, 9)]).pieces, [Piece { code: 0..40, wasm: 7 }]);
    }

    #[test]
    fn ranges_follow_code_that_moved() {
        let function = function(&[(4, 102), (8, 110), (12, 104), (16, 112), (24, 106)]);
        assert_eq!(function.ranges(&(102..108)), [4..8, 12..16, 24..40]);
        assert_eq!(function.ranges(&(102..111)), [4..16, 24..40]);
        assert_eq!(function.ranges(&(0..1000)), function.whole());
        assert_eq!(function.ranges(&(111..112)), []);
    }
}
