//! Debug sections as bytes with relocations, for whatever file they become part of.

use gimli::write::{Dwarf, EndianVec, RelocateWriter, Relocation, RelocationTarget, Sections};
use gimli::{RunTimeEndian, SectionId};

/// A section of debug information.
#[derive(Debug)]
pub(crate) struct DebugSection {
    pub id: SectionId,
    pub bytes: Vec<u8>,
    /// Pointers into the text section (a symbol), and into other sections.
    pub relocations: Vec<Relocation>,
}

impl DebugSection {
    /// The bytes, for code that lies at an address, with no section moved.
    pub fn resolved(&self, text_address: u64, is_big_endian: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for relocation in &self.relocations {
            let base = match relocation.target {
                RelocationTarget::Symbol(_) => text_address,
                RelocationTarget::Section(_) => 0,
            };
            let value = base.wrapping_add_signed(relocation.addend);
            let size = usize::from(relocation.size);
            let field = &mut bytes[relocation.offset..relocation.offset + size];
            match is_big_endian {
                true => field.copy_from_slice(&value.to_be_bytes()[8 - size..]),
                false => field.copy_from_slice(&value.to_le_bytes()[..size]),
            }
        }
        bytes
    }
}

#[derive(Clone)]
struct Recorder {
    bytes: EndianVec<RunTimeEndian>,
    relocations: Vec<Relocation>,
}

impl RelocateWriter for Recorder {
    type Writer = EndianVec<RunTimeEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }

    fn relocate(&mut self, relocation: Relocation) {
        self.relocations.push(relocation);
    }
}

/// Encodes all units.
///
/// # Errors
/// If they hold what DWARF cannot express.
pub(super) fn encode(dwarf: &mut Dwarf, endian: RunTimeEndian) -> gimli::write::Result<Vec<DebugSection>> {
    let recorder = Recorder { bytes: EndianVec::new(endian), relocations: Vec::new() };
    let mut sections = Sections::new(recorder);
    dwarf.write(&mut sections)?;
    let mut written = Vec::new();
    let each = |id, section: &mut Recorder| -> gimli::write::Result<()> {
        let bytes = section.bytes.take();
        if !bytes.is_empty() {
            written.push(DebugSection { id, bytes, relocations: std::mem::take(&mut section.relocations) });
        }
        Ok(())
    };
    sections.for_each_mut(each)?;
    Ok(written)
}
