//! Entries of functions, with what is inlined into them: by the module's compiler, and by this one.

use super::build::{Builder, OutUnit};
use super::code::{FunctionCode, merged};
use super::entries;
use super::function::{Caller, InlinedCall};
use super::record::FunctionScopes;
use super::source::{Scope, SourceMap};
use super::variables::InlinedFrame;
use crate::emit::text::TextRange;
use gimli::constants as dw;
use gimli::write::{AttributeValue, UnitEntryId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Scopes that are looked at in all frames together: hostile modules have many in a function that is inlined everywhere.
const MOST_SCOPES: u32 = if cfg!(test) { 1 << 10 } else { 1 << 25 };

/// The entries of one function.
struct Frames {
    /// Where the bodies of its frames start in the wasm file. What C calls has none.
    bodies: Vec<u64>,
    /// The entries of frames; those without code have that of the function.
    entries: Vec<UnitEntryId>,
    /// The entries of scopes, by frame and place in the source map.
    scopes: HashMap<(u32, u32), UnitEntryId>,
}

impl<'b> Builder<'b, '_> {
    /// Makes what entries a function does not have yet, whose body starts at `body` in the wasm file.
    pub fn function_entries(
        &mut self,
        out: &mut OutUnit,
        range: &'b TextRange,
        code: &FunctionCode<'_>,
        body: u64,
    ) {
        let scope = self.scopes.get(&body).copied().filter(|_| !code.is_export);
        // It is among the entries of its unit.
        let known = scope.filter(|_| out.is_full);
        let entry = match known {
            Some(scope) => match self.known_entry(scope) {
                Some(entry) => entry,
                None => return,
            },
            None => {
                let entry = self.entry(out, self.root(out), dw::DW_TAG_subprogram);
                match scope {
                    Some(scope) => self.set_names(out, entry, &self.map.scopes[scope as usize]),
                    None => self.set_string(out, entry, dw::DW_AT_name, range.name.as_bytes()),
                }
                self.set_ranges(out, entry, code, &code.whole());
                entry
            }
        };
        let own_body = if code.is_export { u64::MAX } else { body };
        let mut frames = Frames { bodies: vec![own_body], entries: vec![entry], scopes: HashMap::new() };
        if known.is_none() {
            self.scope_entries(out, 0, code, &mut frames);
        }
        for (frame, call) in (1..).zip(code.calls) {
            self.call_entry(out, frame, call, code, &mut frames);
            let scopes = self.scope_entries(out, frame, code, &mut frames);
            let callee = frames.bodies[frame as usize];
            let entry = frames.entries[frame as usize];
            let function =
                self.scopes.get(&callee).filter(|_| !self.kept.is_empty() && entry != frames.entries[0]);
            self.inlined.extend(function.map(|function| InlinedFrame {
                range,
                outer: body,
                frame,
                body: callee,
                function: *function,
                unit: out.id,
                entry,
                scopes,
            }));
        }
    }

    /// What the entry of a scope became, if the module's entries are converted.
    fn known_entry(&self, scope: u32) -> Option<UnitEntryId> {
        let Scope { unit, entry, .. } = self.map.scopes[scope as usize];
        entries::find(&self.kept, unit as usize, entry)
    }

    /// Makes entries for the calls that the module's compiler has inlined into the function of a frame. Gives them by where
    /// the module has theirs.
    fn scope_entries(
        &mut self,
        out: &mut OutUnit,
        frame: u32,
        code: &FunctionCode<'_>,
        frames: &mut Frames,
    ) -> HashMap<usize, UnitEntryId> {
        let body = frames.bodies[frame as usize];
        let mut made = HashMap::new();
        let Some(function) = self.scopes.get(&body).copied() else { return made };
        for index in inner(self.map, function) {
            if !self.sees_scope() {
                break;
            }
            let scope: &'b Scope = &self.map.scopes[index as usize];
            let parent = match scope.parent {
                Some(parent) if parent != function => frames.scopes.get(&(frame, parent)).copied(),
                _ => Some(frames.entries[frame as usize]),
            };
            let Some(parent) = parent else { continue };
            let ranges = scope.ranges.iter().flat_map(|range| code.inner_ranges(frame, body, range));
            let ranges = merged(ranges.collect());
            if ranges.is_empty() {
                continue;
            }
            let origin = self.abstract_entry(out, scope);
            let entry = self.inlined_entry(out, parent, origin, code, &ranges);
            if let Some((file, line, column)) = scope.call {
                self.set_call(out, entry, file, line, column);
            }
            frames.scopes.insert((frame, index), entry);
            made.insert(scope.entry, entry);
        }
        made
    }

    /// Counts a scope, or an entry in one. `false` if there were too many.
    pub fn sees_scope(&mut self) -> bool {
        let is_left = self.scopes_seen < MOST_SCOPES;
        self.scopes_seen += u32::from(is_left);
        is_left
    }

    /// Makes an entry for a call that this compiler has inlined.
    fn call_entry(
        &mut self,
        out: &mut OutUnit,
        frame: u32,
        call: &InlinedCall,
        code: &FunctionCode<'_>,
        frames: &mut Frames,
    ) {
        let InlinedCall { callee, caller } = *call;
        let body = self.parts.info.debug.bodies[callee as usize].start;
        frames.bodies.push(body);
        let ranges = code.call(frame as usize - 1);
        let function = frames.entries[0];
        if ranges.is_empty() {
            frames.entries.push(function);
            return;
        }
        let origin = match self.scopes.get(&body).copied() {
            Some(scope) => self.abstract_entry(out, &self.map.scopes[scope as usize]),
            None => {
                let info = self.parts.info;
                let name = info.display_name(callee + info.imported_funcs);
                self.abstract_function(out, (name.as_bytes().to_vec(), Vec::new()), |this, out, entry| {
                    this.set_string(out, entry, dw::DW_AT_name, name.as_bytes());
                })
            }
        };
        let parent = caller.map_or(function, |caller| self.caller_entry(out, caller, frames));
        let entry = self.inlined_entry(out, parent, origin, code, ranges);
        frames.entries.push(entry);
        let Some(Caller { wasm, .. }) = caller else { return };
        match self.map.row(wasm.into()).filter(|row| row.line > 0) {
            Some(row) => self.set_call(out, entry, row.file, row.line, row.column),
            None if out.has_offsets => {
                let file = self.offset_file(out);
                self.set(out, entry, dw::DW_AT_call_file, AttributeValue::FileIndex(file));
                let line = self.parts.info.source_offset(wasm);
                self.set(out, entry, dw::DW_AT_call_line, AttributeValue::Udata(line.into()));
            }
            None => {}
        }
    }

    /// The entry of the innermost scope, or block, that a call is in.
    fn caller_entry(&mut self, out: &OutUnit, caller: Caller, frames: &Frames) -> UnitEntryId {
        let Caller { frame, wasm } = caller;
        let blocks = self.blocks.get(&(out.id, frames.bodies[0])).filter(|_| frame == 0);
        let mut around = blocks.into_iter().flatten().rev();
        if let Some((_, entry)) = around.find(|(range, _)| range.contains(&wasm.into())) {
            return *entry;
        }
        let scopes = self.function_scopes(frames.bodies[frame as usize]);
        let mut next = scopes.innermost(wasm.into());
        while let Some(scope) = next {
            if let Some(entry) = frames.scopes.get(&(frame, scope)) {
                return *entry;
            }
            next = self.map.scopes[scope as usize].parent;
        }
        frames.entries[frame as usize]
    }

    /// Whether the first code of the function whose body starts at an offset in the wasm file is of another one that the
    /// module's compiler has inlined.
    pub fn starts_inlined(&self, body: u64) -> bool {
        let Some(function) = self.scopes.get(&body) else { return false };
        let covers = |scope: &Scope| scope.ranges.iter().any(|range| range.contains(&body));
        inner(self.map, *function).any(|index| covers(&self.map.scopes[index as usize]))
    }

    /// The scopes of the function whose body starts at an offset in the wasm file.
    fn function_scopes(&mut self, body: u64) -> Arc<FunctionScopes> {
        let (scopes, first) = (&self.map.scopes, self.scopes.get(&body).copied());
        let made = || Arc::new(FunctionScopes::new(scopes, first));
        self.inner_scopes.entry(body).or_insert_with(made).clone()
    }

    fn inlined_entry(
        &mut self,
        out: &OutUnit,
        parent: UnitEntryId,
        origin: UnitEntryId,
        code: &FunctionCode<'_>,
        ranges: &[Range<u32>],
    ) -> UnitEntryId {
        let entry = self.entry(out, parent, dw::DW_TAG_inlined_subroutine);
        self.set(out, entry, dw::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
        self.set_ranges(out, entry, code, ranges);
        entry
    }

    /// Says where an inlined call is, in a file of the source map.
    fn set_call(&mut self, out: &mut OutUnit, entry: UnitEntryId, file: u32, line: u32, column: u32) {
        if let Some(file) = self.file(out, file) {
            self.set(out, entry, dw::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
        }
        self.set(out, entry, dw::DW_AT_call_line, AttributeValue::Udata(line.into()));
        if column > 0 {
            self.set(out, entry, dw::DW_AT_call_column, AttributeValue::Udata(column.into()));
        }
    }

    /// What stands for a function that is inlined.
    fn abstract_entry(&mut self, out: &mut OutUnit, scope: &Scope) -> UnitEntryId {
        let key = (scope.name.clone(), scope.linkage_name.clone());
        self.abstract_function(out, key, |this, out, entry| this.set_names(out, entry, scope))
    }

    fn abstract_function(
        &mut self,
        out: &mut OutUnit,
        names: (Vec<u8>, Vec<u8>),
        name: impl FnOnce(&mut Self, &mut OutUnit, UnitEntryId),
    ) -> UnitEntryId {
        if let Some(known) = out.abstracts.get(&names) {
            return *known;
        }
        let entry = self.entry(out, self.root(out), dw::DW_TAG_subprogram);
        name(self, out, entry);
        self.set(out, entry, dw::DW_AT_inline, AttributeValue::Inline(dw::DW_INL_inlined));
        out.abstracts.insert(names, entry);
        entry
    }

    fn set_names(&mut self, out: &mut OutUnit, entry: UnitEntryId, scope: &Scope) {
        self.set_string(out, entry, dw::DW_AT_name, &scope.name);
        if !self.is_c(scope.unit as usize) {
            self.set_string(out, entry, dw::DW_AT_linkage_name, &scope.linkage_name);
        }
        if let Some((file, line)) = scope.declared
            && let Some(file) = self.file(out, file)
        {
            self.set(out, entry, dw::DW_AT_decl_file, AttributeValue::FileIndex(Some(file)));
            self.set(out, entry, dw::DW_AT_decl_line, AttributeValue::Udata(line.into()));
        }
    }
}

/// The calls that the module's compiler has inlined into a function: places in the source map.
pub(super) fn inner(map: &SourceMap, function: u32) -> impl Iterator<Item = u32> {
    let inner = map.scopes[function as usize + 1..].iter().take_while(|scope| scope.parent.is_some());
    (function + 1..).zip(inner).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::MOST_SCOPES;
    use crate::config::Config;
    use crate::debug::Input;
    use gimli::write::{Address, AttributeValue, Dwarf, EndianVec, LineProgram, LineString, Sections, Unit};
    use gimli::{Encoding, EndianSlice, Format, LineEncoding, LittleEndian, constants as dw};

    const CALLS: usize = 64;

    /// A function that is called that often, and says that so many calls were inlined into it.
    fn module(scopes: usize) -> Vec<u8> {
        let calls = "(local.set 0 (call $leaf (local.get 0)))".repeat(CALLS);
        let text = format!(
            "(module (memory 1) (func $leaf (param i32) (result i32) (i32.load (local.get 0)))
              (func (export \"_start\") (local i32) {calls}))"
        );
        let mut wasm = wat::parse_str(text).unwrap();
        let input = Input::of_module(&wasm).unwrap();
        let body = input.bodies[0].clone();
        let (start, len) = (body.start - input.code_start, body.end - body.start);

        let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 4 };
        let name = |name: &str| LineString::String(name.into());
        let lines =
            LineProgram::new(encoding, LineEncoding::default(), name("/"), None, name("leaf.c"), None);
        let mut dwarf = Dwarf::new();
        let unit = dwarf.units.add(Unit::new(encoding, lines));
        let unit = dwarf.units.get_mut(unit);
        let origin = unit.add(unit.root(), dw::DW_TAG_subprogram);
        unit.get_mut(origin).set(dw::DW_AT_name, AttributeValue::String(b"inner".to_vec()));
        let function = unit.add(unit.root(), dw::DW_TAG_subprogram);
        let mut covered = vec![function];
        for _ in 0..scopes {
            let scope = unit.add(function, dw::DW_TAG_inlined_subroutine);
            unit.get_mut(scope).set(dw::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
            covered.push(scope);
        }
        for entry in covered {
            let entry = unit.get_mut(entry);
            entry.set(dw::DW_AT_low_pc, AttributeValue::Address(Address::Constant(start)));
            entry.set(dw::DW_AT_high_pc, AttributeValue::Udata(len));
        }
        let mut sections = Sections::new(EndianVec::new(LittleEndian));
        dwarf.write(&mut sections).unwrap();
        let mut add = |id: gimli::SectionId, bytes: &EndianVec<LittleEndian>| {
            let section = wasm_encoder::CustomSection { name: id.name().into(), data: bytes.slice().into() };
            wasm_encoder::Section::append_to(&section, &mut wasm);
            Ok::<(), gimli::Error>(())
        };
        sections.for_each(&mut add).unwrap();
        wasm
    }

    /// Entries of inlined calls in what a module becomes.
    fn inlined(wasm: &[u8]) -> usize {
        let config = Config::executable("x86_64-linux".parse().unwrap(), |_, _| None);
        let compiled = crate::pipeline::compile(wasm, &config).unwrap();
        let sections = compiled.debug_sections();
        let resolved: Vec<_> =
            sections.iter().map(|section| (section.id, section.resolved(0, false))).collect();
        let load = |id| {
            let bytes = resolved.iter().find(|(other, _)| *other == id).map_or(&[][..], |(_, bytes)| bytes);
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(load).unwrap();
        let (mut units, mut count) = (dwarf.units(), 0);
        while let Some(header) = units.next().unwrap() {
            let unit = dwarf.unit(header).unwrap();
            let mut entries = unit.entries();
            while let Some(entry) = entries.next_dfs().unwrap() {
                count += usize::from(entry.tag() == dw::DW_TAG_inlined_subroutine);
            }
        }
        count
    }

    #[test]
    fn scopes_of_inlined_functions_are_bounded() {
        // The function itself is not called any more, and has no code.
        assert_eq!(inlined(&module(3)), CALLS + 3 * CALLS);
        assert_eq!(inlined(&module(100)), CALLS + MOST_SCOPES as usize);
    }
}
