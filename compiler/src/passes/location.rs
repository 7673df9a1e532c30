//! Where instructions came from, once a function has bodies of others in it.
//!
//! Cranelift keeps 32 bits for each instruction. For a function's own instructions they are offsets in the wasm file, which
//! lie in the range of its body. The calls that were inlined into it have ranges of numbers behind that one, each as long
//! as all that the callee has: its body, and the calls that were inlined into it. So what is inlined keeps its numbers,
//! moved by a distance, and says by the range that it is in which calls lead to it.
//!
//! The labels by which debuggers find locals say in the same way of which call they are: by its number, from 1.

use crate::debug::{self, Caller, FIRST, InlinedCall, Line, VMCTX, ValueRange, WIDE};
use cranelift_codegen::ir::{Function, SourceLoc};
use std::ops::Range;

/// Numbers are below this one: the code generator has a use for the highest bit.
const LIMIT: u32 = 1 << 31;

/// A function, and what the locations of its instructions mean.
#[derive(Clone)]
pub(crate) struct Located {
    pub function: Function,
    pub locations: Locations,
}

/// The meaning of the locations in a function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locations {
    /// Offset in the wasm file of the function's body.
    body: u32,
    /// The first number that means nothing.
    end: u32,
    /// Ascending by `start`; a call comes after the one that it is part of.
    calls: Vec<Call>,
}

/// A call that was inlined.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// What stands for the first byte of the callee's body.
    start: u32,
    /// The function, numbered without imported ones.
    callee: u32,
    /// Offset in the wasm file of its body.
    body: u32,
    /// The location of the call. Nothing for a tail call of the function itself, which then has no frame any more.
    caller: Option<u32>,
}

/// What a location of an inlined body becomes.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    distance: u32,
    /// The number of the call.
    call: u32,
}

impl Moved {
    pub fn location(self, location: SourceLoc) -> SourceLoc {
        SourceLoc::new(location.bits().wrapping_add(self.distance))
    }

    /// The label of a local of the callee, or of what is inlined into it. Nothing if there are too many calls.
    pub fn label(self, label: u32) -> Option<u32> {
        if label == VMCTX {
            return Some(VMCTX);
        }
        let (frame, index) = debug::frame_and_index(label & !(WIDE | FIRST));
        Some(debug::local(frame.checked_add(self.call)?, index)? | label & (WIDE | FIRST))
    }
}

impl From<Function> for Located {
    /// A function that nothing was inlined into, or will be.
    fn from(function: Function) -> Located {
        Located { function, locations: Locations::default() }
    }
}

impl Locations {
    /// Those of a function whose body has a range in the wasm file.
    pub fn new(body: &Range<u64>) -> Locations {
        let number = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Locations { body: number(body.start), end: number(body.end), calls: Vec::new() }
    }

    /// Adds a call that was inlined, with all that was inlined into the callee. Nothing if there are no numbers left, or the
    /// call is nowhere.
    pub(super) fn add(
        &mut self,
        callee: u32,
        inner: &Locations,
        call: SourceLoc,
        is_tail: bool,
    ) -> Option<Moved> {
        let start = self.end;
        let end = start.checked_add(inner.end - inner.body).filter(|end| *end < LIMIT)?;
        if call.is_default() {
            return None;
        }
        // A tail call takes the place of its caller.
        let caller = match is_tail {
            true => self.call(call.bits()).and_then(|index| self.calls[index].caller),
            false => Some(call.bits()),
        };
        let distance = start.wrapping_sub(inner.body);
        self.end = end;
        let call = self.calls.len() as u32 + 1;
        self.calls.push(Call { start, callee, body: inner.body, caller });
        self.calls.extend(inner.calls.iter().map(|call| Call {
            start: call.start.wrapping_add(distance),
            caller: call.caller.map_or(caller, |location| Some(location.wrapping_add(distance))),
            ..*call
        }));
        Some(Moved { distance, call })
    }

    /// The innermost inlined call that a location is in.
    fn call(&self, location: u32) -> Option<usize> {
        self.calls.partition_point(|call| call.start <= location).checked_sub(1)
    }

