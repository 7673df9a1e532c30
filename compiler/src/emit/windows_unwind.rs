//! Unwind information of Windows: what the prologue of a function does, so that it can be undone.
//!
//! Sources: Microsoft's "x64 exception handling" and "ARM64 exception handling". Made from the events of the prologue
//! and not from Cranelift's own encodings: those place registers that are saved below a frame pointer at the wrong
//! offsets (x64), and take any two registers that are stored together for neighbours (ARM64).

use crate::error::{Error, Result};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInst;
use regalloc2::RegClass;
use target_lexicon::Architecture;

/// What `.pdata` has an entry for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Offset in the function where the piece starts.
    pub offset: u32,
    /// Offset in the function where it ends, where entries have a field for that.
    pub end: Option<u32>,
    /// What `.xdata` says of it.
    pub data: Vec<u8>,
}

/// Describes the frame of a function of `len` bytes of code.
///
/// # Errors
/// If the prologue does what cannot be described.
pub(super) fn describe(isa: &dyn TargetIsa, len: u32, prologue: &[(u32, UnwindInst)]) -> Result<Vec<Piece>> {
    let not_described = || Error::internal("a frame has no description for Windows");
    match isa.triple().architecture {
        Architecture::X86_64 => {
            let data = x64(prologue).ok_or_else(not_described)?;
            Ok(vec![Piece { offset: 0, end: Some(len), data }])
        }
        _ => {
            let codes = arm64(prologue).ok_or_else(not_described)?;
            Ok(arm64_pieces(len, &codes))
        }
    }
}

/// `UNWIND_INFO`.
///
/// ```text
/// u8 version, 1   u8 bytes of the prologue   u8 number of codes   u8 frame register, and its distance / 16 in bits 4–7
/// codes, the last of the prologue first: u8 offset after the instruction   u8 operation, and operand in bits 4–7
///                                        u16 more operand, for some operations
/// ```
/// The frame register is `rbp`; distances of saved registers count from `rbp` minus its distance.
fn x64(prologue: &[(u32, UnwindInst)]) -> Option<Vec<u8>> {
    const VERSION: u8 = 1;
    const RBP: u8 = 5;
    const PUSH_NONVOL: u8 = 0;
    const ALLOC_LARGE: u8 = 1;
    const SET_FPREG: u8 = 3;
    const SAVE_NONVOL: u8 = 4;
    const SAVE_XMM128: u8 = 8;
    // Inside a longer prologue unwinding is less exact; it never is there at a call.
    let after = |offset: u32| u8::try_from(offset).unwrap_or(u8::MAX);
    let mut frame = 0;
    let mut slots: Vec<[u8; 2]> = Vec::new();
    let mut end = 0;
    for (offset, event) in prologue {
        let at = after(*offset);
        // In reverse, as the whole list will be.
        match *event {
            UnwindInst::PushFrameRegs { .. } => slots.push([at, PUSH_NONVOL | RBP << 4]),
            UnwindInst::DefineNewFrame { offset_downward_to_clobbers: saved, .. } => {
                frame =
                    u8::try_from(saved / 16).ok().filter(|units| *units < 16 && saved.is_multiple_of(16))?;
                if saved > 0 {
                    slots.push(u16::try_from(saved / 8).ok()?.to_le_bytes());
                    slots.push([at, ALLOC_LARGE]);
                }
                slots.push([at, SET_FPREG]);
            }
            UnwindInst::SaveReg { clobber_offset, reg } => {
                let (operation, unit) = match reg.class() {
                    RegClass::Int => (SAVE_NONVOL, 8),
                    RegClass::Float => (SAVE_XMM128, 16),
                    RegClass::Vector => return None,
                };
                if !clobber_offset.is_multiple_of(unit) {
                    return None;
                }
                slots.push(u16::try_from(clobber_offset / unit).ok()?.to_le_bytes());
                slots.push([at, operation | reg.hw_enc() << 4]);
            }
            // `rbp` says where the frame is, whatever happens to `rsp`.
            UnwindInst::StackAlloc { .. } => {}
            _ => return None,
        }
        end = at;
    }
    let mut data = vec![VERSION, end, u8::try_from(slots.len()).ok()?, RBP | frame << 4];
    data.extend(slots.iter().rev().flatten());
    data.resize(data.len().next_multiple_of(4), 0);
    Some(data)
}

/// The end of codes, and the end of the codes of the prologue that is in the same piece.
const END: u8 = 0xe4;
const END_OF_PROLOGUE: u8 = 0xe5;

