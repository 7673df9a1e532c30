//! DWARF's unwind information, as it stands in `.eh_frame` and `__eh_frame`: for debuggers, profilers and backtraces.

use super::text::{Text, TextRange};
use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::gimli::write::{
    Address, CallFrameInstruction, EhFrame, EndianVec, FrameDescriptionEntry, FrameTable,
    Result as GimliResult, Writer,
};
use cranelift_codegen::gimli::{self, Register, RunTimeEndian};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInst;
use target_lexicon::Architecture;

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
            let entry = match range.unwind.as_ref().filter(|_| is_x64(isa)) {
                Some(unwind) => x64_entry(isa, &unwind.prologue, address, range.len)?,
                None => dwarf.to_fde(address),
            };
            table.add_fde(cie, entry);
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

fn is_x64(isa: &dyn TargetIsa) -> bool {
    isa.triple().architecture == Architecture::X86_64
}

/// The entry of a function of x86-64, of so many bytes: they are fewer than Cranelift knows of, whose entries can't be changed.
fn x64_entry(
    isa: &dyn TargetIsa,
    prologue: &[(u32, UnwindInst)],
    address: Address,
    len: u32,
) -> Result<FrameDescriptionEntry> {
    const FRAME_POINTER: Register = Register(6);
    let mut entry = FrameDescriptionEntry::new(address, len);
    // Distance from the canonical frame address down to where registers are saved.
    let mut saved: i64 = 0;
    for (offset, event) in prologue {
        match *event {
            UnwindInst::PushFrameRegs { offset_upward_to_caller_sp } => {
                let size = offset_upward_to_caller_sp as i32;
                entry.add_instruction(*offset, CallFrameInstruction::CfaOffset(size));
                entry.add_instruction(*offset, CallFrameInstruction::Offset(FRAME_POINTER, -size));
            }
            UnwindInst::DefineNewFrame { offset_upward_to_caller_sp, offset_downward_to_clobbers } => {
                entry.add_instruction(*offset, CallFrameInstruction::CfaRegister(FRAME_POINTER));
                saved = i64::from(offset_upward_to_caller_sp) + i64::from(offset_downward_to_clobbers);
            }
            // The frame is found by the frame pointer.
            UnwindInst::StackAlloc { .. } => {}
            UnwindInst::SaveReg { clobber_offset, reg } => {
                let register = isa.map_regalloc_reg_to_dwarf(reg.into());
                let register = register.map_err(|error| Error::internal(format!("no register: {error}")))?;
                let place = (i64::from(clobber_offset) - saved) as i32;
                entry.add_instruction(*offset, CallFrameInstruction::Offset(Register(register), place));
            }
            ref other => return Err(Error::internal(format!("no unwind information for {other:?}"))),
        }
    }
    Ok(entry)
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
