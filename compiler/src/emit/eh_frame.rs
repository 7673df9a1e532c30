//! DWARF's unwind information, as it stands in `.eh_frame` and `__eh_frame`: for debuggers, profilers and backtraces.

use super::text::{Text, TextRange};
use crate::error::{Error, ErrorKind, Result};
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

/// Pointers that are relative to themselves, so that they need no relocation at run time.
pub(super) const RELATIVE: gimli::DwEhPe = gimli::DwEhPe(gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0);

/// The bytes of `.eh_frame`, ended by a terminator, for a file in which they are `distance` bytes before the text section.
pub(super) fn bytes(layout: &Text, isa: &dyn TargetIsa, distance: impl Fn(u64) -> u64) -> Result<Vec<u8>> {
    const TERMINATOR: [u8; 4] = [0; 4];
    let Some(Table { mut bytes, pointers }) = encode(layout, isa, RELATIVE, |_| true)? else {
        return Ok(Vec::new());
    };
    bytes.extend(TERMINATOR);
    let too_far =
        || Error::new(ErrorKind::Limit, "the module's machine code is too large for its unwind tables");
    let distance = i64::try_from(distance(bytes.len() as u64)).map_err(|_| too_far())?;
    for (at, target) in pointers {
        let pointer = distance.checked_add(i64::from(target) - at as i64).ok_or_else(too_far)?;
        let pointer = i32::try_from(pointer).map_err(|_| too_far())?;
        bytes[at..at + 4].copy_from_slice(&match isa.endianness() {
            cranelift_codegen::ir::Endianness::Little => pointer.to_le_bytes(),
            cranelift_codegen::ir::Endianness::Big => pointer.to_be_bytes(),
        });
    }
    Ok(bytes)
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