/// The codes of a prologue, in the order of unwinding; as far as possible one for each instruction, so that unwinding
/// is exact inside the prologue too.
fn arm64(prologue: &[(u32, UnwindInst)]) -> Option<Vec<u8>> {
    const NOP: u8 = 0xe3;
    /// `stp x29, x30, [sp, #-16]!`; `stp x29, x30, [sp]`; `mov x29, sp`; `sub sp, sp, #16`.
    const PUSH_FRAME: u8 = 0x81;
    const STORE_FRAME: u8 = 0x40;
    const SET_FP: u8 = 0xe1;
    const ALLOC_16: u8 = 0x01;
    const SIGN_LR: u8 = 0xfc;
    let is_frame = |event: &UnwindInst| matches!(event, UnwindInst::DefineNewFrame { .. });
    let frame = prologue.iter().position(|(_, event)| is_frame(event))?;
    // Room for the arguments of a tail call moves the frame down.
    let is_moved = prologue[..frame].iter().any(|(_, event)| matches!(event, UnwindInst::StackAlloc { .. }));

    let mut codes: Vec<Vec<u8>> = Vec::new();
    let mut saved_to = 0;
    for events in prologue.chunk_by(|a, b| a.0 == b.0) {
        let instructions = (events[0].0 / 4) as usize;
        let mut new: Vec<Vec<u8>> = Vec::new();
        let mut saved = Vec::new();
        let mut follows = None;
        for (_, event) in events {
            match *event {
                UnwindInst::PushFrameRegs { .. } if is_moved => new.push(vec![ALLOC_16]),
                UnwindInst::PushFrameRegs { .. } => {
                    new.push(vec![PUSH_FRAME]);
                    follows = Some(vec![SET_FP]);
                }
                UnwindInst::DefineNewFrame { offset_downward_to_clobbers, .. } => {
                    saved_to = offset_downward_to_clobbers;
                    if is_moved {
                        new.extend([vec![STORE_FRAME], vec![SET_FP]]);
                    }
                }
                UnwindInst::StackAlloc { size } => new.push(allocation(size)?),
                UnwindInst::SaveReg { clobber_offset, reg } => {
                    saved.push((clobber_offset, reg.class(), reg.hw_enc()));
                }
                UnwindInst::Aarch64SetPointerAuth { return_addresses: true } => new.push(vec![SIGN_LR]),
                UnwindInst::Aarch64SetPointerAuth { return_addresses: false } => {}
                _ => return None,
            }
        }
        if !saved.is_empty() {
            saved_to = new_saved(&mut new, &saved, saved_to)?;
        }
        while codes.len() + new.len() < instructions {
            codes.push(vec![NOP]);
        }
        codes.append(&mut new);
        codes.extend(follows);
    }
    Some(codes.into_iter().rev().flatten().collect())
}

/// The codes of one instruction that stores one or two registers below the stack pointer and moves it down by 16.
/// Returns the offset that it moved to.
fn new_saved(codes: &mut Vec<Vec<u8>>, saved: &[(u32, RegClass, u8)], from: u32) -> Option<u32> {
    const FIRST_INT: u8 = 19;
    const FIRST_FLOAT: u8 = 8;
    /// `sub sp, sp, #16`.
    const ALLOC_16: u8 = 0x01;
    let to = from.checked_sub(16)?;
    let (class, first) = match *saved {
        [(offset, class, first)] | [(offset, class, first), ..] if offset == to => (class, first),
        _ => return None,
    };
    // Operation with a register in bits 6 to 9 or 5 to 7, and a distance.
    let number = |register: u8| {
        let number = match class {
            RegClass::Int => register.checked_sub(FIRST_INT).filter(|number| *number < 10),
            RegClass::Float => register.checked_sub(FIRST_FLOAT).filter(|number| *number < 8),
            RegClass::Vector => None,
        };
        number.map(u16::from)
    };
    let is_int = class == RegClass::Int;
    let code = |code: u16| code.to_be_bytes().to_vec();
    match *saved {
        // `str x, [sp, #-16]!`
        [_] => codes.push(code(match is_int {
            true => 0xd400 | number(first)? << 5 | 1,
            false => 0xde00 | number(first)? << 5 | 1,
        })),
        // `stp x, y, [sp, #-16]!` of neighbours
        [_, (offset, other, second)] if other == class && second == first + 1 && offset == to + 8 => {
            codes.push(code(match is_int {
                true => 0xcc00 | number(first)? << 6 | 1,
                false => 0xda00 | number(first)? << 6 | 1,
            }));
        }
        // Of others: as three instructions.
        [_, (offset, other, second)] if other == class && offset == to + 8 => {
            let store = match is_int {
                true => 0xd000,
                false => 0xdc00,
            };
            codes.push(vec![ALLOC_16]);
            codes.push(code(store | number(second)? << 6 | 1));
            codes.push(code(store | number(first)? << 6));
        }
        _ => return None,
    }
    Some(to)
}

/// The code of an instruction that moves the stack pointer down.
fn allocation(size: u32) -> Option<Vec<u8>> {
    if !size.is_multiple_of(16) {
        return None;
    }
    Some(match size / 16 {
        units @ 0..0x20 => vec![units as u8],
        units @ 0x20..0x800 => vec![0xc0 | (units >> 8) as u8, units as u8],
        units @ 0x800..0x100_0000 => [&[0xe0], &units.to_be_bytes()[1..]].concat(),
        _ => return None,
    })
}

