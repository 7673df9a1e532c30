//! The compact form of unwind information on macOS: 32 bits for the frame of a function.
//!
//! Source: `mach-o/compact_unwind_encoding.h` of Apple's libunwind. A frame that it cannot express refers to DWARF.

use super::text::TextRange;
use cranelift_codegen::isa::unwind::UnwindInst;
use target_lexicon::Architecture;

const X86_64_MODE_RBP_FRAME: u32 = 0x0100_0000;
const X86_64_MODE_DWARF: u32 = 0x0400_0000;
const ARM64_MODE_FRAME: u32 = 0x0400_0000;
const ARM64_MODE_DWARF: u32 = 0x0300_0000;

/// The encoding of the frame of a function.
pub(super) fn encoding(architecture: Architecture, range: &TextRange) -> u32 {
    let prologue = range.unwind.as_ref().map_or(&[][..], |unwind| &unwind.prologue);
    let events = || prologue.iter().map(|(_, event)| event);
    match architecture {
        Architecture::X86_64 => x86_64(events()).unwrap_or(X86_64_MODE_DWARF),
        // Pairs of saved registers lie the other way round in our frames.
        _ if events().any(|event| matches!(event, UnwindInst::SaveReg { .. })) => ARM64_MODE_DWARF,
        _ if events().any(|event| matches!(event, UnwindInst::DefineNewFrame { .. })) => ARM64_MODE_FRAME,
        _ => ARM64_MODE_DWARF,
    }
}

/// Whether an encoding refers to DWARF.
pub(super) fn is_dwarf(architecture: Architecture, encoding: u32) -> bool {
    match architecture {
        Architecture::X86_64 => encoding == X86_64_MODE_DWARF,
        _ => encoding == ARM64_MODE_DWARF,
    }
}

/// A frame of `rbp`, with saved registers in consecutive words below it:
///
/// ```text
/// bits 24–27  1
/// bits 16–23  distance in words from the first saved register up to the saved `rbp`
/// bits  0–14  five numbers of registers, from the lowest address up; 0 for none
/// ```
fn x86_64<'a>(prologue: impl Iterator<Item = &'a UnwindInst>) -> Option<u32> {
    const WORD: u32 = 8;
    const MAX_SAVED: u32 = 5;
    let mut distance = None;
    let mut saved: Vec<(u32, u32)> = Vec::new();
    for event in prologue {
        match *event {
            UnwindInst::DefineNewFrame { offset_downward_to_clobbers, .. } => {
                distance = Some(offset_downward_to_clobbers / WORD).filter(|words| *words <= 0xff);
            }
            UnwindInst::SaveReg { clobber_offset, reg } => {
                let number = match (reg.class(), reg.hw_enc()) {
                    (regalloc2::RegClass::Int, 3) => 1,
                    (regalloc2::RegClass::Int, register @ 12..=15) => u32::from(register) - 10,
                    _ => return None,
                };
                saved.push((clobber_offset, number));
            }
            _ => {}
        }
    }
    let mut encoding = X86_64_MODE_RBP_FRAME | distance? << 16;
    saved.sort_unstable();
    for (index, (offset, number)) in (0..).zip(saved) {
        if index >= MAX_SAVED || offset != index * WORD {
            return None;
        }
        encoding |= number << (3 * index);
    }
    Some(encoding)
}

/// An entry of `__compact_unwind`; the address of the function is relocated.
///
/// ```text
/// u64 address   u32 length   u32 encoding   u64 personality, none   u64 language-specific data, none
/// ```
pub(super) fn entry(len: u32, encoding: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[8..12].copy_from_slice(&len.to_le_bytes());
    entry[12..16].copy_from_slice(&encoding.to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_encoded_or_left_to_dwarf() {
        let frame = |saved| UnwindInst::DefineNewFrame {
            offset_upward_to_caller_sp: 16,
            offset_downward_to_clobbers: saved,
        };
        let check = |saved: u32, expected: Option<u32>| assert_eq!(x86_64([frame(saved)].iter()), expected);
        check(0, Some(0x0100_0000));
        check(48, Some(0x0106_0000));
        check(256 * 8, None);
        assert_eq!(x86_64([].iter()), None);
    }
}
