//! Module and machine code → the source positions that backtraces show (`aot_abi::source`).

use super::build::Source;
use super::code::FunctionCode;
use super::demangle::demangle;
use super::function::{Caller, InlinedCall};
use super::source::{Row as SourceRow, Scope, SourceMap};
use crate::emit::Text;
use crate::module::ModuleInfo;
use aot_abi::source::{FunctionSource, Inlined, MAX_INLINED, Position, Row, encode};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Encodes where the code of all functions came from. Nothing if the module does not say, and nothing was inlined.
pub(super) fn record(info: &ModuleInfo<'_>, source: &Source<'_>, text: &Text) -> Vec<u8> {
    let map = &source.map;
    let mut recorder =
        Recorder { info, map, strings: Strings::new(), names: HashMap::new(), scopes: HashMap::new() };
    let defined = text.ranges.iter().filter(|range| range.is_function).zip(&info.debug.bodies);
    let functions: Vec<FunctionSource> = defined
        .filter(|(range, _)| range.len > 0)
        .filter_map(|(range, body)| recorder.function(&FunctionCode::new(range, body.start), body.start))
        .collect();
    match functions.is_empty() {
        true => Vec::new(),
        false => encode(&functions, &recorder.strings.list).unwrap_or_default(),
    }
}

struct Recorder<'m> {
    info: &'m ModuleInfo<'m>,
    map: &'m SourceMap,
    strings: Strings,
    /// Strings of the names of scopes.
    names: HashMap<u32, u32>,
    /// By where the body of a function starts in the wasm file.
    scopes: HashMap<u64, Rc<FunctionScopes>>,
}

/// The frames of a function, and the inlined calls that are on record.
struct Frames<'c> {
    calls: &'c [InlinedCall],
    /// Where the function's body starts in the wasm file.
    body: u64,
    list: Vec<Inlined>,
    /// Where a frame, or a scope in it, is in the list, plus 1.
    places: HashMap<(u32, Option<u32>), u32>,
}

