//! What every ELF object for a target starts with.

use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, FileFlags, elf};

/// An empty object for a target.
///
/// # Errors
/// [`ErrorKind::Config`] if objects cannot be written for the target.
pub(crate) fn new_object(target: &Target) -> Result<Object<'static>> {
    use target_lexicon::Architecture as A;
    let none = elf::FileFlags(0);
    let (architecture, e_flags) = match target.triple().architecture {
        A::X86_64 => (Architecture::X86_64, none),
        A::Aarch64(_) => (Architecture::Aarch64, none),
        // Linkers refuse to mix conventions: floating point numbers travel in registers.
        A::Riscv64(_) => (Architecture::Riscv64, elf::EF_RISCV_FLOAT_ABI_DOUBLE),
        A::S390x => (Architecture::S390x, none),
        _ => return Err(Error::new(ErrorKind::Config, format!("objects for {target} cannot be written"))),
    };
    let endianness = if target.is_big_endian() { Endianness::Big } else { Endianness::Little };
    let mut object = Object::new(BinaryFormat::Elf, architecture, endianness);
    object.flags = FileFlags::Elf { os_abi: elf::ELFOSABI_NONE, abi_version: 0, e_flags };
    Ok(object)
}
