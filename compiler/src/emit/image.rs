//! Position-independent images: the text section with its relocations applied.

use super::description;
use super::memory::initial_memory;
use super::relocate;
use super::text::Text;
use crate::codegen::function::CodeTarget;
use crate::error::{Error, Result};
use aot_abi::module::Module;

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
    for reloc in text.relocs.iter().filter(|reloc| !reloc.is_applied) {
        let target = match reloc.target {
            CodeTarget::Code(offset) => offset,
            CodeTarget::Symbol(symbol) => *text.symbols.get(&symbol).ok_or_else(|| {
                Error::internal(format!("an image's code refers to {symbol:?}, which is outside of it"))
            })?,
        };
        let distance = i64::from(target) + reloc.addend - i64::from(reloc.offset);
        relocate::apply(&mut bytes, reloc.offset as usize, reloc.kind, distance)?;
    }
    Ok(bytes)
}
