//! ELF: objects for Linux.

use super::eh_frame;
use super::format::{
    Format, Frames, Part, Place, absolute, add_relocation, generic_relocation, no_relocation,
};
use super::text::Text;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use aot_abi::descriptor::MEMORY_SECTION;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::TargetIsa;
use object::write::{Object, Relocation, SectionId, SymbolId};
use object::{
    Architecture, BinaryFormat, Endianness, FileFlags, RelocationEncoding, RelocationFlags, RelocationKind,
    SectionKind, elf,
};

pub(super) struct Elf;

/// An empty ELF object for a target.
///
/// # Errors
/// [`ErrorKind::Config`] if ELF objects cannot be written for the target.
pub(crate) fn new_object(target: &Target) -> Result<Object<'static>> {
    use target_lexicon::Architecture as A;
    let none = elf::FileFlags(0);
    let (architecture, e_flags) = match target.triple().architecture {
        A::X86_64 => (Architecture::X86_64, none),
        A::Aarch64(_) => (Architecture::Aarch64, none),
        // Linkers refuse to mix conventions: floating point numbers travel in registers.
        A::Riscv64(_) => (Architecture::Riscv64, elf::EF_RISCV_FLOAT_ABI_DOUBLE),
        A::S390x => (Architecture::S390x, none),
        _ => return Err(Error::new(ErrorKind::Config, format!("objects for {target} cannot be written"))),
    };
    let endianness = if target.is_big_endian() { Endianness::Big } else { Endianness::Little };
    let mut object = Object::new(BinaryFormat::Elf, architecture, endianness);
    object.flags = FileFlags::Elf { os_abi: elf::ELFOSABI_NONE, abi_version: 0, e_flags };
    Ok(object)
}

impl Format for Elf {
    fn new_object(&self, target: &Target) -> Result<Object<'static>> {
        new_object(target)
    }

    fn place(&self, part: Part) -> Place {
        let (name, kind) = match part {
            Part::Description => (".aot.info", SectionKind::ReadOnlyData),
            Part::Data => (".rodata.aot", SectionKind::ReadOnlyData),
            Part::Descriptor => (".data.rel.ro", SectionKind::ReadOnlyDataWithRel),
            Part::CpuFeatures => (".rodata.aot.cpu", SectionKind::ReadOnlyData),
            Part::Tables => (".rodata.aot.tables", SectionKind::ReadOnlyData),
            Part::Initial => (".rodata.aot.initial", SectionKind::ReadOnlyData),
            Part::Memory => (MEMORY_SECTION, SectionKind::Data),
            Part::Profile => (".data.aot.profile", SectionKind::Data),
        };
        Place { segment: "", name, kind }
    }

    fn section_start(&self, object: &mut Object<'_>, section: SectionId) -> SymbolId {
        object.section_symbol(section)
    }

    fn code_relocation(&self, kind: Reloc) -> Result<RelocationFlags> {
        if let Some(flags) = generic_relocation(kind) {
            return Ok(flags);
        }
        let dbl = |kind| RelocationFlags::Generic { kind, encoding: RelocationEncoding::S390xDbl, size: 32 };
        let r_type = match kind {
            Reloc::S390xPCRel32Dbl => return Ok(dbl(RelocationKind::Relative)),
            Reloc::S390xPLTRel32Dbl => return Ok(dbl(RelocationKind::PltRelative)),
            Reloc::Aarch64AdrPrelPgHi21 => elf::R_AARCH64_ADR_PREL_PG_HI21,
            Reloc::Aarch64AddAbsLo12Nc => elf::R_AARCH64_ADD_ABS_LO12_NC,
            Reloc::Aarch64AdrGotPage21 => elf::R_AARCH64_ADR_GOT_PAGE,
            Reloc::Aarch64Ld64GotLo12Nc => elf::R_AARCH64_LD64_GOT_LO12_NC,
            Reloc::RiscvCallPlt => elf::R_RISCV_CALL_PLT,
            Reloc::RiscvGotHi20 => elf::R_RISCV_GOT_HI20,
            Reloc::RiscvPCRelHi20 => elf::R_RISCV_PCREL_HI20,
            Reloc::RiscvPCRelLo12I => elf::R_RISCV_PCREL_LO12_I,
            other => return Err(no_relocation(other)),
        };
        Ok(RelocationFlags::Elf { r_type })
    }

    /// Addresses are relative to themselves, so that they need no relocation at run time.
    fn frame_table(&self, layout: &Text, isa: &dyn TargetIsa) -> Result<Option<eh_frame::Table>> {
        eh_frame::encode(layout, isa, eh_frame::RELATIVE, |_| true)
    }

    /// `.eh_frame`.
    fn add_unwind(&self, object: &mut Object<'_>, frames: Frames<'_>) -> Result<()> {
        let Some(table) = frames.dwarf else { return Ok(()) };
        let section = object.add_section(Vec::new(), b".eh_frame".to_vec(), SectionKind::ReadOnlyData);
        object.set_section_data(section, table.bytes, 8);
        for (offset, target) in table.pointers {
            let flags = RelocationFlags::Generic {
                kind: RelocationKind::Relative,
                encoding: RelocationEncoding::Generic,
                size: 32,
            };
            let (offset, addend) = (offset as u64, i64::from(target));
            add_relocation(object, section, Relocation { offset, symbol: frames.start, addend, flags })?;
        }
        Ok(())
    }

    fn section_offset(&self, size: u8) -> Option<RelocationFlags> {
        Some(absolute(u32::from(size)))
    }

    fn has_source(&self) -> bool {
        true
    }

    fn finish(&self, object: &mut Object<'_>) {
        // Without this section old linkers ask for an executable stack.
        object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    }
}
