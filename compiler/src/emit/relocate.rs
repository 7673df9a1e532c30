//! Relocations that depend on nothing but how far code is from code: they hold wherever the text section is put.

use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::binemit::Reloc;

/// Whether a relocation is one of these, if what it refers to is in the text section.
pub(super) fn is_relative(kind: Reloc) -> bool {
    matches!(
        kind,
        Reloc::X86PCRel4
            | Reloc::X86CallPCRel4
            | Reloc::X86CallPLTRel4
            | Reloc::Arm64Call
            | Reloc::RiscvCallPlt
            | Reloc::S390xPCRel32Dbl
            | Reloc::S390xPLTRel32Dbl
    )
}

/// Applies a relocation to code. `distance` is that of what it refers to, with the addend, from the place.
///
/// # Errors
/// If that is too far, or the place is not in the code.
pub(super) fn apply(code: &mut [u8], at: usize, kind: Reloc, distance: i64) -> Result<()> {
    let too_far = || Error::new(ErrorKind::Limit, "the module's machine code is too large for its calls");
    match kind {
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => {
            let distance = i32::try_from(distance).map_err(|_| too_far())?;
            *word(code, at)? = distance.to_le_bytes();
        }
        // `bl`: 26 bits, in units of 4 bytes.
        Reloc::Arm64Call => {
            let distance = i32::try_from(distance >> 2).ok().filter(|d| (-(1 << 25)..1 << 25).contains(d));
            let distance = distance.ok_or_else(too_far)? as u32 & 0x03ff_ffff;
            patch(code, at, |word| word & !0x03ff_ffff | distance)?;
        }
        // `auipc` and `jalr`: the upper 20 bits, rounded, and the lower 12 bits with their sign.
        Reloc::RiscvCallPlt => {
            let distance = i32::try_from(distance).map_err(|_| too_far())?;
            let upper = distance.checked_add(0x800).ok_or_else(too_far)? as u32 & 0xffff_f000;
            let lower = distance as u32 & 0xfff;
            patch(code, at, |word| word & 0xfff | upper)?;
            patch(code, at + 4, |word| word & 0x000f_ffff | lower << 20)?;
        }
        // `brasl`, `larl`: in units of 2 bytes.
        Reloc::S390xPCRel32Dbl | Reloc::S390xPLTRel32Dbl => {
            let distance = i32::try_from(distance >> 1).map_err(|_| too_far())?;
            *word(code, at)? = distance.to_be_bytes();
        }
        other => return Err(Error::internal(format!("relocation {other} is not relative"))),
    }
    Ok(())
}

/// Changes a little-endian instruction of 4 bytes.
fn patch(code: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) -> Result<()> {
    let bytes = word(code, at)?;
    *bytes = change(u32::from_le_bytes(*bytes)).to_le_bytes();
    Ok(())
}

fn word(code: &mut [u8], at: usize) -> Result<&mut [u8; 4]> {
    let bytes = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    bytes.ok_or_else(|| Error::internal("a relocation is not in the code"))
}