impl Recorder<'_> {
    /// The positions of a function whose body starts at `body` in the wasm file, if anything is known of it.
    fn function(&mut self, code: &FunctionCode<'_>, body: u64) -> Option<FunctionSource> {
        let map = self.map;
        if map.rows.is_empty() && code.calls.is_empty() {
            return None;
        }
        let mut frames = Frames { calls: code.calls, body, list: Vec::new(), places: HashMap::new() };
        let mut rows: Vec<Row> = Vec::new();
        let mut is_known = false;
        let outer = self.scopes_of(body);
        let mut current = (0, body, outer.clone());
        // Code of one place often comes in several pieces.
        let mut last_place = ((0, None), 0);
        for piece in &code.pieces {
            if current.0 != piece.frame {
                let body = self.body(&frames, piece.frame);
                current = (piece.frame, body, self.scopes_of(body));
            }
            let (_, body, scopes) = &current;
            let body = *body;
            // What makes the frame belongs to the function's first line.
            let is_prologue = piece.wasm == body;
            let row = if is_prologue { map.first_row(body) } else { map.row(piece.wasm) };
            let row = row.filter(|row| row.line > 0);
            is_known |= row.is_some();
            let scope = scopes.innermost(piece.wasm).filter(|_| !is_prologue);
            if last_place.0 != (piece.frame, scope) {
                last_place = ((piece.frame, scope), self.inlined(&mut frames, piece.frame, scope));
            }
            let inlined = last_place.1;
            let position =
                row.map_or(Position::default(), |row| self.position(row.file, row.line, row.column));
            let is_new = |last: &Row| (last.inlined, last.position) != (inlined, position);
            if rows.last().is_none_or(is_new) {
                rows.push(Row { offset: piece.code.start, inlined, position });
            }
        }
        let inlined = frames.list;
        let name = outer.function.map_or(0, |outer| self.function_name(outer, body));
        let is_known = is_known || !inlined.is_empty();
        is_known.then_some(FunctionSource { offset: code.start, len: code.len, name, inlined, rows })
    }

    /// Where the body of a frame's function starts in the wasm file.
    fn body(&self, frames: &Frames<'_>, frame: u32) -> u64 {
        match frame.checked_sub(1) {
            Some(call) => self.info.debug.bodies[frames.calls[call as usize].callee as usize].start,
            None => frames.body,
        }
    }

    /// The scopes of the function whose body starts at an offset in the wasm file.
    fn scopes_of(&mut self, body: u64) -> Rc<FunctionScopes> {
        let map = self.map;
        self.scopes.entry(body).or_insert_with(|| Rc::new(map.scopes_of(body))).clone()
    }

    /// The place of a frame, or of a scope in it, among the inlined calls of a function, plus 1; 0 for the function itself.
    fn inlined(&mut self, frames: &mut Frames<'_>, frame: u32, scope: Option<u32>) -> u32 {
        // From the outermost one that has no place yet.
        let mut missing = Vec::new();
        let mut next = Some((frame, scope));
        let mut parent = 0;
        while let Some(at @ (frame, scope)) = next {
            if let Some(place) = frames.places.get(&at) {
                parent = *place;
                break;
            }
            let scope = scope.map(|index| (index, &self.map.scopes[index as usize]));
            next = match (scope, frame.checked_sub(1)) {
                // The function of a frame is a scope too.
                (Some((_, Scope { parent: None, .. })), _) => Some((frame, None)),
                (Some((_, Scope { parent: outer, .. })), _) => {
                    missing.push(at);
                    Some((frame, *outer))
                }
                (None, Some(call)) => {
                    missing.push(at);
                    let caller = frames.calls[call as usize].caller;
                    caller.map(|Caller { frame, wasm }| {
                        let body = self.body(frames, frame);
                        (frame, self.scopes_of(body).innermost(wasm.into()))
                    })
                }
                (None, None) => None,
            };
        }
        for at in missing.into_iter().rev().take(MAX_INLINED) {
            let place = frames.list.len() as u32 + 1;
            let (name, call) = match at {
                (_, Some(scope)) => (self.scope_name(scope), self.map.scopes[scope as usize].call),
                (frame, None) => {
                    let InlinedCall { callee, caller } = frames.calls[frame as usize - 1];
                    if caller.is_none() {
                        // It is called by itself: that ends the list.
                        parent = place;
                    }
                    let row = caller.and_then(|caller| self.map.row(caller.wasm.into()));
                    let row = row.filter(|row| row.line > 0);
                    (self.callee_name(callee), row.map(|row| (row.file, row.line, row.column)))
                }
            };
            let call =
                call.map_or(Position::default(), |(file, line, column)| self.position(file, line, column));
            frames.list.push(Inlined { parent, name, call });
            parent = place;
            frames.places.insert(at, parent);
        }
        parent
    }

    /// What the callee of an inlined call is called.
    fn callee_name(&mut self, callee: u32) -> u32 {
        let body = self.info.debug.bodies[callee as usize].start;
        let name = self.scopes_of(body).function.map_or(0, |scope| self.function_name(scope, body));
        match name {
            0 => self.strings.add(self.info.display_name(callee + self.info.imported_funcs)),
            name => name,
        }
    }

    fn position(&mut self, file: u32, line: u32, column: u32) -> Position {
        match self.map.files.get(file as usize) {
            Some(_) => Position { file: self.strings.file(self.map, file), line, column },
            None => Position::default(),
        }
    }

    /// What an inlined function is called: with all that its mangled name says.
    fn scope_name(&mut self, scope: u32) -> u32 {
        if let Some(known) = self.names.get(&scope) {
            return *known;
        }
        let Scope { name, linkage_name, .. } = &self.map.scopes[scope as usize];
        let demangled = std::str::from_utf8(linkage_name).ok().and_then(demangle);
        let name = match demangled {
            Some(name) => self.strings.add(name),
            None => self.strings.add(String::from_utf8_lossy(name).into_owned()),
        };
        self.names.insert(scope, name);
        name
    }

    /// The same of a function with code, where the name section does not say as much or more.
    fn function_name(&mut self, scope: u32, body: u64) -> u32 {
        let Scope { name, linkage_name, unit, .. } = &self.map.scopes[scope as usize];
        let known = self.info.debug.function_at(body).map(|func| func + self.info.imported_funcs);
        let known = known.and_then(|func| self.info.func_name(func)).unwrap_or_default();
        // Linking has put the name of the module before it.
        if !name.is_empty()
            && known.as_bytes().strip_suffix(&name[..]).is_some_and(|rest| rest.ends_with(b"."))
        {
            return 0;
        }
        let is_c = self.map.units.get(*unit as usize).is_some_and(|unit| unit.is_c());
        match is_c || !linkage_name.is_empty() {
            true => self.scope_name(scope),
            false => 0,
        }
    }
}

/// Texts, each once.
struct Strings {
    list: Vec<String>,
    numbers: HashMap<String, u32>,
    /// By the numbers of files in the source map.
    files: HashMap<u32, u32>,
}

