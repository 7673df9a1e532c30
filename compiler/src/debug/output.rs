//! Debug sections as bytes with relocations, for whatever file they become part of.

use gimli::write::{
    AttributeValue, Dwarf, EndianVec, RelocateWriter, Relocation, RelocationTarget, Sections, Writer as _,
};
use gimli::{DebugMacroOffset, RunTimeEndian, SectionId};

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
            put(relocation, base, &mut bytes, is_big_endian);
        }
        bytes
    }
}

/// Writes into a section what a relocation stands for, if what it refers to starts at `base`.
pub(crate) fn put(relocation: &Relocation, base: u64, bytes: &mut [u8], is_big_endian: bool) {
    let value = base.wrapping_add_signed(relocation.addend);
    let size = usize::from(relocation.size);
    let field = &mut bytes[relocation.offset..relocation.offset + size];
    match is_big_endian {
        true => field.copy_from_slice(&value.to_be_bytes()[8 - size..]),
        false => field.copy_from_slice(&value.to_le_bytes()[..size]),
    }
}

/// What comes before the addresses of `.debug_addr`: length, version, sizes of addresses and segments.
const ADDRESS_HEADER: usize = 8;

/// The reference to the table of addresses. The writer has none of that form but those to macros, which nothing else has.
pub(super) fn address_table() -> AttributeValue {
    AttributeValue::DebugMacroRef(DebugMacroOffset(ADDRESS_HEADER))
}

/// Adds a table with one address, that of the text section, for what [`address_table`] refers to.
pub(super) fn add_address_table(sections: &mut Vec<DebugSection>, address_size: u8, endian: RunTimeEndian) {
    let references = sections.iter_mut().flat_map(|section| &mut section.relocations);
    for reference in
        references.filter(|reference| reference.target == RelocationTarget::Section(SectionId::DebugMacro))
    {
        reference.target = RelocationTarget::Section(SectionId::DebugAddr);
    }
    let mut bytes = EndianVec::new(endian);
    let len = ADDRESS_HEADER - 4 + usize::from(address_size);
    let fields = [(len as u64, 4), (5, 2), (u64::from(address_size), 1), (0, 1), (0, address_size)];
    for (value, size) in fields {
        bytes.write_udata(value, size).expect("a vector takes all bytes");
    }
    let address = Relocation {
        offset: ADDRESS_HEADER,
        size: address_size,
        target: RelocationTarget::Symbol(0),
        addend: 0,
        eh_pe: None,
    };
    let (id, bytes) = (SectionId::DebugAddr, bytes.into_vec());
    sections.push(DebugSection { id, bytes, relocations: vec![address] });
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
