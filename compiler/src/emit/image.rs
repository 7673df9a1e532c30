//! Position-independent images: the text section with its relocations applied.

use super::text::{Text, TextReloc};
use crate::error::{Error, Result};
use cranelift_codegen::binemit::Reloc;

/// A compiled module that can be mapped at any address: code refers only to itself.
#[derive(Clone, Debug)]
pub struct Image {
    /// Machine code.
    pub text: Vec<u8>,
    /// The module description (`aot_abi::module`).
    pub description: Vec<u8>,
    /// The bytes of all data segments.
    pub data: Vec<u8>,
}

impl Image {
    pub(crate) fn new(text: &Text, description: Vec<u8>, data: Vec<u8>) -> Result<Image> {
        let mut bytes = text.bytes.clone();
        for reloc in &text.relocs {
            let target = *text.symbols.get(&reloc.target).ok_or_else(|| {
                Error::internal(format!(
                    "an image's code refers to {:?}, which is outside of it",
                    reloc.target
                ))
            })?;
            apply(&mut bytes, reloc, target)?;
        }
        Ok(Image { text: bytes, description, data })
    }
}

fn apply(text: &mut [u8], reloc: &TextReloc, target: u32) -> Result<()> {
    let at = reloc.offset as usize;
    let distance = i64::from(target) + reloc.addend - i64::from(reloc.offset);
    match reloc.kind {
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => {
            let distance = i32::try_from(distance)
                .map_err(|_| Error::internal("a call reaches over more than 2 GiB of code"))?;
            text[at..at + 4].copy_from_slice(&distance.to_le_bytes());
            Ok(())
        }
        other => Err(Error::internal(format!("relocation {other} cannot be applied to an image"))),
    }
}
