//! The debug information of a module that was linked to others (`merge`): its sections as they were, and what became of
//! the code, the memory and the globals that they are about.
//!
//! ```text
//! version     u8              1
//! code        u32             offset in the module's file of the contents of its code section
//! memory      u32             0, or its memory in the result plus 1
//! globals     u32 n, [u32]    its globals in the result
//! functions   u32 n           those that are in the result
//!             [u32 × 3]       for each, its number among the defined ones of the result, where its body was in the file, as
//!                             the difference to the end of the one before, and the length of the body
//!             u32 n, [u32 × 2]
//!                             where its instructions are: an offset in the file and one in the body of the result, each as
//!                             the difference to the one before; the first to the start of the body
//! sections    u32 n, [string, u32 len, bytes]
//! ```
//!
//! Numbers are unsigned LEB128.

use crate::module::SourceOffsets;
use std::collections::HashMap;
use std::ops::Range;
use wasm_encoder::{CustomSection, Encode as _};
use wasmparser::BinaryReader;

/// The name of the section; there is one for each module that has debug information.
pub(crate) const NAME: &str = "aot.debug";

const VERSION: u8 = 1;

/// What a section says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Linked<'a> {
    pub sections: Vec<(&'a str, &'a [u8])>,
    /// As in [`super::Input`], in the module's own file.
    pub code_start: u64,
    /// What its first memory and its globals are in the result.
    pub memory: Option<u32>,
    pub globals: Vec<u32>,
    /// Ascending by where they were.
    pub functions: Vec<LinkedFunction>,
}

/// A function that is in the result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LinkedFunction {
    /// Its number there, without imported ones.
    pub func: u32,
    /// Where its body was in the file.
    pub source: Range<u64>,
    /// Offset in that file, and in the body that it has now: of the instructions from there on. Both ascending.
    pub runs: Vec<(u32, u32)>,
}

impl LinkedFunction {
    pub fn new(func: u32, source: Range<u64>, offsets: &SourceOffsets) -> LinkedFunction {
        LinkedFunction {
            func,
            source,
            runs: offsets.runs().map(|(offset, source)| (source, offset)).collect(),
        }
    }

    /// The same after a second time: `outer` is what has become of the function that this one is there.
    fn through(&self, outer: &LinkedFunction) -> LinkedFunction {
        let body = outer.source.start;
        let place = |offset: u32| {
            let at = body + u64::from(offset);
            (at < outer.source.end).then(|| outer.offset(at, u32::MAX.into()) as u32)
        };
        let own = self.runs.iter().filter_map(|(source, offset)| Some((*source, place(*offset)?)));
        // Distances change where they changed in one of both.
        let more = outer.runs.iter().filter_map(|(middle, offset)| {
            let middle = u64::from(*middle).checked_sub(body)?;
            let next = self.runs.partition_point(|(_, offset)| u64::from(*offset) <= middle);
            let (source, start) = self.runs[next.checked_sub(1)?];
            let source = u64::from(source) + (middle - u64::from(start));
            let end = self.runs.get(next).map_or(self.source.end, |(end, _)| u64::from(*end));
            (source < end).then_some((source as u32, *offset))
        });
        let mut runs: Vec<(u32, u32)> = own.chain(more).collect();
        runs.sort_unstable();
        let mut last = None;
        runs.retain(|(source, offset)| {
            let is_new = last.is_none_or(|(before, least)| *source > before && *offset >= least);
            if is_new {
                last = Some((*source, *offset));
            }
            is_new
        });
        LinkedFunction { func: outer.func, source: self.source.clone(), runs }
    }

    /// Where in its body is what was at an offset in the file. `len` is the length of the body.
    fn offset(&self, source: u64, len: u64) -> u64 {
        let next = self.runs.partition_point(|(start, _)| u64::from(*start) <= source);
        let end = self.runs.get(next).map_or(len, |(_, offset)| u64::from(*offset));
        match next.checked_sub(1).map(|last| self.runs[last]) {
            _ if source >= self.source.end => len,
            Some((start, offset)) => (u64::from(offset) + (source - u64::from(start))).min(end),
            // Locals.
            None => 0,
        }
    }
}