/// `.xdata` records. A record's function has at most 2^18 - 1 instructions; longer ones have several, and all but the
/// first say that their prologue is elsewhere.
///
/// ```text
/// bits 0–17 instructions   18–21 version, exception data, one epilogue: 0   22–26 epilogues, 0   27–31 words of codes
/// if the last two fields are 0: a word with epilogues in bits 0–15, 0, and words of codes in bits 16–23
/// codes, up to a whole word
/// ```
fn arm64_pieces(len: u32, codes: &[u8]) -> Vec<Piece> {
    const MAX_LEN: u32 = ((1 << 18) - 1) * 4;
    const MAX_SHORT: u32 = 31;
    let piece = |offset: u32| {
        let mut bytes = Vec::new();
        if offset > 0 {
            bytes.push(END_OF_PROLOGUE);
        }
        bytes.extend_from_slice(codes);
        bytes.push(END);
        bytes.resize(bytes.len().next_multiple_of(4), END);
        let words = bytes.len() as u32 / 4;
        let instructions = (len - offset).min(MAX_LEN).div_ceil(4);
        let mut data = Vec::new();
        if words <= MAX_SHORT {
            data.extend((instructions | words << 27).to_le_bytes());
        } else {
            data.extend(instructions.to_le_bytes());
            data.extend((words << 16).to_le_bytes());
        }
        data.append(&mut bytes);
        Piece { offset, end: None, data }
    };
    (0..len.max(1)).step_by(MAX_LEN as usize).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(saved: u32) -> UnwindInst {
        UnwindInst::DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: saved }
    }

    const PUSH: UnwindInst = UnwindInst::PushFrameRegs { offset_upward_to_caller_sp: 16 };

    #[test]
    fn x64_frames_of_rbp() {
        assert_eq!(x64(&[(1, PUSH), (4, frame(0))]).unwrap(), [1, 4, 2, 5, 4, 3, 1, 0x50]);
        // Room of 32 bytes between `rbp` and the place that saved registers would be counted from.
        let expected = [1, 4, 4, 0x25, 4, 3, 4, 1, 4, 0, 1, 0x50];
        assert_eq!(x64(&[(1, PUSH), (4, frame(32))]).unwrap(), expected);
        assert_eq!(x64(&[(1, PUSH), (4, frame(256))]), None);
        assert_eq!(x64(&[(1, PUSH), (4, frame(8))]), None);
    }

    #[test]
    fn arm64_codes_stand_for_instructions() {
        assert_eq!(arm64(&[(4, PUSH), (8, frame(0))]).unwrap(), [0xe1, 0x81]);
        // Two instructions that move nothing, then one that does.
        let prologue = [(4, PUSH), (16, frame(0)), (20, UnwindInst::StackAlloc { size: 512 })];
        assert_eq!(arm64(&prologue).unwrap(), [0xc0, 0x20, 0xe3, 0xe3, 0xe1, 0x81]);
        let moved = [(4, PUSH), (12, UnwindInst::StackAlloc { size: 32 }), (24, frame(0))];
        assert_eq!(arm64(&moved).unwrap(), [0xe1, 0x40, 0xe3, 0x02, 0xe3, 0x01]);
    }

    #[test]
    fn arm64_registers_are_neighbours_or_not() {
        let check = |saved: &[(u32, RegClass, u8)], expected: Option<&[&[u8]]>| {
            let mut codes = Vec::new();
            let done = new_saved(&mut codes, saved, 32).map(|to| {
                assert_eq!(to, 16);
                codes
            });
            assert_eq!(done, expected.map(|codes| codes.iter().map(|code| code.to_vec()).collect()));
        };
        let (int, float) = (RegClass::Int, RegClass::Float);
        check(&[(16, int, 21)], Some(&[&[0xd4, 0x41]]));
        check(&[(16, float, 9)], Some(&[&[0xde, 0x21]]));
        check(&[(16, int, 19), (24, int, 20)], Some(&[&[0xcc, 0x01]]));
        check(&[(16, float, 14), (24, float, 15)], Some(&[&[0xdb, 0x81]]));
        check(&[(16, int, 19), (24, int, 28)], Some(&[&[0x01], &[0xd2, 0x41], &[0xd0, 0x00]]));
        check(&[(16, int, 18)], None);
        check(&[(8, int, 19)], None);
    }

    #[test]
    fn arm64_records_are_of_limited_length() {
        assert_eq!(arm64_pieces(16, &[0xe1, 0x81])[0].data, [4, 0, 0, 0x08, 0xe1, 0x81, 0xe4, 0xe4]);
        let pieces = arm64_pieces(0x10_0000, &[0xe1, 0x81]);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].data[..4], [0xff, 0xff, 0x03, 0x08]);
        assert_eq!(
            (pieces[1].offset, &*pieces[1].data),
            (0xf_fffc, &[1, 0, 0, 0x08, 0xe5, 0xe1, 0x81, 0xe4][..])
        );
        let long = arm64_pieces(16, &[0xe3; 200]);
        assert_eq!(long[0].data[..8], [4, 0, 0, 0, 0, 0, 51, 0]);
    }
}