impl Strings {
    fn new() -> Strings {
        // The first one is empty.
        let mut strings = Strings { list: Vec::new(), numbers: HashMap::new(), files: HashMap::new() };
        strings.add(String::new());
        strings
    }

    fn add(&mut self, text: String) -> u32 {
        // They are printed to terminals.
        let text = text.replace(char::is_control, "?");
        if let Some(known) = self.numbers.get(&text) {
            return *known;
        }
        let number = self.list.len() as u32;
        self.list.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn file(&mut self, map: &SourceMap, file: u32) -> u32 {
        if let Some(known) = self.files.get(&file) {
            return *known;
        }
        let path = map.files[file as usize].path();
        let number = self.add(String::from_utf8_lossy(&path).into_owned());
        self.files.insert(file, number);
        number
    }
}

/// The scopes of one function, by what they cover.
pub(super) struct FunctionScopes {
    /// The scope of the function itself.
    pub function: Option<u32>,
    /// Where the innermost scope changes. Ascending.
    changes: Vec<(u64, Option<u32>)>,
}

impl FunctionScopes {
    /// `first` is the function's own scope; those in it follow it in the list.
    pub fn new(scopes: &[Scope], first: Option<u32>) -> FunctionScopes {
        let Some(first) = first else { return FunctionScopes { function: None, changes: Vec::new() } };
        let inner = scopes.iter().enumerate().skip(first as usize + 1);
        let inner = inner.take_while(|(_, scope)| scope.parent.is_some());
        let mut events: Vec<(u64, bool, u32)> = Vec::new();
        for (index, scope) in inner {
            for range in &scope.ranges {
                events.push((range.start, true, index as u32));
                events.push((range.end, false, index as u32));
            }
        }
        // Ends come before starts.
        events.sort_unstable();
        // Scopes come before those in them, so the last one is the innermost. One may be open more than once.
        let mut open: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut depths: HashMap<u32, u32> = HashMap::new();
        let mut changes: Vec<(u64, Option<u32>)> = Vec::new();
        for (offset, starts, index) in events {
            let depth = depths.entry(index).or_default();
            if starts {
                *depth += 1;
                open.insert((index, *depth));
            } else {
                open.remove(&(index, *depth));
                *depth = depth.saturating_sub(1);
            }
            let innermost = open.last().map(|(index, _)| *index);
            match changes.last_mut() {
                Some(last) if last.0 == offset => last.1 = innermost,
                Some(last) if last.1 == innermost => {}
                _ => changes.push((offset, innermost)),
            }
        }
        FunctionScopes { function: Some(first), changes }
    }

    /// The innermost inlined call that an instruction is of.
    pub fn innermost(&self, wasm_offset: u64) -> Option<u32> {
        let next = self.changes.partition_point(|(start, _)| *start <= wasm_offset);
        self.changes[next.checked_sub(1)?].1
    }
}

impl SourceMap {
    /// The scopes of the function whose body starts at an offset in the wasm file.
    fn scopes_of(&self, body: u64) -> FunctionScopes {
        FunctionScopes::new(&self.scopes, self.function_scope(body))
    }

    /// The first row of the function whose body starts at an offset in the wasm file.
    fn first_row(&self, body: u64) -> Option<&SourceRow> {
        let sequence = self.sequence(body)?;
        let rows = &self.rows[sequence.rows.start as usize..sequence.rows.end as usize];
        rows.get(rows.partition_point(|row| row.offset < body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_scope_counts() {
        let scope = |parent, ranges: &[(u64, u64)]| Scope {
            parent,
            unit: 0,
            entry: 0,
            name: Vec::new(),
            linkage_name: Vec::new(),
            declared: None,
            call: None,
            ranges: ranges.iter().map(|(start, end)| *start..*end).collect(),
        };
        let scopes = [
            scope(None, &[(0, 100)]),
            scope(Some(0), &[(10, 30), (40, 50)]),
            scope(Some(1), &[(20, 30)]),
            scope(Some(0), &[(50, 60), (55, 70)]),
            scope(None, &[(100, 200)]),
            scope(Some(4), &[(0, 200)]),
        ];
        let of = FunctionScopes::new(&scopes, Some(0));
        let innermost = |offset| of.innermost(offset);
        assert_eq!(
            [5, 10, 20, 29, 30, 40, 50].map(innermost),
            [None, Some(1), Some(2), Some(2), None, Some(1), Some(3)]
        );
        assert_eq!([60, 69, 70, 150].map(innermost), [Some(3), Some(3), None, None]);
        assert_eq!(FunctionScopes::new(&scopes, None).innermost(10), None);
    }
}