impl<'a> Linked<'a> {
    /// The same when the module that it is in is linked to others again. Its memories and globals become those of the lists;
    /// `functions` are what its functions become, by their numbers; those that are taken are gone then.
    pub fn again(
        &self,
        memories: &[u32],
        globals: &[u32],
        functions: &mut HashMap<u32, LinkedFunction>,
    ) -> Linked<'a> {
        let of = |list: &[u32], index: u32| list.get(index as usize).copied();
        let functions =
            self.functions.iter().filter_map(|inner| Some(inner.through(&functions.remove(&inner.func)?)));
        Linked {
            sections: self.sections.clone(),
            code_start: self.code_start,
            memory: self.memory.and_then(|memory| of(memories, memory)),
            globals: self.globals.iter().map(|global| of(globals, *global).unwrap_or(u32::MAX)).collect(),
            functions: functions.collect(),
        }
    }

    /// The section in the binary format.
    pub fn encode(&self) -> CustomSection<'static> {
        let mut bytes = vec![VERSION];
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        number(self.code_start).encode(&mut bytes);
        self.memory.map_or(0, |memory| memory + 1).encode(&mut bytes);
        self.globals.encode(&mut bytes);
        (self.functions.len() as u32).encode(&mut bytes);
        let mut end = 0;
        for LinkedFunction { func, source, runs } in &self.functions {
            for value in [u64::from(*func), source.start - end, source.end - source.start, runs.len() as u64]
            {
                number(value).encode(&mut bytes);
            }
            end = source.end;
            let mut last = (number(source.start), 0);
            for (source, offset) in runs {
                (source - last.0).encode(&mut bytes);
                (offset - last.1).encode(&mut bytes);
                last = (*source, *offset);
            }
        }
        (self.sections.len() as u32).encode(&mut bytes);
        for (name, contents) in &self.sections {
            name.encode(&mut bytes);
            contents.encode(&mut bytes);
        }
        CustomSection { name: NAME.into(), data: bytes.into() }
    }

    /// Reads a section; nothing if it is damaged.
    pub fn decode(bytes: &'a [u8]) -> Option<Linked<'a>> {
        let mut reader = BinaryReader::new(bytes, 0);
        let r = &mut reader;
        if r.read_u8().ok()? != VERSION {
            return None;
        }
        let number = |r: &mut BinaryReader<'a>| r.read_var_u32().ok();
        let code_start = u64::from(number(r)?);
        let memory = number(r)?.checked_sub(1);
        let mut globals = Vec::new();
        for _ in 0..number(r)? {
            globals.push(number(r)?);
        }
        let mut functions = Vec::new();
        let mut end = 0u32;
        for _ in 0..number(r)? {
            let func = number(r)?;
            let start = end.checked_add(number(r)?)?;
            end = start.checked_add(number(r)?)?;
            let mut runs = Vec::new();
            let mut last = (start, 0u32);
            for _ in 0..number(r)? {
                last = (last.0.checked_add(number(r)?)?, last.1.checked_add(number(r)?)?);
                runs.push(last);
            }
            functions.push(LinkedFunction { func, source: u64::from(start)..u64::from(end), runs });
        }
        let mut sections = Vec::new();
        for _ in 0..number(r)? {
            let name = r.read_unlimited_string().ok()?;
            let len = number(r)? as usize;
            sections.push((name, r.read_bytes(len).ok()?));
        }
        r.eof().then_some(Linked { sections, code_start, memory, globals, functions })
    }

    /// The function of the result whose body has a code address of the module's DWARF, or ends there, and where in that
    /// body it is. `bodies` are those of the result.
    pub fn place(&self, address: u64, bodies: &[Range<u64>]) -> Option<(u32, u64)> {
        let offset = self.code_start.checked_add(address)?;
        let next = self.functions.partition_point(|function| function.source.start <= offset);
        let function = &self.functions[next.checked_sub(1)?];
        let body = bodies.get(function.func as usize)?;
        (offset <= function.source.end)
            .then(|| (function.func, body.start + function.offset(offset, body.end - body.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Linked<'static> {
        let function =
            |func, source, runs: &[(u32, u32)]| LinkedFunction { func, source, runs: runs.to_vec() };
        Linked {
            sections: vec![(".debug_info", b"some"), (".debug_line", b"")],
            code_start: 100,
            memory: Some(2),
            globals: vec![5, 0],
            functions: vec![
                function(7, 102..120, &[(103, 1), (110, 10)]),
                function(3, 121..130, &[(122, 1), (125, 3)]),
            ],
        }
    }

    #[test]
    fn sections_round_trip() {
        for linked in [sample(), Linked::default()] {
            assert_eq!(Linked::decode(&linked.encode().data), Some(linked));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = sample().encode().data.into_owned();
        for len in 0..bytes.len() {
            assert_eq!(Linked::decode(&bytes[..len]), None, "{len}");
            let mut damaged = bytes.clone();
            damaged[len] ^= 0xff;
            if let Some(linked) = Linked::decode(&damaged) {
                // Whatever it says, it is looked up.
                let found = (0..50).filter_map(|address| linked.place(address, &[0..10, 10..30]));
                assert!(found.count() <= 50);
            }
        }
    }

    #[test]
    fn addresses_are_found_in_the_result() {
        let linked = sample();
        let mut bodies = vec![0..0; 8];
        (bodies[7], bodies[3]) = (1000..1021, 500..508);
        let place = |address| linked.place(address, &bodies);
        assert_eq!([place(0), place(1)], [None, None]);
        assert_eq!(place(2), Some((7, 1000)));
        assert_eq!([place(3), place(9)], [Some((7, 1001)), Some((7, 1007))]);
        assert_eq!([place(10), place(19), place(20)], [Some((7, 1010)), Some((7, 1019)), Some((7, 1021))]);
        // Instructions have become shorter.
        assert_eq!([place(22), place(24), place(25)], [Some((3, 501)), Some((3, 503)), Some((3, 503))]);
        assert_eq!([place(30), place(31)], [Some((3, 508)), None]);
    }

    #[test]
    fn what_is_linked_again_is_found_in_the_second_result() {
        let linked = sample();
        let outer = LinkedFunction { func: 1, source: 1000..1021, runs: vec![(1001, 2), (1012, 20)] };
        let mut functions = HashMap::from([(7, outer)]);
        let again = linked.again(&[9, 8, 6], &[4, 3], &mut functions);
        assert_eq!((again.memory, &again.globals[..]), (Some(6), &[u32::MAX, 4][..]));
        assert!(functions.is_empty());
        // The other function is not in the result.
        assert_eq!(again.functions.len(), 1);
        assert_eq!(again.functions[0].runs, [(103, 2), (110, 11), (112, 20)]);
        let bodies = [0..0, 500..530];
        let place = |address| again.place(address, &bodies).map(|(_, offset)| offset - 500);
        assert_eq!([3, 9, 10, 11, 12, 20].map(place), [2, 8, 11, 12, 20, 30].map(Some));
        assert_eq!(Linked::decode(&again.encode().data), Some(again));
    }
}
