//! The object formats: how an object starts, what its parts are called, how code is relocated, how frames are described.

use super::coff::Coff;
use super::eh_frame;
use super::elf::Elf;
use super::macho::MachO;
use super::text::Text;
use crate::error::{Error, Result};
use crate::target::Target;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::TargetIsa;
use object::write::{Object, Relocation, SectionId, SymbolId};
use object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};
use std::collections::HashMap;

/// A part of an object beside the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The module description (`aot_abi::module`).
    Description,
    /// Bytes of the data segments.
    Data,
    /// Where the runtime finds the other parts (`aot_abi::descriptor`).
    Descriptor,
    /// Names of the CPU features that the code uses.
    CpuFeatures,
    /// Tables whose contents are fixed.
    Tables,
    /// The state after instantiation (`aot_abi::descriptor`).
    Initial,
    /// What the kernel maps of the memory.
    Memory,
    /// The counters of an executable that is profiled.
    Profile,
}

/// The section of a part.
pub(super) struct Place {
    pub segment: &'static str,
    pub name: &'static str,
    pub kind: SectionKind,
}

/// The code of an object, for what describes its frames.
pub(super) struct Frames<'a> {
    /// A symbol at the first byte of the text section.
    pub start: SymbolId,
    /// Symbols of functions, by offset in that section.
    pub functions: &'a HashMap<u32, SymbolId>,
    pub layout: &'a Text,
    pub isa: &'a dyn TargetIsa,
    /// What [`Format::frame_table`] has made.
    pub dwarf: Option<eh_frame::Table>,
}

/// An object format.
pub(super) trait Format: Sync {
    /// An empty object for a target.
    fn new_object(&self, target: &Target) -> Result<Object<'static>>;

    /// The section of a part of the object.
    fn place(&self, part: Part) -> Place;

    /// A symbol at the first byte of a section, for relocations. Called once for each section.
    fn section_start(&self, object: &mut Object<'_>, section: SectionId) -> SymbolId;

    /// What a relocation of code is in the format.
    fn code_relocation(&self, kind: Reloc) -> Result<RelocationFlags>;

    /// DWARF's description of frames, as far as the format has it; made beside other parts of the object.
    fn frame_table(&self, _layout: &Text, _isa: &dyn TargetIsa) -> Result<Option<eh_frame::Table>> {
        Ok(None)
    }

    /// Adds the description of the frames of all functions.
    fn add_unwind(&self, object: &mut Object<'_>, frames: Frames<'_>) -> Result<()>;

    /// Segment and name of a section of debug information.
    fn debug_section(&self, id: gimli::SectionId) -> (&'static str, String) {
        ("", id.name().to_owned())
    }

    /// What refers to a place in a section of debug information; nothing if that is the offset alone.
    fn section_offset(&self, size: u8) -> Option<RelocationFlags>;

    /// Whether programs of this format can read source positions from their files.
    fn has_source(&self) -> bool {
        false
    }

    /// Adds what the format's linkers want to see beside.
    fn finish(&self, _object: &mut Object<'_>) {}
}

/// The format of objects for a target.
pub(super) fn format_of(target: &Target) -> &'static dyn Format {
    use crate::target::System;
    match target.system() {
        System::Linux => &Elf,
        System::MacOs => &MachO,
        System::Windows => &Coff,
    }
}

/// Relocations of code that all formats have.
pub(super) fn generic_relocation(kind: Reloc) -> Option<RelocationFlags> {
    let (kind, encoding, size) = match kind {
        Reloc::Abs8 => (RelocationKind::Absolute, RelocationEncoding::Generic, 64),
        Reloc::X86PCRel4 => (RelocationKind::Relative, RelocationEncoding::Generic, 32),
        Reloc::X86CallPCRel4 => (RelocationKind::Relative, RelocationEncoding::X86Branch, 32),
        Reloc::X86CallPLTRel4 => (RelocationKind::PltRelative, RelocationEncoding::X86Branch, 32),
        Reloc::Arm64Call => (RelocationKind::PltRelative, RelocationEncoding::AArch64Call, 26),
        _ => return None,
    };
    Some(RelocationFlags::Generic { kind, encoding, size })
}

/// What to say of a relocation of code that a format has no name for.
pub(super) fn no_relocation(kind: Reloc) -> Error {
    Error::internal(format!("relocation {kind} has no form in this object format"))
}

/// The address of a symbol, in a field of `size` bytes.
pub(super) fn absolute(size: u32) -> RelocationFlags {
    RelocationFlags::Generic {
        kind: RelocationKind::Absolute,
        encoding: RelocationEncoding::Generic,
        size: size as u8 * 8,
    }
}

/// Adds a relocation.
pub(super) fn add_relocation(
    object: &mut Object<'_>,
    section: SectionId,
    relocation: Relocation,
) -> Result<()> {
    object.add_relocation(section, relocation).map_err(|error| not_written(&error))
}

pub(super) fn not_written(error: &object::write::Error) -> Error {
    Error::internal(format!("cannot write a relocation: {error}"))
}
