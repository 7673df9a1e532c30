//! `.eh_frame`: unwind information for every function, for debuggers, profilers and backtraces.
//!
//! Addresses are written relative to themselves (`DW_EH_PE_pcrel | sdata4`), so that the section needs no relocation
//! at run time.

use super::text::Text;
use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::gimli::write::{
    Address, EhFrame, EndianVec, FrameTable, Result as GimliResult, Writer,
};
use cranelift_codegen::gimli::{self, RunTimeEndian};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use object::write::{Object, Relocation, SectionId};
use object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};

/// Unwind information whose pointers into the text section are still zero.
struct Frames {
    bytes: EndianVec<RunTimeEndian>,
    /// Offset of the pointer, and the offset in the text section that it points to.
    pointers: Vec<(usize, i64)>,
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("cannot write unwind information: {error}"))
}

/// Unwind information of the functions of the text section, if the target has any.
fn frames(layout: &Text, isa: &dyn TargetIsa) -> Result<Option<Frames>> {
    let Some(mut cie) = isa.create_systemv_cie() else { return Ok(None) };
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
    let mut frames = EhFrame::from(Frames { bytes: EndianVec::new(endian), pointers: Vec::new() });
    table.write_eh_frame(&mut frames).map_err(|error| internal(&error))?;
    Ok(Some(frames.0))
}

/// Adds `.eh_frame` for the functions of the text section.
pub(super) fn write(
    object: &mut Object<'_>,
    text: SectionId,
    layout: &Text,
    isa: &dyn TargetIsa,
) -> Result<()> {
    let Some(frames) = frames(layout, isa)? else { return Ok(()) };
    let section = object.add_section(Vec::new(), b".eh_frame".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(section, frames.bytes.slice(), 8);
    let symbol = object.section_symbol(text);
    for (offset, addend) in frames.pointers {
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

/// The bytes of `.eh_frame`, ended by a terminator, for a file in which they are `distance` bytes before the text section.
pub(super) fn bytes(layout: &Text, isa: &dyn TargetIsa, distance: impl Fn(u64) -> u64) -> Result<Vec<u8>> {
    let Some(mut frames) = frames(layout, isa)? else { return Ok(Vec::new()) };
    frames.write_u32(0).map_err(|error| internal(&error))?;
    let distance = distance(frames.len() as u64);
    let too_far =
        || Error::new(ErrorKind::Limit, "the module's machine code is too large for its unwind tables");
    for (at, target) in std::mem::take(&mut frames.pointers) {
        let pointer = i64::try_from(distance).ok().and_then(|distance| distance.checked_add(target));
        let pointer = pointer.and_then(|pointer| pointer.checked_sub(at as i64)).ok_or_else(too_far)?;
        let pointer = i32::try_from(pointer).map_err(|_| too_far())?;
        frames.write_u32_at(at, pointer as u32).map_err(|error| internal(&error))?;
    }
    Ok(frames.bytes.into_vec())
}

/// Writes bytes, and notes where pointers into the text section are wanted.
impl Writer for Frames {
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
