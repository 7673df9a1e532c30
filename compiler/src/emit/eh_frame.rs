//! DWARF's unwind information, as it stands in `.eh_frame` and `__eh_frame`: for debuggers, profilers and backtraces.

use super::text::{Text, TextRange};
use crate::error::{Error, Result};
use cranelift_codegen::gimli::write::{
    Address, EhFrame, EndianVec, FrameTable, Result as GimliResult, Writer,
};
use cranelift_codegen::gimli::{self, RunTimeEndian};
use cranelift_codegen::isa::TargetIsa;

/// The contents of a section, before its pointers are relocated.
pub(super) struct Table {
    pub bytes: Vec<u8>,
    /// Offset of the pointer, and the offset in the text section that it points to, relative to itself.
    pub pointers: Vec<(usize, u32)>,
}

/// Describes the frames of the functions that `select` chooses, with pointers in an encoding; nothing if the machine has
/// no DWARF.
///
/// # Errors
/// If the frame of a function cannot be described.
pub(super) fn encode(
    layout: &Text,
    isa: &dyn TargetIsa,
    pointers: gimli::DwEhPe,
    select: impl Fn(&TextRange) -> bool,
) -> Result<Option<Table>> {
    let Some(mut cie) = isa.create_systemv_cie() else { return Ok(None) };
    cie.fde_address_encoding = pointers;
    let mut table = FrameTable::default();
    let cie = table.add_cie(cie);
    let mut is_empty = true;
    for range in layout.ranges.iter().filter(|range| select(range)) {
        if let Some(dwarf) = range.unwind.as_ref().and_then(|unwind| unwind.dwarf.as_ref()) {
            let address = Address::Symbol { symbol: 0, addend: i64::from(range.offset) };
            table.add_fde(cie, dwarf.to_fde(address));
            is_empty = false;
        }
    }
    if is_empty {
        return Ok(None);
    }
    let endian = match isa.endianness() {
        cranelift_codegen::ir::Endianness::Little => RunTimeEndian::Little,
        cranelift_codegen::ir::Endianness::Big => RunTimeEndian::Big,
    };
    let mut frames = EhFrame::from(Recorder { bytes: EndianVec::new(endian), pointers: Vec::new() });
    table
        .write_eh_frame(&mut frames)
        .map_err(|error| Error::internal(format!("cannot write unwind information: {error}")))?;
    let Recorder { bytes, pointers } = frames.0;
    Ok(Some(Table { bytes: bytes.into_vec(), pointers }))
}

/// Writes bytes, and notes where pointers into the text section are wanted.
#[derive(Clone)]
struct Recorder {
    bytes: EndianVec<RunTimeEndian>,
    pointers: Vec<(usize, u32)>,
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

    fn write_eh_pointer(&mut self, address: Address, encoding: gimli::DwEhPe, size: u8) -> GimliResult<()> {
        let value = match address {
            // Offsets in the text section are below 2 GiB.
            Address::Symbol { addend, .. } => {
                self.pointers.push((self.len(), addend as u32));
                0
            }
            Address::Constant(value) => value,
        };
        self.write_eh_pointer_data(value, encoding.format(), size)
    }
}
