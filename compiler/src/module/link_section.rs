//! The custom section of a module that others were linked to: what the binary format has no place for.
//!
//! ```text
//! version     u8              1
//! memories    u32             0, or the number of imported functions plus 1
//!             [u32]           for each, the memory that it acts on plus 1; 0: none
//! functions   u32             number of functions that came from the linked modules
//!             [u32 n, [u32 × 2]]
//!                             for each, where its instructions were: n pairs of an offset in the function and one in the
//!                             file that the function came from, each as the difference to the one before
//! ```
//!
//! Numbers are unsigned LEB128.

use crate::error::{Error, ErrorKind, Result};
use wasm_encoder::{CustomSection, Encode as _};
use wasmparser::BinaryReader;

/// The name of the section.
pub(super) const NAME: &str = "aot.link";

const VERSION: u8 = 1;

/// What the section says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkSection {
    /// The memory that each imported function acts on if it acts on that of its caller, as the functions of WASI do.
    /// `None`: the one that the module exports as `memory`.
    pub import_memories: Option<Vec<Option<u32>>>,
    /// Of the defined functions; there may be more of those.
    pub offsets: Vec<SourceOffsets>,
}

/// Where the instructions of a function were in the file that it came from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceOffsets {
    /// Offset from the start of the body, and offset in the file: of the instructions from there on up to the next pair,
    /// which keep their distance. Both ascending.
    runs: Vec<(u32, u32)>,
}

impl SourceOffsets {
    /// Offset from the start of the body and offset in the file, wherever their distance changes. Both ascending.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.runs.iter().copied()
    }

    /// Adds the next instruction.
    pub fn add(&mut self, offset: u64, source: u64) {
        // In a module, offsets have 32 bits.
        let (offset, source) = (offset as u32, source as u32);
        if self.find(u64::from(offset)) != Some(u64::from(source)) {
            self.runs.push((offset, source));
        }
    }

    /// Offset in the file that an instruction came from, given its offset from the start of the body.
    pub fn find(&self, offset: u64) -> Option<u64> {
        let next = self.runs.partition_point(|(start, _)| u64::from(*start) <= offset);
        let (start, source) = self.runs[next.checked_sub(1)?];
        Some(u64::from(source) + (offset - u64::from(start)))
    }
}

impl LinkSection {
    /// The section in the binary format.
    pub fn encode(&self) -> CustomSection<'static> {
        let mut bytes = vec![VERSION];
        let memories = self.import_memories.as_deref();
        memories.map_or(0, |memories| memories.len() as u32 + 1).encode(&mut bytes);
        for memory in memories.unwrap_or_default() {
            memory.map_or(0, |memory| memory + 1).encode(&mut bytes);
        }
        (self.offsets.len() as u32).encode(&mut bytes);
        for offsets in &self.offsets {
            (offsets.runs.len() as u32).encode(&mut bytes);
            let mut last = (0, 0);
            for (offset, source) in &offsets.runs {
                (offset - last.0).encode(&mut bytes);
                (source - last.1).encode(&mut bytes);
                last = (*offset, *source);
            }
        }
        CustomSection { name: NAME.into(), data: bytes.into() }
    }

    /// Reads the section of a module with so many imported functions, and memories.
    ///
    /// # Errors
    /// If it is damaged: without it the module would do something else.
    pub fn decode(bytes: &[u8], file_offset: u64, imported_funcs: u32, memories: u32) -> Result<LinkSection> {
        let mut reader = BinaryReader::new(bytes, file_offset);
        Self::read(&mut reader, imported_funcs, memories).ok_or_else(|| {
            let message = format!("the custom section `{NAME}`, which `aot link` wrote, is damaged");
            Error::new(ErrorKind::Invalid, message)
                .at(reader.original_position())
                .with_help("link the modules again")
        })
    }

    fn read(r: &mut BinaryReader<'_>, imported_funcs: u32, memories: u32) -> Option<LinkSection> {
        if r.read_u8().ok()? != VERSION {
            return None;
        }
        let mut number = || r.read_var_u32().ok();
        let import_memories = match number()? {
            0 => None,
            count => {
                let memory = |_| match number()? {
                    0 => Some(None),
                    memory => (memory <= memories).then_some(Some(memory - 1)),
                };
                (count - 1 == imported_funcs).then_some(())?;
                Some((0..imported_funcs).map(memory).collect::<Option<Vec<_>>>()?)
            }
        };
        let mut offsets = Vec::new();
        for _ in 0..number()? {
            let mut runs = Vec::new();
            let (mut offset, mut source) = (0u32, 0u32);
            for _ in 0..number()? {
                offset = offset.checked_add(number()?)?;
                source = source.checked_add(number()?)?;
                runs.push((offset, source));
            }
            offsets.push(SourceOffsets { runs });
        }
        r.eof().then_some(LinkSection { import_memories, offsets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LinkSection {
        let mut first = SourceOffsets::default();
        for (offset, source) in [(2, 100), (4, 102), (9, 108), (200, 301), (202, 303)] {
            first.add(offset, source);
        }
        let import_memories = Some(vec![Some(0), None, Some(1)]);
        LinkSection { import_memories, offsets: vec![first, SourceOffsets::default()] }
    }

    #[test]
    fn sections_round_trip() {
        for section in [sample(), LinkSection::default()] {
            let imports = section.import_memories.as_ref().map_or(0, Vec::len) as u32;
            let encoded = section.encode();
            assert_eq!(LinkSection::decode(&encoded.data, 0, imports, 2).unwrap(), section);
        }
    }

    #[test]
    fn offsets_are_found() {
        let LinkSection { offsets, .. } = sample();
        for (offset, source) in
            [(0, None), (2, Some(100)), (4, Some(102)), (9, Some(108)), (199, Some(298)), (202, Some(303))]
        {
            assert_eq!(offsets[0].find(offset), source, "{offset}");
        }
        assert_eq!(offsets[0].runs, [(2, 100), (9, 108), (200, 301)]);
        assert_eq!(offsets[1].find(7), None);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = sample().encode().data.into_owned();
        for (imports, memories) in [(2, 2), (3, 1)] {
            assert!(LinkSection::decode(&bytes, 0, imports, memories).is_err());
        }
        for len in 0..bytes.len() {
            assert!(LinkSection::decode(&bytes[..len], 0, 3, 2).is_err(), "{len}");
            let mut damaged = bytes.clone();
            damaged[len] ^= 0xff;
            drop(LinkSection::decode(&damaged, 0, 3, 2));
        }
    }
}