    /// The meaning of locations, each with the offset of the code that has it; and the calls that they are in. `values` get the
    /// numbers that these calls have then; those of other calls are gone.
    pub fn lines(
        &self,
        code: impl Iterator<Item = (u32, u32)>,
        values: &mut Vec<ValueRange>,
    ) -> (Vec<Line>, Vec<InlinedCall>) {
        let mut lines: Vec<Line> = code.map(|(code, wasm)| Line { code, wasm, frame: 0 }).collect();
        if self.calls.is_empty() {
            return (lines, Vec::new());
        }
        let mut is_used = vec![false; self.calls.len()];
        for line in &lines {
            let mut next = self.call(line.wasm);
            while let Some(index) = next.filter(|index| !std::mem::replace(&mut is_used[*index], true)) {
                next = self.calls[index].caller.and_then(|location| self.call(location));
            }
        }
        // The number of each frame, of those that are used.
        let mut frames = vec![0; self.calls.len()];
        let mut count = 0;
        for (frame, _) in frames.iter_mut().zip(&is_used).filter(|(_, is_used)| **is_used) {
            count += 1;
            *frame = count;
        }
        values.retain_mut(|ValueRange { value, .. }| {
            let (frame, index) = debug::frame_and_index(*value);
            if *value == VMCTX || frame == 0 {
                return true;
            }
            // What is not used has number 0.
            let frame = frames.get(frame as usize - 1).copied().filter(|frame| *frame > 0);
            let local = frame.and_then(|frame| debug::local(frame, index));
            *value = local.unwrap_or_default();
            local.is_some()
        });
        let resolve = |location: u32| match self.call(location) {
            Some(index) => {
                let Call { start, body, .. } = self.calls[index];
                (frames[index], body + (location - start))
            }
            None => (0, location),
        };
        for line in &mut lines {
            (line.frame, line.wasm) = resolve(line.wasm);
        }
        let used = self.calls.iter().zip(&is_used).filter(|(_, is_used)| **is_used);
        let calls = used.map(|(Call { callee, caller, .. }, _)| {
            let caller = caller.map(|location| {
                let (frame, wasm) = resolve(location);
                Caller { frame, wasm }
            });
            InlinedCall { callee: *callee, caller }
        });
        (lines, calls.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(to: &mut Locations, callee: u32, inner: &Locations, call: u32, is_tail: bool) -> u32 {
        to.add(callee, inner, SourceLoc::new(call), is_tail).expect("there are numbers left").distance
    }

    fn at(frame: u32, wasm: u32) -> Option<Caller> {
        Some(Caller { frame, wasm })
    }

    #[test]
    fn calls_in_calls_are_found() {
        let inner = Locations::new(&(10..20));
        let mut middle = Locations::new(&(30..50));
        add(&mut middle, 1, &inner, 31, false);
        let second = add(&mut middle, 1, &inner, 40, false);
        let mut outer = Locations::new(&(100..200));
        let moved = add(&mut outer, 2, &middle, 150, false);
        let code = [(0, 120), (4, moved + 33), (8, moved + second + 12)];
        let (lines, calls) = outer.lines(code.into_iter(), &mut Vec::new());
        let expected = [(0, 120, 0), (4, 33, 1), (8, 12, 2)];
        assert_eq!(lines, expected.map(|(code, wasm, frame)| Line { code, wasm, frame }));
        // The call at 31 has no code.
        let expected = [(2, at(0, 150)), (1, at(1, 40))];
        assert_eq!(calls, expected.map(|(callee, caller)| InlinedCall { callee, caller }));
    }

    #[test]
    fn tail_calls_take_the_place_of_their_callers() {
        let inner = Locations::new(&(10..20));
        let mut middle = Locations::new(&(30..50));
        let tail = add(&mut middle, 1, &inner, 31, true);
        let (_, calls) = middle.lines([(0, tail + 10)].into_iter(), &mut Vec::new());
        assert_eq!(calls, [InlinedCall { callee: 1, caller: None }]);
        let mut outer = Locations::new(&(100..200));
        let moved = add(&mut outer, 2, &middle, 150, false);
        let (_, calls) = outer.lines([(0, moved + tail + 10)].into_iter(), &mut Vec::new());
        assert_eq!(calls, [InlinedCall { callee: 1, caller: at(0, 150) }]);
        let again = outer.add(1, &inner, SourceLoc::new(moved + 35), true).expect("there are numbers left");
        let (lines, calls) =
            outer.lines([(0, again.location(SourceLoc::new(15)).bits())].into_iter(), &mut Vec::new());
        assert_eq!(lines, [Line { code: 0, wasm: 15, frame: 1 }]);
        assert_eq!(calls, [InlinedCall { callee: 1, caller: at(0, 150) }]);
    }

    #[test]
    fn numbers_may_run_out() {
        let inner = Locations::new(&(0..u64::from(LIMIT) / 2));
        let mut outer = Locations::new(&(u64::from(LIMIT) / 2 - 10..u64::from(LIMIT) / 2));
        assert!(outer.add(1, &inner, SourceLoc::new(LIMIT / 2 - 5), false).is_none());
        assert!(outer.add(1, &Locations::new(&(5..6)), SourceLoc::default(), false).is_none());
        assert!(outer.add(1, &Locations::new(&(5..6)), SourceLoc::new(LIMIT / 2 - 5), false).is_some());
        let far = Locations::new(&(u64::from(u32::MAX) + 5..u64::from(u32::MAX) + 9));
        assert!(far.clone().add(1, &inner, SourceLoc::new(3), false).is_none());
        assert!(outer.add(1, &far, SourceLoc::new(LIMIT / 2 - 5), false).is_some());
    }
}
