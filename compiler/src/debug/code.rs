//! Wasm offsets ↔ machine code of one function.

use super::function::{FunctionDebug, InlinedCall};
use crate::emit::text::TextRange;
use std::cell::OnceCell;
use std::ops::Range;

/// The code of one wasm function, in pieces that come from one wasm instruction each.
///
/// A *frame* is the function itself (0), or the callee of a call that this compiler has inlined (1 and on).
pub(super) struct FunctionCode<'t> {
    /// Offset in the text section.
    pub start: u32,
    pub len: u32,
    /// Ascending by place in the code, without gaps.
    pub pieces: Vec<Piece>,
    pub calls: &'t [InlinedCall],
    /// Whether it is what C programs call, and its own code stands for the call of the function.
    pub is_export: bool,
    /// Code by what each frame is doing then, once somebody asks.
    by_frame: OnceCell<Vec<FramePieces>>,
    /// The code of each frame but the function itself, once somebody asks.
    frames: OnceCell<Vec<Vec<Range<u32>>>>,
}

/// Offset in the wasm file, range in the code.
type FramePieces = Vec<(u64, Range<u32>)>;

/// Code of one wasm instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Offsets in the code of the function.
    pub code: Range<u32>,
    /// Offset in the wasm file.
    pub wasm: u64,
    /// Whose instruction that is.
    pub frame: u32,
}

