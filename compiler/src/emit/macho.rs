//! Mach-O: objects for macOS.
//!
//! All code stays one block: the object does not say `MH_SUBSECTIONS_VIA_SYMBOLS`, so linkers do not take functions
//! apart, and offsets in the module description hold.

use super::format::{
    Format, Frames, Part, Place, absolute, add_relocation, generic_relocation, no_relocation, not_written,
};
use super::text::{Text, TextRange};
use super::{compact_unwind, eh_frame};
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::gimli as frames;
use cranelift_codegen::isa::TargetIsa;
use object::write::{
    MachOBuildVersion, Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags,
    SymbolKind, SymbolScope, macho,
};

pub(super) struct MachO;

/// The oldest macOS that the objects say they are for: the first one on both machines.
const OLDEST_MACOS: (u16, u8, u8) = (11, 0, 0);

impl Format for MachO {
    fn new_object(&self, target: &Target) -> Result<Object<'static>> {
        use target_lexicon::Architecture as A;
        let architecture = match target.triple().architecture {
            A::X86_64 => Architecture::X86_64,
            A::Aarch64(_) => Architecture::Aarch64,
            _ => {
                return Err(Error::new(ErrorKind::Config, format!("objects for {target} cannot be written")));
            }
        };
        let mut object = Object::new(BinaryFormat::MachO, architecture, Endianness::Little);
        let mut version = MachOBuildVersion::default();
        let (major, minor, patch) = OLDEST_MACOS;
        version.platform = macho::PLATFORM_MACOS;
        version.minos = macho::Version::new(major, minor, patch);
        version.sdk = version.minos;
        object.set_macho_build_version(version);
        Ok(object)
    }

    fn place(&self, part: Part) -> Place {
        let (segment, name, kind) = match part {
            Part::Description => ("__TEXT", "__aot_info", SectionKind::ReadOnlyData),
            Part::Data => ("__TEXT", "__aot_data", SectionKind::ReadOnlyData),
            Part::Descriptor => ("__DATA", "__const", SectionKind::ReadOnlyDataWithRel),
            Part::CpuFeatures => ("__TEXT", "__aot_cpu", SectionKind::ReadOnlyData),
            Part::Tables => ("__TEXT", "__aot_tables", SectionKind::ReadOnlyData),
            Part::Initial => ("__TEXT", "__aot_initial", SectionKind::ReadOnlyData),
            Part::Memory => ("__DATA", "__aot_memory", SectionKind::Data),
            Part::Profile => ("__DATA", "__aot_profile", SectionKind::Data),
        };
        Place { segment, name, kind }
    }

    /// Names have no more than 16 bytes.
    fn debug_section(&self, id: gimli::SectionId) -> (&'static str, String) {
        let mut name = id.name().replacen('.', "__", 1);
        name.truncate(16);
        ("__DWARF", name)
    }

    /// Linkers leave these sections in the objects, where `dsymutil` reads them: nothing in them moves.
    fn section_offset(&self, _: u8) -> Option<RelocationFlags> {
        None
    }

    /// A name that starts with `l` is for linkers only: they leave it out of what they make.
    fn section_start(&self, object: &mut Object<'_>, section: SectionId) -> SymbolId {
        let name = object.section(section).name().unwrap_or_default().trim_start_matches('_');
        let name = format!("l_aot_start_{name}").into_bytes();
        object.add_symbol(Symbol {
            name,
            value: 0,
            size: 0,
            // The other kinds get the underscore of C's names.
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn code_relocation(&self, kind: Reloc) -> Result<RelocationFlags> {
        generic_relocation(kind).ok_or_else(|| no_relocation(kind))
    }

    fn frame_table(&self, layout: &Text, isa: &dyn TargetIsa) -> Result<Option<eh_frame::Table>> {
        let architecture = isa.triple().architecture;
        let is_dwarf = |range: &TextRange| {
            compact_unwind::is_dwarf(architecture, compact_unwind::encoding(architecture, range))
        };
        let pointers = frames::DwEhPe(frames::DW_EH_PE_pcrel.0 | frames::DW_EH_PE_absptr.0);
        eh_frame::encode(layout, isa, pointers, is_dwarf)
    }

    /// `__compact_unwind` for every function, `__eh_frame` for those whose frame is none of the compact ones.
    fn add_unwind(&self, object: &mut Object<'_>, frames: Frames<'_>) -> Result<()> {
        let architecture = frames.isa.triple().architecture;
        let encoding = |range: &TextRange| compact_unwind::encoding(architecture, range);
        if let Some(table) = frames.dwarf {
            let section = object.section_id(StandardSection::EhFrame);
            object.set_section_data(section, table.bytes, 8);
            let start = self.section_start(object, section);
            for (offset, target) in table.pointers {
                // Function minus section, and the place in the section taken away from that.
                let symbol = frames.functions[&target];
                let addend = -(offset as i64);
                let relocation = Relocation { offset: offset as u64, symbol, addend, flags: absolute(8) };
                object
                    .add_relocation_with_subtractor(section, relocation, Some(start))
                    .map_err(|error| not_written(&error))?;
            }
        }

        let section = object.add_section(b"__LD".to_vec(), b"__compact_unwind".to_vec(), SectionKind::Debug);
        let flags = macho::S_REGULAR | macho::S_ATTR_DEBUG;
        object.section_mut(section).flags = SectionFlags::MachO { flags, reserved2: 0 };
        for range in frames.layout.ranges.iter().filter(|range| range.len > 0) {
            let entry = compact_unwind::entry(range.len, encoding(range));
            let offset = object.append_section_data(section, &entry, 8);
            let symbol = frames.functions[&range.offset];
            add_relocation(object, section, Relocation { offset, symbol, addend: 0, flags: absolute(8) })?;
        }
        Ok(())
    }
}
