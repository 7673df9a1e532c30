//! Position-independent images: the text section with its relocations applied.

use super::description;
use super::memory::initial_memory;
use super::text::{Text, TextReloc};
use crate::codegen::function::CodeTarget;
use crate::error::{Error, ErrorKind, Result};
use aot_abi::module::Module;
use cranelift_codegen::binemit::Reloc;

/// A compiled module that can be mapped at any address: code refers only to itself.
#[derive(Clone, Debug)]
pub struct Image {
    /// Machine code.
    pub text: Vec<u8>,
    /// The module description (`aot_abi::module`).
    pub description: Vec<u8>,
    /// The bytes of all data segments, also of those that are in `memory`.
    pub data: Vec<u8>,
    /// The initial contents of memory 0, for hosts that map them: the bytes of the description's `memory_image`. Empty if
    /// it has none.
    pub memory: Vec<u8>,
}

impl Image {
    pub(crate) fn new(text: &Text, module: &Module, data: &[u8]) -> Result<Image> {
        let (memory_image, memory) = initial_memory(module, data).unzip();
        let module = Module { memory_image, ..module.clone() };
        Ok(Image {
            text: relocated(text)?,
            description: description::encode(&module, text),
            data: data.to_vec(),
            memory: memory.unwrap_or_default(),
        })
    }
}

/// The code with its relocations applied. They are all relative: it can be mapped anywhere.
pub(super) fn relocated(text: &Text) -> Result<Vec<u8>> {
    let mut bytes = text.bytes.clone();
    for reloc in &text.relocs {
        let target = match reloc.target {
            CodeTarget::Code(offset) => offset,
            CodeTarget::Symbol(symbol) => *text.symbols.get(&symbol).ok_or_else(|| {
                Error::internal(format!("an image's code refers to {symbol:?}, which is outside of it"))
            })?,
        };
        apply(&mut bytes, reloc, target)?;
    }
    Ok(bytes)
}

fn apply(text: &mut [u8], reloc: &TextReloc, target: u32) -> Result<()> {
    let at = reloc.offset as usize;
    let distance = i64::from(target) + reloc.addend - i64::from(reloc.offset);
    let too_far = || Error::new(ErrorKind::Limit, "the module's machine code is too large for its calls");
    match reloc.kind {
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => {
            let distance = i32::try_from(distance).map_err(|_| too_far())?;
            text[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        // `bl`: 26 bits, in units of 4 bytes.
        Reloc::Arm64Call => {
            let distance = i32::try_from(distance >> 2).ok().filter(|d| (-(1 << 25)..1 << 25).contains(d));
            let distance = distance.ok_or_else(too_far)? as u32 & 0x03ff_ffff;
            patch(text, at, |word| word & !0x03ff_ffff | distance);
        }
        // `auipc` and `jalr`: the upper 20 bits, rounded, and the lower 12 bits with their sign.
        Reloc::RiscvCallPlt => {
            let distance = i32::try_from(distance).map_err(|_| too_far())?;
            let upper = distance.checked_add(0x800).ok_or_else(too_far)? as u32 & 0xffff_f000;
            let lower = distance as u32 & 0xfff;
            patch(text, at, |word| word & 0xfff | upper);
            patch(text, at + 4, |word| word & 0x000f_ffff | lower << 20);
        }
        // `brasl`, `larl`: in units of 2 bytes.
        Reloc::S390xPCRel32Dbl | Reloc::S390xPLTRel32Dbl => {
            let distance = i32::try_from(distance >> 1).map_err(|_| too_far())?;
            text[at..at + 4].copy_from_slice(&distance.to_be_bytes());
        }
        other => return Err(Error::internal(format!("relocation {other} cannot be applied to an image"))),
    }
    Ok(())
}

/// Changes a little-endian instruction of 4 bytes.
fn patch(text: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&text[at..at + 4]);
    text[at..at + 4].copy_from_slice(&change(u32::from_le_bytes(bytes)).to_le_bytes());
}
