//! COFF: objects for Windows.

use super::format::{Format, Frames, Part, Place, add_relocation, generic_relocation, no_relocation};
use super::windows_unwind;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use cranelift_codegen::binemit::Reloc;
use object::write::{Object, Relocation, SectionId, SymbolId};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind,
};
use std::collections::HashMap;

pub(super) struct Coff;

impl Format for Coff {
    fn new_object(&self, target: &Target) -> Result<Object<'static>> {
        use target_lexicon::Architecture as A;
        let architecture = match target.triple().architecture {
            A::X86_64 => Architecture::X86_64,
            A::Aarch64(_) => Architecture::Aarch64,
            _ => {
                return Err(Error::new(ErrorKind::Config, format!("objects for {target} cannot be written")));
            }
        };
        Ok(Object::new(BinaryFormat::Coff, architecture, Endianness::Little))
    }

    /// Linkers put sections with the same name before the `$` together.
    fn place(&self, part: Part) -> Place {
        let name = match part {
            Part::Description => ".rdata$aot.info",
            Part::Data => ".rdata$aot.data",
            Part::Descriptor => ".rdata",
            Part::CpuFeatures => ".rdata$aot.cpu",
            Part::Tables => ".rdata$aot.tables",
            Part::Initial => ".rdata$aot.initial",
            Part::Memory => ".data$aot.memory",
            Part::Profile => ".data$aot.profile",
        };
        Place { segment: "", name, kind: SectionKind::ReadOnlyData }
    }

    fn section_offset(&self, size: u8) -> Option<RelocationFlags> {
        let (kind, encoding) = (RelocationKind::SectionOffset, RelocationEncoding::Generic);
        Some(RelocationFlags::Generic { kind, encoding, size: size * 8 })
    }

    fn section_start(&self, object: &mut Object<'_>, section: SectionId) -> SymbolId {
        object.section_symbol(section)
    }

    fn code_relocation(&self, kind: Reloc) -> Result<RelocationFlags> {
        generic_relocation(kind).ok_or_else(|| no_relocation(kind))
    }

    /// `.pdata`, a table of functions, and `.xdata`, what their prologues do. Functions with the same prologue share it.
    fn add_unwind(&self, object: &mut Object<'_>, frames: Frames<'_>) -> Result<()> {
        let data = object.add_section(Vec::new(), b".xdata".to_vec(), SectionKind::ReadOnlyData);
        let table = object.add_section(Vec::new(), b".pdata".to_vec(), SectionKind::ReadOnlyData);
        let data_start = self.section_start(object, data);
        let mut known: HashMap<Vec<u8>, u64> = HashMap::new();
        for range in frames.layout.ranges.iter().filter(|range| range.len > 0) {
            let Some(unwind) = &range.unwind else { continue };
            for piece in windows_unwind::describe(frames.isa, range.len, &unwind.prologue)? {
                let at = *known
                    .entry(piece.data)
                    .or_insert_with_key(|bytes| object.append_section_data(data, bytes, 4));
                let start = i64::from(range.offset + piece.offset);
                let mut fields = vec![(frames.start, start)];
                fields.extend(piece.end.map(|end| (frames.start, i64::from(range.offset + end))));
                fields.push((data_start, at as i64));
                let entry = object.append_section_data(table, &vec![0; fields.len() * 4], 4);
                for (offset, (symbol, addend)) in (entry..).step_by(4).zip(fields) {
                    let flags = RelocationFlags::Generic {
                        kind: RelocationKind::ImageOffset,
                        encoding: RelocationEncoding::Generic,
                        size: 32,
                    };
                    add_relocation(object, table, Relocation { offset, symbol, addend, flags })?;
                }
            }
        }
        Ok(())
    }
}