impl FunctionCode<'_> {
    /// The pieces of a function whose body starts at `body` in the wasm file: its prologue counts as that byte.
    pub fn new(range: &TextRange, body: u64) -> FunctionCode<'_> {
        let FunctionDebug { lines, calls, .. } = &range.debug;
        let prologue = lines.first().is_none_or(|first| first.code > 0).then_some((0, body, 0));
        let lines = lines.iter().map(|line| (line.code, u64::from(line.wasm), line.frame));
        let starts = prologue.into_iter().chain(lines);
        let mut pieces: Vec<Piece> = Vec::with_capacity(starts.size_hint().0);
        for (start, wasm, frame) in starts.filter(|(start, ..)| *start < range.len) {
            if let Some(last) = pieces.last_mut() {
                last.code.end = start;
                if (last.wasm, last.frame) == (wasm, frame) {
                    last.code.end = range.len;
                    continue;
                }
                if last.code.is_empty() {
                    pieces.pop();
                }
            }
            pieces.push(Piece { code: start..range.len, wasm, frame });
        }
        FunctionCode {
            start: range.offset,
            len: range.len,
            pieces,
            calls,
            is_export: range.export_of.is_some(),
            by_frame: OnceCell::new(),
            frames: OnceCell::new(),
        }
    }

    /// All of it, as ranges in the function.
    pub fn whole(&self) -> Vec<Range<u32>> {
        std::iter::once(0..self.len).collect()
    }

    /// The code that runs while a frame is in a range of the wasm file: ranges in the function, ascending and apart. What
    /// the frame calls is part of it, where that is inlined.
    pub fn ranges(&self, frame: u32, wasm: &Range<u64>) -> Vec<Range<u32>> {
        let pieces = &self.by_frame()[frame as usize];
        let first = pieces.partition_point(|(offset, _)| *offset < wasm.start);
        let pieces = pieces[first..].iter().take_while(|(offset, _)| *offset < wasm.end);
        merged(pieces.map(|(_, range)| range.clone()).collect())
    }

    /// Whether there is such code.
    pub fn has(&self, frame: u32, wasm: &Range<u64>) -> bool {
        let pieces = &self.by_frame()[frame as usize];
        let first = pieces.partition_point(|(offset, _)| *offset < wasm.start);
        pieces.get(first).is_some_and(|(offset, _)| *offset < wasm.end)
    }

    /// The same for a part of the source of a frame's function, whose body starts at `body`: what makes the frame, which counts as
    /// that byte, is part of the function only.
    pub fn inner_ranges(&self, frame: u32, body: u64, wasm: &Range<u64>) -> Vec<Range<u32>> {
        self.ranges(frame, &(wasm.start.max(body + 1)..wasm.end))
    }

    /// The code that runs while an inlined call is there: ranges in the function, ascending and apart.
    pub fn call(&self, call: usize) -> &[Range<u32>] {
        &self.frames()[call]
    }

    /// Finds the code of all inlined calls.
    pub fn frames(&self) -> &[Vec<Range<u32>>] {
        self.frames.get_or_init(|| {
            let mut frames: Vec<Vec<Range<u32>>> = vec![Vec::new(); self.calls.len()];
            for piece in &self.pieces {
                let mut next = piece.frame.checked_sub(1);
                while let Some(call) = next {
                    match frames[call as usize].last_mut() {
                        Some(last) if last.end == piece.code.start => last.end = piece.code.end,
                        _ => frames[call as usize].push(piece.code.clone()),
                    }
                    next = self.calls[call as usize].caller.and_then(|caller| caller.frame.checked_sub(1));
                }
            }
            frames
        })
    }

    /// Finds the code by what each frame is doing then.
    pub fn by_frame(&self) -> &[FramePieces] {
        self.by_frame.get_or_init(|| {
            let mut by_frame = vec![Vec::new(); self.calls.len() + 1];
            for piece in &self.pieces {
                let mut next = Some((piece.frame, piece.wasm));
                while let Some((frame, wasm)) = next {
                    by_frame[frame as usize].push((wasm, piece.code.clone()));
                    let call = frame.checked_sub(1).and_then(|call| self.calls[call as usize].caller);
                    next = call.map(|caller| (caller.frame, u64::from(caller.wasm)));
                }
            }
            for pieces in &mut by_frame {
                pieces.sort_by_key(|(offset, _)| *offset);
            }
            by_frame
        })
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
    use crate::debug::{Caller, Line};

    fn function(lines: &[(u32, u32, u32)], calls: &[(u32, u32)]) -> TextRange {
        let lines = lines.iter().map(|(code, wasm, frame)| Line { code: *code, wasm: *wasm, frame: *frame });
        let caller = |(frame, wasm): &(u32, u32)| Some(Caller { frame: *frame, wasm: *wasm });
        let calls = calls.iter().map(|call| InlinedCall { callee: 7, caller: caller(call) }).collect();
        let debug = FunctionDebug { lines: lines.collect(), calls, values: Vec::new() };
        TextRange { offset: 64, len: 40, debug, ..TextRange::default() }
    }

    fn pieces(lines: &[(u32, u32, u32)]) -> Vec<(Range<u32>, u64, u32)> {
        let range = function(lines, &[]);
        let pieces = FunctionCode::new(&range, 100).pieces.into_iter();
        pieces.map(|Piece { code, wasm, frame }| (code, wasm, frame)).collect()
    }

    #[test]
    fn the_prologue_is_the_start_of_the_body() {
        let found =
            pieces(&[(4, 102, 0), (8, 104, 0), (8, 105, 0), (12, 105, 0), (20, 103, 0), (24, 103, 1)]);
        let expected = [(0..4, 100, 0), (4..8, 102, 0), (8..20, 105, 0), (20..24, 103, 0), (24..40, 103, 1)];
        assert_eq!(found, expected);
        assert_eq!(pieces(&[]), [(0..40, 100, 0)]);
        assert_eq!(pieces(&[(0, 7, 0), (50, 9, 0)]), [(0..40, 7, 0)]);
    }

    #[test]
    fn ranges_follow_code_that_moved() {
        let range = function(&[(4, 102, 0), (8, 110, 0), (12, 104, 0), (16, 112, 0), (24, 106, 0)], &[]);
        let function = FunctionCode::new(&range, 100);
        assert_eq!(function.ranges(0, &(102..108)), [4..8, 12..16, 24..40]);
        assert_eq!(function.ranges(0, &(102..111)), [4..16, 24..40]);
        assert_eq!(function.ranges(0, &(0..1000)), function.whole());
        assert_eq!(function.ranges(0, &(111..112)), []);
        assert_eq!(function.inner_ranges(0, 100, &(100..106)), [4..8, 12..16]);
    }

    #[test]
    fn callers_have_the_code_of_what_they_call() {
        let lines = [(0, 100, 0), (4, 20, 1), (8, 30, 2), (12, 21, 1), (16, 105, 0)];
        let range = function(&lines, &[(0, 104), (1, 25)]);
        let function = FunctionCode::new(&range, 100);
        assert_eq!(function.call(0), [Range { start: 4, end: 16 }]);
        assert_eq!(function.call(1), [Range { start: 8, end: 12 }]);
        for (frame, ranges) in (1..).zip(function.frames()) {
            assert_eq!(&function.ranges(frame, &(0..u64::MAX)), ranges);
        }
        assert_eq!(function.ranges(0, &(101..105)), [Range { start: 4, end: 16 }]);
        assert_eq!(function.ranges(1, &(21..26)), [Range { start: 8, end: 16 }]);
    }
}
