//! `.eh_frame`: unwind information for every function, for debuggers, profilers and backtraces.
//!
//! Addresses are written relative to themselves (`DW_EH_PE_pcrel | sdata4`), so that the section needs no relocation
//! at run time.

use super::text::Text;
use crate::error::{Error, Result};
use cranelift_codegen::gimli::write::{
    Address, EhFrame, EndianVec, FrameTable, Result as GimliResult, Writer,
};
use cranelift_codegen::gimli::{self, RunTimeEndian};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use object::write::{Object, Relocation, SectionId};
use object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};

/// Adds `.eh_frame` for the functions of the text section.
pub(super) fn write(
    object: &mut Object<'_>,
    text: SectionId,
    layout: &Text,
    isa: &dyn TargetIsa,
) -> Result<()> {
    let internal =
        |error: &dyn std::fmt::Display| Error::internal(format!("cannot write unwind information: {error}"));
    let Some(mut cie) = isa.create_systemv_cie() else { return Ok(()) };
    cie.fde_address_encoding = gimli::DwEhPe(gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0);
    let mut table = FrameTable::default();
    let cie = table.add_cie(cie);
    for range in &layout.ranges {
        if let Some(UnwindInfo::SystemV(info)) = &range.unwind {
            let address = Address::Symbol { symbol: 0, addend: i64::from(range.offset) };
            table.add_fde(cie, info.to_fde(address));
        }
    }
    let endian = match isa.endianness() {
        cranelift_codegen::ir::Endianness::Little => RunTimeEndian::Little,
        cranelift_codegen::ir::Endianness::Big => RunTimeEndian::Big,
    };
    let mut frames = EhFrame::from(Recorder { bytes: EndianVec::new(endian), pointers: Vec::new() });
    table.write_eh_frame(&mut frames).map_err(|error| internal(&error))?;
    let section = object.add_section(Vec::new(), b".eh_frame".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(section, frames.0.bytes.slice(), 8);
    let symbol = object.section_symbol(text);
    for (offset, addend) in frames.0.pointers {
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Relative,
            encoding: RelocationEncoding::Generic,
            size: 32,
        };
        object
            .add_relocation(section, Relocation { offset: offset as u64, symbol, addend, flags })
            .map_err(|error| internal(&error))?;
    }
    Ok(())
}

/// Writes bytes, and notes where pointers into the text section are wanted.
#[derive(Clone)]
struct Recorder {
    bytes: EndianVec<RunTimeEndian>,
    /// Offset of the pointer, and the offset in the text section that it points to.
    pointers: Vec<(usize, i64)>,
}

impl Writer for Recorder {
    type Endian = RunTimeEndian;

    fn endian(&self) -> RunTimeEndian {
        self.bytes.endian()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn write(&mut self, bytes: &[u8]) -> GimliResult<()> {
        self.bytes.write(bytes)
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> GimliResult<()> {
        self.bytes.write_at(offset, bytes)
    }

    fn write_eh_pointer(&mut self, address: Address, _encoding: gimli::DwEhPe, _size: u8) -> GimliResult<()> {
        match address {
            Address::Symbol { addend, .. } => {
                self.pointers.push((self.len(), addend));
                self.write_u32(0)
            }
            Address::Constant(value) => self.write_u32(value as u32),
        }
    }
}
